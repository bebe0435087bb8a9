"""The candles of every connector, put together."""

from pathlib import Path

from adapters.candles.asking import CandleVenue
from adapters.candles.history import CandleHistory
from adapters.candles.paper import PaperCandles, PriceFeed
from adapters.candles.store import CandleStore
from adapters.candles.venues import VenueCandles
from adapters.exchanges.names import CONNECTORS, PAPER_TRADE
from adapters.market_data.public_clients import PublicClients
from commands.ports import Clock

FOLDER = "candles"
"""In the data folder."""
REPLAYED = "paper_replayed"


def candle_history(
    data: Path, *, feed: PriceFeed, seed: int | None, clients: PublicClients, clock: Clock
) -> CandleHistory:
    """Return the candles of all connectors, kept in the data folder; nothing is asked of a venue yet.

    `feed` is the paper venue's market, `seed` that of a synthetic one, None for a recorded one: each start replays that
    anew, so what was kept of the last replay is removed. `clients` ask the real venues.
    """
    store = CandleStore(data / FOLDER)
    if seed is None:
        store.forget(REPLAYED)
    paper = PaperCandles(feed, market=REPLAYED if seed is None else f"paper_seed_{seed}", clock=clock)
    venues: dict[str, CandleVenue] = {}
    for name, connector in CONNECTORS.items():
        venues[name] = VenueCandles(connector, clients.of(connector)) if connector.exchange_id else paper
        if connector.exchange_id:
            venues[f"{name}{PAPER_TRADE}"] = venues[name]
    return CandleHistory(store, venues, listed=list(CONNECTORS), clock=clock)
