"""Whose turn it is to work on a database."""

import asyncio

import pytest

from adapters import turn
from adapters.turn import Turn, TurnLost
from tests.wire import wired


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(turn, "NOTICED_SECONDS", 0.0)


def nobody_waits(what: str) -> None:
    raise AssertionError(what)


async def ended(keeping: "asyncio.Task[None]") -> None:
    keeping.cancel()
    await asyncio.wait([keeping])


async def test_a_turn_goes_on_when_the_connection_is_back(database_url: str):
    async with wired(database_url) as (wire, address), asyncio.timeout(30):
        first = Turn(address)
        await first.take(nobody_waits)
        keeping = asyncio.create_task(first.keep())
        before = first._connection
        await wire.cut()
        while first._connection in {before, None}:
            await asyncio.sleep(0.01)
        assert not keeping.done()
        await ended(keeping)


async def test_a_turn_that_another_server_had_meanwhile_is_lost(database_url: str):
    async with wired(database_url) as (wire, address), asyncio.timeout(30):
        first = Turn(address)
        await first.take(nobody_waits)
        keeping = asyncio.create_task(first.keep())
        wire.up = False
        await wire.cut()
        second = Turn(database_url)
        await second.take(lambda what: None)
        working = asyncio.create_task(second.keep())
        await asyncio.sleep(0)
        await ended(working)
        wire.up = True
        with pytest.raises(TurnLost):
            await keeping
