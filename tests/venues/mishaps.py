"""What the tests of order life share: a real venue whose levers are at hand, and a clock that nobody waits for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.exchanges import account_stream, ccxt_exchange, inquiry
from adapters.exchanges.clients import VenueClient
from domain.errors import Unavailable
from domain.orders import OrderPlaced
from tests.venues.levers import PRIVATE, Lever, Pull
from tests.venues.stages import Stage, staged

TIMEOUT_MS = 500
"""After so long an answer of the venue is not waited for any more."""


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for a rate limit or for a time-out that a real venue needs."""
    for module, name, seconds in (
        (account_stream, "POLL_SECONDS", 0.1),
        (account_stream, "SETTLING_SECONDS", 0.05),
        (account_stream, "SECOND_LOOK_SECONDS", 0.2),
        (account_stream, "TRADES_FOLLOW_SECONDS", 0.02),
        (account_stream, "REFRESHED_SECONDS", 0.02),
        (account_stream, "CONFIRMED_SECONDS", 0.05),
        (account_stream, "FIRST_PAUSE", 0.05),
        (account_stream, "LONGEST_PAUSE", 0.2),
        (ccxt_exchange, "BEGIN_AGAIN_SECONDS", 0.1),
        (inquiry, "ASKED_AGAIN_AFTER_SECONDS", (0.05, 0.25)),
    ):
        monkeypatch.setattr(module, name, seconds)
    begin = VenueClient.__init__

    def unthrottled(client: VenueClient, *args: object, **more: object) -> None:
        begin(client, *args, **more)  # type: ignore[arg-type]
        client.exchange.enableRateLimit, client.exchange.timeout = False, TIMEOUT_MS

    monkeypatch.setattr(VenueClient, "__init__", unthrottled)


def hush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be asked but what the test asks."""
    for name in ("SETTLING_SECONDS", "SECOND_LOOK_SECONDS", "REFRESHED_SECONDS", "CONFIRMED_SECONDS"):
        monkeypatch.setattr(account_stream, name, 60)


@asynccontextmanager
async def connected(connector: str) -> AsyncIterator[Stage]:
    """Give a real venue with an account whose stream is followed."""
    async with staged(connector) as running_stage:
        await running_stage.exchange.connect(running_stage.memory(), running_stage.credentials)
        await running_stage.listening()
        yield running_stage


def pull(lever: Lever, *words: str, **how: Any) -> Pull:
    """Return how a lever is pulled, for requests of these words only where there are any."""
    return Pull(lever=lever, on=frozenset(words) or PRIVATE, **how)


def silence(stage: Stage) -> None:
    """Let the stream stay open and tell nothing any more."""
    stage.levers.chance(pull(Lever.SILENCE_STREAM, seconds=60), 1)


async def lost(stage: Stage, *args: Any, **how: Any) -> OrderPlaced:
    """Place an order of which the venue's answer is not heard."""
    order = stage.order(*args, **how)
    with pytest.raises(Unavailable):
        await stage.exchange.place(order)
    assert stage.came(order) == 1
    return order
