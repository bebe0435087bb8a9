"""What venues and markets are made of: each is imported and made when it is first used."""

from collections.abc import Callable, Mapping
from functools import partial

from adapters.bootstrap.clock import now
from adapters.exchanges.names import CONNECTORS, PAPER_TRADE, Connector
from adapters.exchanges.paper_feed import Feed, RecordedFeed, SyntheticFeed
from adapters.exchanges.venues import ConnectedVenues
from adapters.market_data.feeds import Feeds
from adapters.market_data.public_clients import PublicClients
from adapters.market_data.sources import USUAL, Source
from adapters.rate_sources.polling import Source as RateSource
from adapters.settings import Settings
from commands.ports import Exchange, Sink
from domain.matching.fees import Fees


def paper_feed(settings: Settings) -> SyntheticFeed | RecordedFeed:
    """Return the market of the paper connectors. Raises `Invalid` for a recorded one that cannot be used."""
    from adapters.exchanges.paper_record import open_feed

    return open_feed(
        settings.paper_feed, seed=settings.paper_seed, tick_seconds=settings.paper_tick_seconds, start=now()
    )


def market_source(settings: Settings, feed: Feed, clients: PublicClients, connector: Connector) -> Source:
    """Return where the market of a connector is heard, imported when it is first asked for."""
    if not connector.exchange_id:
        from adapters.market_data.paper_source import PaperSource

        return PaperSource(
            feed,
            name=connector.name,
            perpetual=connector.perpetual,
            tick_seconds=float(settings.paper_tick_seconds),
            clock=now,
        )
    from adapters.market_data.ccxt_source import CcxtSource

    return CcxtSource(connector, clients.of(connector), clock=now, patience=USUAL)


def factories(
    settings: Settings, sink: Sink, feed: Feed, feeds: Feeds, clients: PublicClients
) -> Mapping[str, Callable[[], Exchange]]:
    """Return the connectors that this server can trade on, each imported and made when it is first used.

    The paper connectors share one market, `feed`; those that trade on paper on a real market read its `feeds`.
    """

    def paper(name: str, *, perpetual: bool) -> Exchange:
        from adapters.exchanges.paper import PaperExchange

        return PaperExchange(
            name=name,
            perpetual=perpetual,
            feed=feed,
            clock=now,
            sink=sink,
            fees=Fees(maker=settings.paper_maker_fee, taker=settings.paper_taker_fee),
            starting=settings.paper_balances[name],
            tick_seconds=float(settings.paper_tick_seconds),
        )

    def real(connector: Connector) -> Exchange:
        from adapters.exchanges.ccxt_exchange import CcxtExchange

        return CcxtExchange(connector, sink=sink, clock=now, urls=settings.venue_urls.get(connector.name, {}))

    def on_paper(connector: Connector) -> Exchange:
        from adapters.exchanges.paper_trade import paper_trade

        return paper_trade(
            f"{connector.name}{PAPER_TRADE}",
            feeds=feeds,
            side=clients.of(connector),
            balances=settings.paper_balances,
            fees=Fees(maker=settings.paper_maker_fee, taker=settings.paper_taker_fee),
            tick_seconds=float(settings.paper_tick_seconds),
            sink=sink,
            clock=now,
        )

    venues = [connector for connector in CONNECTORS.values() if connector.exchange_id]
    return {
        "paper": partial(paper, "paper", perpetual=False),
        "paper_perpetual": partial(paper, "paper_perpetual", perpetual=True),
        **{connector.name: partial(real, connector) for connector in venues},
        **{f"{connector.name}{PAPER_TRADE}": partial(on_paper, connector) for connector in venues},
    }


def rate_source(settings: Settings, venues: ConnectedVenues, clients: PublicClients, name: str) -> RateSource:
    """Return a source of rates, imported and made when somebody first asks about it."""
    from adapters.rate_sources.table import make

    return make(
        name,
        exchange=venues.exchange,
        side=clients.of,
        urls=settings.venue_urls,
        coin_cap_key=settings.coin_cap_api_key,
    )
