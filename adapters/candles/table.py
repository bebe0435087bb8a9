"""The candles of every connector, put together."""

from collections.abc import Mapping
from pathlib import Path

from adapters.candles.history import CandleHistory, CandleVenue
from adapters.candles.paper import PaperCandles, PriceFeed
from adapters.candles.store import CandleStore
from adapters.candles.venues import VenueCandles, opener
from adapters.exchanges.names import CONNECTORS, PAPER_TRADE
from commands.ports import Clock

FOLDER = "candles"
"""In the data folder."""
REPLAYED = "paper_replayed"


def candle_history(
    data: Path, *, feed: PriceFeed, seed: int | None, urls: Mapping[str, Mapping[str, object]], clock: Clock
) -> CandleHistory:
    """Return the candles of all connectors, kept in the data folder; nothing is asked of a venue yet.

    `feed` is the paper venue's market, `seed` that of a synthetic one, None for a recorded one: each start replays that
    anew, so what was kept of the last replay is removed. `urls` are merged over ccxt's, by connector.
    """
    store = CandleStore(data / FOLDER)
    if seed is None:
        store.forget(REPLAYED)
    paper = PaperCandles(feed, market=REPLAYED if seed is None else f"paper_seed_{seed}", clock=clock)
    venues: dict[str, CandleVenue] = {}
    for name, connector in CONNECTORS.items():
        venues[name] = (
            paper if not connector.exchange_id else VenueCandles(connector, opener(connector, urls.get(name, {})))
        )
        if connector.exchange_id:
            venues[f"{name}{PAPER_TRADE}"] = venues[name]
    return CandleHistory(store, venues, listed=list(CONNECTORS), clock=clock)
