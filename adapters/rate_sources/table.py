"""Which source stands behind each name."""

from collections.abc import Callable, Mapping

from adapters.exchanges import names
from adapters.market_data.public_clients import PublicSide
from adapters.rate_sources.exchanges import ExchangePrices, PaperPrices
from adapters.rate_sources.listings import CapPrices, GeckoPrices, Site
from adapters.rate_sources.polling import Source
from commands.ports import Exchange

SITES = {
    "coin_gecko": "https://api.coingecko.com/api/v3",
    "coin_cap": "https://rest.coincap.io/v3",
}
"""Sources that are no connectors → where they answer (their API docs, 2026-03)."""


def make(
    name: str,
    *,
    exchange: Callable[[str], Exchange],
    side: Callable[[names.Connector], PublicSide],
    urls: Mapping[str, Mapping[str, object]],
    coin_cap_key: str | None,
) -> Source:
    """Return a source with nothing asked yet.

    `exchange` gives the paper venue, `side` asks a real one, `urls` are those that a test or a proxy puts in the place
    of a site's own.
    Raises `NotFound` for a name that is no source's.
    """
    match name:
        case "paper":
            return PaperPrices(exchange(name))
        case "coin_gecko":
            return GeckoPrices(Site(name, _site(name, urls)))
        case "coin_cap":
            return CapPrices(
                Site(name, _site(name, urls), {"Authorization": f"Bearer {coin_cap_key}"} if coin_cap_key else {})
            )
        case _:
            return ExchangePrices(side(names.connector(name)))


def _site(name: str, urls: Mapping[str, Mapping[str, object]]) -> str:
    return str(urls.get(name, {}).get("api", SITES[name]))
