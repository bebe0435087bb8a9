"""The port `Lookup` by reading the whole log each time: slow, and plainly right."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from commands.folding import fold
from commands.ports import AccountMemory, Log, OpenOrder
from domain import accounts, bots, orders, positions
from domain.accounts import Account
from domain.events import Recorded
from domain.orders import CancelRequested, OrderObserved, OrderPlaced, Status
from domain.portfolio import Balance, BalancesObserved
from domain.positions import FundingPaid, PositionObserved
from domain.strategies import ControllerDeleted, ControllerSaved, ScriptDeleted, ScriptSaved


class ScanningLookup:
    """Answers from all events there are."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def _streams(self) -> dict[str, list[Recorded]]:
        streams: dict[str, list[Recorded]] = {}
        for recorded in await self._log.page(0, 1_000_000):
            streams.setdefault(recorded.stream, []).append(recorded)
        return streams

    async def accounts(self) -> Mapping[str, Account]:
        folded = {
            stream.removeprefix("account-"): fold(accounts.NEW, accounts.evolve, history)
            for stream, history in (await self._streams()).items()
            if stream.startswith("account-")
        }
        return {name: account for name, account in folded.items() if account.exists}

    async def memory(self, account: str, connector: str) -> AccountMemory:
        streams = await self._streams()
        balances = streams.get(f"balances-{account}-{connector}", [])
        margin = fold(positions.NEW, positions.evolve, streams.get(positions.margin_stream_of(account, connector), []))
        seen = max((r.recorded_at for history in streams.values() for r in history), default=None)
        return AccountMemory(
            account=account,
            connector=connector,
            balances=_balances(balances),
            open_orders=[
                OpenOrder(
                    order=begun,
                    exchange_order_id=order.exchange_order_id,
                    filled=order.filled,
                    trade_ids=frozenset(order.trade_ids),
                )
                for begun, order in self._begun(streams)
                if (begun.account, begun.connector, order.status) == (account, connector, Status.ACCEPTED)
                and order.exchange_order_id is not None
            ],
            unanswered=[
                order
                for order in await self.unanswered(placed_before=datetime.max.replace(tzinfo=UTC))
                if (order.account, order.connector) == (account, connector)
            ],
            pairs=sorted(
                {
                    recorded.event.trading_pair
                    for history in streams.values()
                    for recorded in history
                    if isinstance(recorded.event, OrderPlaced | OrderObserved | PositionObserved | FundingPaid)
                    and (recorded.event.account, recorded.event.connector) == (account, connector)
                }
            ),
            positions=_open_positions(streams, account, connector),
            leverage=margin.leverage,
            mode=margin.mode,
            last_seen_at=seen,
        )

    async def unanswered(self, *, placed_before: datetime) -> Sequence[OrderPlaced]:
        return [
            placed
            for placed, order in self._orders(await self._streams())
            if order.status in (Status.PLACED, Status.UNKNOWN) and placed.placed_at < placed_before
        ]

    async def cancels_unanswered(self, *, requested_before: datetime) -> Sequence[OrderPlaced]:
        streams = await self._streams()
        return [
            placed
            for placed, order in self._orders(streams)
            if order.is_open
            and order.cancel_requested
            and any(
                isinstance(r.event, CancelRequested) and r.event.requested_at < requested_before
                for r in streams[orders.stream_of(placed.client_order_id)]
            )
        ]

    async def sources(self) -> Mapping[str, str]:
        sources: dict[str, str] = {}
        for recorded in await self._log.page(0, 1_000_000):
            match recorded.event:
                case ScriptSaved(name=name, source=source):
                    sources[f"scripts/{name}.py"] = source
                case ScriptDeleted(name=name):
                    sources.pop(f"scripts/{name}.py")
                case ControllerSaved(type=type_, name=name, source=source):
                    sources[f"controllers/{type_}/{name}.py"] = source
                case ControllerDeleted(type=type_, name=name):
                    sources.pop(f"controllers/{type_}/{name}.py")
        return sources

    async def instances(self) -> Sequence[str]:
        lives = [
            (stream, history)
            for stream, history in (await self._streams()).items()
            if stream.startswith(bots.stream_of(""))
        ]
        folded = [fold(bots.NEW, bots.evolve, history) for _, history in lives]
        return [bot.deployed.instance for bot in folded if bot.deployed is not None and not bot.cleared]

    async def strategy_ended(self, instance: str, *, since: datetime) -> bool:
        reported = [recorded.event for recorded in (await self._streams()).get(bots.updates_of(instance), [])]
        last = {event.controller: event for event in reported if isinstance(event, bots.ControllerReported)}
        ended = [event.heard_at >= since and bytes(event.performance) == b"{}" for event in last.values()]
        return bool(ended) and all(ended)

    @staticmethod
    def _begun(streams: Mapping[str, list[Recorded]]) -> list[tuple[OrderPlaced | OrderObserved, orders.Order]]:
        return [
            (history[0].event, fold(orders.NEW, orders.evolve, history))
            for history in streams.values()
            if isinstance(history[0].event, OrderPlaced | OrderObserved)
        ]

    def _orders(self, streams: Mapping[str, list[Recorded]]) -> list[tuple[OrderPlaced, orders.Order]]:
        return [(begun, order) for begun, order in self._begun(streams) if isinstance(begun, OrderPlaced)]


def _balances(history: Sequence[Recorded]) -> Sequence[Balance] | None:
    if not history:
        return None
    last = history[-1].event
    assert isinstance(last, BalancesObserved)
    return last.balances


def _open_positions(streams: Mapping[str, list[Recorded]], account: str, connector: str) -> list[PositionObserved]:
    last = {
        (event.trading_pair, event.side): event
        for history in streams.values()
        for event in (r.event for r in history)
        if isinstance(event, PositionObserved) and (event.account, event.connector) == (account, connector)
    }
    return [position for position in last.values() if position.amount]
