"""Nothing leaves before it is recorded, nothing is sent twice, no outcome is invented."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from commands.orders import SENT_WITHIN_SECONDS, CancelOrder, Placed, PlaceOrder, word
from commands.processes.orders import IN_FLIGHT_SECONDS, OrderWatch
from domain.accounts import MASTER
from domain.errors import Conflict, Invalid, NotFound, Unavailable
from domain.events import Recorded
from domain.orders import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderCanceled,
    OrderFailed,
    OrderOutcomeUnknown,
    OrderPlaced,
    Status,
    stream_of,
)
from domain.values import OrderType, Side
from tests.commands.world import CountingLog, World, world


def order(**changes: Any) -> PlaceOrder:
    wanted: dict[str, Any] = {
        "account": MASTER,
        "connector": "paper",
        "trading_pair": "BTC-USDT",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "amount": Decimal("0.01"),
        "price": Decimal(50_000),
        **changes,
    }
    return PlaceOrder(**wanted)


async def connected(w: World) -> World:
    w.bus.ports.venues.admit(MASTER)
    await w.bus.ports.venues.connect(MASTER, "paper")
    return w


async def placed(w: World, key: str | None = None) -> str:
    outcome = await w.do(order(), key)
    assert isinstance(outcome.result, Placed)
    return outcome.result.order_id


async def kinds(w: World, order_id: str) -> list[type]:
    return [type(event) for event in await w.events(stream_of(order_id))]


async def test_an_order_that_was_recorded_too_late_is_not_sent() -> None:
    async with world() as w:
        await connected(w)
        w.log.slow = lambda: w.time.pass_(SENT_WITHIN_SECONDS + 1)
        order_id = await placed(w)
        w.log.slow = None
        await w.quiet()
        assert w.spot.sent == []
        assert await kinds(w, order_id) == [OrderPlaced, OrderFailed]


async def test_an_order_is_recorded_before_it_is_sent() -> None:
    async with world() as w:
        await connected(w)
        outcome = await w.do(order())
        assert w.spot.sent == []
        assert await kinds(w, outcome.result.order_id) == [OrderPlaced]
        assert outcome.position == await w.log.position()
        await w.quiet()
        assert [sent.client_order_id for sent in w.spot.sent] == [outcome.result.order_id]
        assert await kinds(w, outcome.result.order_id) == [OrderPlaced, OrderAccepted]


async def test_what_the_venue_said_belongs_to_the_orders_story() -> None:
    async with world() as w:
        await connected(w)
        origin = w.origin()
        outcome = await w.bus.dispatch(order(), origin)
        await w.quiet()
        stream = stream_of(outcome.result.order_id)
        first, second = (await w.log.read([stream]))[stream]
        assert first.correlation_id == second.correlation_id == origin.correlation_id
        assert (first.actor, second.actor) == ("admin", "<intake>")
        assert second.causation_id == origin.command_id


async def test_a_repeated_key_gives_the_first_answer_and_sends_nothing() -> None:
    async with world() as w:
        await connected(w)
        first = await w.do(order(), "k1")
        await w.quiet()
        again = await w.do(order(), "k1")
        await w.quiet()
        assert (again.result, again.repeated) == (first.result, True)
        assert len(w.spot.sent) == 1


async def test_repeats_at_the_same_time_send_once() -> None:
    async with world() as w:
        await connected(w)
        outcomes = await asyncio.gather(*(w.do(order(), "k1") for _ in range(20)))
        await w.quiet()
        assert len({outcome.result.order_id for outcome in outcomes}) == 1
        assert len(w.spot.sent) == 1


async def test_a_key_that_belongs_to_another_request_is_refused() -> None:
    async with world() as w:
        await connected(w)
        await w.do(order(), "k1")
        with pytest.raises(Conflict):
            await w.do(order(amount=Decimal("0.02")), "k1")
        await w.quiet()
        assert len(w.spot.sent) == 1


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"account": "nobody"}, NotFound, "Account 'nobody' not found"),
        ({"connector": "nope"}, NotFound, "Connector 'nope' not found"),
        ({"connector": "paper_perpetual"}, Invalid, "no credentials for connector 'paper_perpetual'"),
        ({"trading_pair": "NOPE-USDT"}, Invalid, "Trading pair 'NOPE-USDT' not supported on paper. Available pairs"),
        ({"price": None}, Invalid, "Price is required"),
        ({"amount": Decimal("0.000001")}, Invalid, "below minimum order size"),
    ],
)
async def test_a_refused_order_changes_nothing(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    async with world() as w:
        await connected(w)
        with pytest.raises(error, match=message):
            await w.do(order(**changes))
        await w.quiet()
        assert w.spot.sent == []
        assert await w.log.position() == 0


async def test_a_venue_that_does_not_answer_makes_no_outcome() -> None:
    async with world() as w:
        await connected(w)
        w.spot.mute = True
        order_id = await placed(w)
        await w.quiet()
        assert await kinds(w, order_id) == [OrderPlaced, OrderOutcomeUnknown]


async def test_an_order_whose_answer_was_lost_is_asked_for_and_not_sent_again() -> None:
    async with world() as w:
        await connected(w)
        w.spot.mute = True
        order_id = await placed(w)
        await w.quiet()
        w.spot.mute = False
        w.time.pass_(IN_FLIGHT_SECONDS + 1)
        await OrderWatch(w.bus, w.intake.drain).look()
        await w.quiet()
        assert await kinds(w, order_id) == [OrderPlaced, OrderOutcomeUnknown, OrderAccepted]
        assert len(w.spot.sent) == 1


async def test_an_order_that_may_still_be_on_its_way_is_not_asked_for() -> None:
    async with world() as w:
        await connected(w)
        w.spot.mute = True
        await placed(w)
        await w.quiet()
        await OrderWatch(w.bus, w.intake.drain).look()
        assert w.spot.asked == []


async def test_an_order_that_the_venue_does_not_know_failed_with_the_evidence() -> None:
    async with world() as w:
        await connected(w)
        w.spot.mute, w.spot.takes = True, False
        order_id = await placed(w)
        await w.quiet()
        w.spot.mute = False
        w.time.pass_(1)
        await OrderWatch(w.bus, w.intake.drain).after_restart()
        assert (await w.events(stream_of(order_id)))[-1] == OrderFailed(
            reason="paper does not know the order: asked 1 times over 0 s", failed_at=w.time()
        )


async def test_what_could_not_be_asked_after_a_restart_is_asked_as_soon_as_it_can_be() -> None:
    async with world() as w:
        await connected(w)
        w.spot.mute, w.spot.takes = True, False
        order_id = await placed(w)
        await w.quiet()
        w.time.pass_(1)
        watch = OrderWatch(w.bus, w.intake.drain)
        await watch.after_restart()
        assert OrderFailed not in await kinds(w, order_id)
        w.spot.mute = False
        await watch.look()
        assert (await kinds(w, order_id))[-1] is OrderFailed


async def test_a_venue_with_delays_is_asked_several_times_before_an_order_failed() -> None:
    async with world() as w:
        await connected(w)
        w.spot.mute, w.spot.takes, w.spot.settles_within_seconds = True, False, 20
        order_id = await placed(w)
        await w.quiet()
        w.spot.mute = False
        watch = OrderWatch(w.bus, w.intake.drain)
        for _ in range(3):
            w.time.pass_(IN_FLIGHT_SECONDS)
            assert OrderFailed not in await kinds(w, order_id)
            await watch.look()
        w.time.pass_(IN_FLIGHT_SECONDS)
        await watch.look()
        assert (await kinds(w, order_id))[-1] is OrderFailed


async def test_what_a_venue_denied_is_forgotten_when_it_answers_by_itself() -> None:
    async with world() as w:
        await connected(w)
        w.spot.mute, w.spot.takes, w.spot.settles_within_seconds = True, False, 20
        order_id = await placed(w)
        await w.quiet()
        w.spot.mute = False
        watch = OrderWatch(w.bus, w.intake.drain)
        w.time.pass_(IN_FLIGHT_SECONDS + 1)
        await watch.look()
        assert watch._denied.keys() == {order_id}
        w.spot.tell(MASTER, (order_id, OrderAccepted(exchange_order_id="1", accepted_at=w.time())))
        await w.quiet()
        await watch.look()
        assert watch._denied == {}


async def test_an_order_of_an_account_that_is_gone_stays_unknown() -> None:
    async with world() as w:
        await connected(w)
        w.spot.mute = True
        order_id = await placed(w)
        await w.quiet()
        await w.bus.ports.venues.disconnect(MASTER)
        w.time.pass_(IN_FLIGHT_SECONDS + 1)
        await OrderWatch(w.bus, w.intake.drain).look()
        assert await kinds(w, order_id) == [OrderPlaced, OrderOutcomeUnknown]


async def test_a_cancel_is_recorded_before_it_is_sent_and_sent_once() -> None:
    async with world() as w:
        await connected(w)
        order_id = await placed(w)
        await w.quiet()
        cancel = CancelOrder(account=MASTER, connector="paper", client_order_id=order_id)
        await asyncio.gather(w.do(cancel), w.do(cancel))
        await w.quiet()
        assert w.spot.cancels == [order_id]
        assert await kinds(w, order_id) == [OrderPlaced, OrderAccepted, CancelRequested, OrderCanceled]
        with pytest.raises(NotFound, match="not found in active orders"):
            await w.do(cancel)


async def test_a_cancel_whose_answer_was_lost_is_asked_about_and_not_sent_again() -> None:
    async with world() as w:
        await connected(w)
        order_id = await placed(w)
        await w.quiet()
        w.spot.mute = True
        await w.do(CancelOrder(account=MASTER, connector="paper", client_order_id=order_id))
        await w.quiet()
        w.time.pass_(IN_FLIGHT_SECONDS + 1)
        watch = OrderWatch(w.bus, w.intake.drain)
        await watch.look()
        assert (await kinds(w, order_id))[-1] is CancelRequested
        w.spot.mute = False
        await watch.look()
        assert (await kinds(w, order_id))[-1] is CancelRejected
        assert w.spot.cancels == [order_id]


async def test_a_cancel_that_did_happen_is_not_called_refused() -> None:
    async with world() as w:
        await connected(w)
        order_id = await placed(w)
        await w.quiet()
        w.spot.mute = True
        await w.do(CancelOrder(account=MASTER, connector="paper", client_order_id=order_id))
        await w.quiet()
        w.spot.mute = False
        w.spot.holds[order_id].append(OrderCanceled(canceled_at=w.time()))
        w.time.pass_(IN_FLIGHT_SECONDS + 1)
        await OrderWatch(w.bus, w.intake.drain).look()
        assert (await kinds(w, order_id))[-1] is OrderCanceled


async def test_the_venues_word_is_waited_for() -> None:
    async with world() as w:
        await connected(w)
        order_id = await placed(w)
        said = await word(w.log, order_id, 5)
        assert (said.state, said.exchange_order_id, said.reason) == (Status.ACCEPTED, "1", None)
        assert (await word(w.log, order_id, 5)).state is Status.ACCEPTED


async def test_a_word_that_does_not_come_in_time_is_none() -> None:
    async with world() as w:
        await connected(w)
        outcome = await w.do(order())
        said = await word(w.log, outcome.result.order_id, 0)
        assert (said.state, said.position) == (Status.PLACED, outcome.position)


async def test_a_log_that_is_away_leaves_a_placed_order_placed() -> None:
    class Away(CountingLog):
        async def read(self, streams: Sequence[str]) -> dict[str, list[Recorded]]:
            raise Unavailable("The log is away")

    said = await word(Away(), "n1", 5)
    assert (said.state, said.exchange_order_id, said.position) == (Status.PLACED, None, 0)


async def test_an_unanswered_order_tells_why() -> None:
    async with world() as w:
        await connected(w)
        w.spot.mute = True
        said = await word(w.log, await placed(w), 5)
        assert (said.state, said.reason) == (Status.UNKNOWN, "The venue did not answer in 10 s")
