"""Many things at once, but not too many; one that fails or is slow takes nothing from the others' order."""

import asyncio
from decimal import Decimal
from functools import partial

import pytest

from commands.abreast import abreast
from commands.processes import orders
from commands.processes.accounts import CONNECTED_AT_ONCE, connect_all
from commands.processes.orders import IN_FLIGHT_SECONDS, OrderWatch
from domain.accounts import MASTER, AccountAdded, CredentialsStored
from domain.errors import Unavailable
from domain.orders import OrderPlaced
from domain.values import OrderType, PositionAction, Side
from tests.appends import origin, write
from tests.commands.test_orders import connected, placed
from tests.commands.world import T0, world


async def test_no_more_than_so_many_are_done_at_once_and_answers_keep_their_order() -> None:
    under_way, most = 0, 0

    async def work(n: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(n % 3):
            await asyncio.sleep(0)
        under_way -= 1
        return n

    assert await abreast(4, [partial(work, n) for n in range(20)]) == list(range(20))
    assert most == 4


async def test_the_first_failure_ends_the_others_and_is_raised() -> None:
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fail() -> None:
        raise Unavailable("The log is away")

    with pytest.raises(Unavailable, match="The log is away"):
        await abreast(2, [wait, fail])
    assert ended.is_set()


async def test_accounts_are_connected_at_once_at_start() -> None:
    async with world() as w:
        for n in range(CONNECTED_AT_ONCE):
            name = f"a{n}"
            stored = CredentialsStored(account=name, connector="paper", fields=[])
            await w.log.append([write(f"account-{name}", 0, AccountAdded(account=name), stored)], origin())
            await w.vault.store(name, "paper", {})
        together = asyncio.Barrier(CONNECTED_AT_ONCE)
        connect = w.spot.connect

        async def at_once(memory: object, credentials: object) -> None:
            await together.wait()
            await connect(memory, credentials)  # type: ignore[arg-type]

        w.spot.connect = at_once  # type: ignore[method-assign]
        async with asyncio.timeout(5):
            await connect_all(w.bus)
        assert len(w.bus.ports.venues.accounts()) == CONNECTED_AT_ONCE


async def test_a_venue_that_is_silent_keeps_no_order_of_another_one_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "ROUND_SECONDS", 0.05)
    async with world() as w:
        await connected(w)
        w.spot.mute = True
        await placed(w)
        await w.quiet()
        w.spot.mute = False
        await w.bus.ports.venues.connect(MASTER, "paper_perpetual")
        elsewhere = OrderPlaced(
            client_order_id="n2",
            account=MASTER,
            connector="paper_perpetual",
            trading_pair="BTC-USDT",
            side=Side.BUY,
            order_type=OrderType.MARKET,
            amount=Decimal(1),
            price=None,
            position_action=PositionAction.OPEN,
            server="s1",
            placed_at=T0,
        )
        await w.log.append([write("order-n2", 0, elsewhere)], origin())

        async def silent(order: OrderPlaced) -> bool:
            await asyncio.Event().wait()
            return True

        w.spot.ask = silent  # type: ignore[method-assign]
        w.time.pass_(IN_FLIGHT_SECONDS + 1)
        await OrderWatch(w.bus, w.intake.drain).look()
        assert w.perpetual.asked == ["n2"]
