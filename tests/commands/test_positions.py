"""Leverage and position mode: asked for, sent, answered, in that order in the log."""

import pytest

from commands.accounts import first_start
from commands.positions import GiveUpMarginRequest, SetLeverage, SetPositionMode
from commands.processes.accounts import connect_all
from domain.accounts import MASTER
from domain.errors import Invalid, NotFound, Unavailable
from domain.positions import (
    LeverageRequested,
    LeverageSet,
    MarginRefused,
    PositionModeRequested,
    PositionModeSet,
    margin_stream_of,
)
from tests.commands.world import World, world

STREAM = margin_stream_of(MASTER, "paper_perpetual")
TEN = SetLeverage(account=MASTER, connector="paper_perpetual", trading_pair="BTC-USDT", leverage=10)
HEDGE = SetPositionMode(account=MASTER, connector="paper_perpetual", mode="HEDGE")


async def kinds(w: World) -> list[type]:
    return [type(event) for event in await w.events(STREAM)]


async def test_leverage_is_set_once_the_venue_took_it() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        await w.do(TEN)
        await w.do(TEN)
        assert await kinds(w) == [LeverageRequested, LeverageSet]


async def test_a_mode_is_set_once_the_venue_took_it() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        await w.do(HEDGE)
        assert await kinds(w) == [PositionModeRequested, PositionModeSet]


async def test_a_repeated_key_asks_the_venue_once_and_gives_the_first_answer() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        first = await w.do(TEN, "k")
        again = await w.do(TEN, "k")
        assert (again.position, again.repeated) == (first.position, True)
        assert (await w.do(TEN, "k2")).repeated is False
        assert (await w.do(TEN, "k2")).repeated is True
        assert await kinds(w) == [LeverageRequested, LeverageSet]


async def test_a_refusal_is_recorded_and_told_and_may_be_asked_again_with_the_same_key() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        w.perpetual.refuses_margin = "Too much"
        with pytest.raises(Invalid, match="Too much"):
            await w.do(TEN, "k")
        assert await kinds(w) == [LeverageRequested, MarginRefused]
        w.perpetual.refuses_margin = None
        await w.do(TEN, "k")
        assert (await kinds(w))[-1] is LeverageSet


async def test_a_request_without_an_answer_is_given_up_after_a_restart() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        w.perpetual.mute = True
        with pytest.raises(Unavailable):
            await w.do(TEN)
        assert await kinds(w) == [LeverageRequested]
        await w.bus.ports.venues.disconnect(MASTER)  # as after a restart
        await connect_all(w.bus)
        assert await kinds(w) == [LeverageRequested, MarginRefused]
        await w.do(GiveUpMarginRequest(account=MASTER, connector="paper_perpetual"))
        assert await kinds(w) == [LeverageRequested, MarginRefused]


@pytest.mark.parametrize(
    ("command", "error", "message"),
    [
        (
            SetLeverage(account=MASTER, connector="paper", trading_pair="BTC-USDT", leverage=1),
            Invalid,
            "not a perpetual",
        ),
        (SetPositionMode(account=MASTER, connector="paper", mode="HEDGE"), Invalid, "not a perpetual connector"),
        (SetPositionMode(account=MASTER, connector="paper_perpetual", mode="BOTH"), Invalid, "Must be 'HEDGE'"),
        (
            SetLeverage(account=MASTER, connector="paper_perpetual", trading_pair="X-Y", leverage=1),
            NotFound,
            "Trading pair 'X-Y' not supported",
        ),
    ],
)
async def test_what_cannot_be_set_changes_nothing(
    command: SetLeverage | SetPositionMode, error: type[Exception], message: str
) -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        with pytest.raises(error, match=message):
            await w.do(command)
        assert await kinds(w) == []
