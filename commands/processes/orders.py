"""See every order to an outcome: ask the venue about those it has not answered, and never send one again.

At start-up and every few seconds alike: an order without an outcome that was placed longer ago than any request of ours
can still be on its way is asked for at the venue by its client order id. What the venue knows is taken in as any
report. When it positively does not know the order, several times over longer than its own delays, the order failed,
and the event holds the evidence.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import msgspec
import structlog

from commands.abreast import abreast
from commands.bus import Bus, origin_of_process
from commands.orders import FailOrder, LoseOrder, RefuseCancel
from commands.ports import Exchange, Ports
from domain.errors import DomainError, Unavailable
from domain.orders import OrderPlaced

logger = structlog.get_logger()

IN_FLIGHT_SECONDS = 15
"""No request of ours to a venue takes longer (the connectors' own time-outs are shorter)."""
ASKED_AT_ONCE = 8
"""How many orders one connector is asked for at once."""
ROUND_SECONDS = 20.0
"""How long one connector is asked for before the rest is left to the next round; longer than any one request takes."""
DENIALS = 3
"""How often a venue must say that it does not know an order, where it may need time to know."""


class Denied(msgspec.Struct, kw_only=True):
    """How often and since when a venue says that it does not know an order."""

    first_at: datetime
    times: int = 0


class OrderWatch:
    """Asks venues about orders without an outcome. Its only memory is how often it was denied; losing it costs time."""

    def __init__(self, bus: Bus, taken_in: Callable[[], Awaitable[None]]) -> None:
        """Watch over the orders of the bus's ports. `taken_in` returns when all that venues told so far is recorded."""
        self._bus = bus
        self._taken_in = taken_in
        self._ports: Ports = bus.ports
        self._denied: dict[str, Denied] = {}
        self._began_at: datetime | None = None

    async def after_restart(self) -> None:
        """Ask at once about all that this server left without an outcome: nothing of it is on its way any more.

        What cannot be asked yet, because its venue is not connected, is asked with the next `look`.
        """
        self._began_at = self._ports.clock()
        await self._look(self._began_at)

    async def look(self) -> None:
        """Ask about all that waits for an outcome for longer than a request can be on its way."""
        before = self._ports.clock() - timedelta(seconds=IN_FLIGHT_SECONDS)
        await self._look(before if self._began_at is None else max(before, self._began_at))

    async def _look(self, before: datetime) -> None:
        unanswered = await self._ports.lookup.unanswered(placed_before=before)
        # An order may be answered by the venue itself, without being asked for again.
        waiting = {order.client_order_id for order in unanswered}
        self._denied = {order_id: denied for order_id, denied in self._denied.items() if order_id in waiting}
        await self._each(unanswered, self._settle)
        await self._each(await self._ports.lookup.cancels_unanswered(requested_before=before), self._settle_cancel)

    async def _each(self, orders: Sequence[OrderPlaced], settle: Callable[[OrderPlaced], Awaitable[None]]) -> None:
        """Settle orders, the oldest of each connector first; one venue that is silent does not delay the others."""
        by_connector: dict[str, list[OrderPlaced]] = {}
        for order in orders:
            by_connector.setdefault(order.connector, []).append(order)
        rounds = [partial(self._round, connector, waiting, settle) for connector, waiting in by_connector.items()]
        await abreast(max(1, len(rounds)), rounds)

    @staticmethod
    async def _round(
        connector: str, orders: Sequence[OrderPlaced], settle: Callable[[OrderPlaced], Awaitable[None]]
    ) -> None:
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                await abreast(ASKED_AT_ONCE, [partial(settle, order) for order in orders])
        except TimeoutError:
            logger.warning("orders_left_for_later", connector=connector, orders=len(orders), seconds=ROUND_SECONDS)

    async def _settle(self, order: OrderPlaced) -> None:
        try:
            exchange = self._ports.venues.connected(order.account, order.connector)
            known = await exchange.ask(order)
        except DomainError as reason:
            # Unavailable, or the account is not connected any more: nobody can tell, so it stays unknown.
            await self._lose(order, reason.message)
            return
        if known:
            self._denied.pop(order.client_order_id, None)
        else:
            await self._deny(order, exchange)

    async def _lose(self, order: OrderPlaced, reason: str) -> None:
        command = LoseOrder(client_order_id=order.client_order_id, reason=reason)
        await self._bus.dispatch(command, origin_of_process("orders", self._ports.new_id))

    async def _deny(self, order: OrderPlaced, exchange: Exchange) -> None:
        now = self._ports.clock()
        denied = self._denied.setdefault(order.client_order_id, Denied(first_at=now))
        denied.times += 1
        waited = (now - denied.first_at).total_seconds()
        if exchange.settles_within_seconds and (denied.times < DENIALS or waited < exchange.settles_within_seconds):
            await self._lose(order, f"{order.connector} does not know the order yet")
            return
        del self._denied[order.client_order_id]
        reason = f"{order.connector} does not know the order: asked {denied.times} times over {waited:.0f} s"
        command = FailOrder(client_order_id=order.client_order_id, reason=reason)
        await self._bus.dispatch(command, origin_of_process("orders", self._ports.new_id))

    async def _settle_cancel(self, order: OrderPlaced) -> None:
        try:
            exchange = self._ports.venues.connected(order.account, order.connector)
            known = await exchange.ask(order)
        except Unavailable as reason:
            logger.warning("cancel_unanswered", order_id=order.client_order_id, why=reason.message)
            return
        except DomainError as reason:
            why = reason.message
        else:
            why = "The venue did not cancel it" if known else f"{order.connector} does not know the order"
        # A cancel that did happen is recorded now, and then there is nothing left to refuse.
        await self._taken_in()
        command = RefuseCancel(client_order_id=order.client_order_id, reason=why)
        await self._bus.dispatch(command, origin_of_process("orders", self._ports.new_id))
