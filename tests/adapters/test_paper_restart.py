"""The paper venue and the log: killed after any commit, it goes on from where the log stands."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID

import pytest

from adapters.exchanges.paper import PaperExchange
from adapters.exchanges.paper_feed import SyntheticFeed
from adapters.exchanges.venues import ConnectedVenues
from adapters.yaml import HummingbotYaml
from commands.accounts import first_start
from commands.bus import Bus, Command, origin_of_process
from commands.handlers import HANDLERS
from commands.intake import Intake
from commands.orders import CancelOrder, Placed, PlaceOrder
from commands.ports import Ports
from commands.positions import SetLeverage
from domain.errors import DomainError
from domain.events import Recorded
from domain.matching.fees import Fees
from domain.orders import OrderFilled
from domain.portfolio import BalancesObserved, Holding
from domain.reports import AccountReport
from domain.values import OrderType, PositionAction, Side
from tests.archives import no_archives
from tests.fakes.checkpoints import MemoryCheckpoints
from tests.fakes.fleet import MemoryFleet
from tests.fakes.log import MemoryLog
from tests.fakes.lookup import ScanningLookup
from tests.fakes.vault import MemoryVault

CONNECTORS = ("paper", "paper_perpetual")
STARTING = {
    "paper": {"USDT": Decimal(100_000), "BTC": Decimal(2), "ETH": Decimal(30)},
    "paper_perpetual": {"USDT": Decimal(50_000)},
}


class Server:
    """One run of a server over a log."""

    def __init__(self, log: MemoryLog, tasks: asyncio.TaskGroup, now: datetime) -> None:
        ids = itertools.count(len(log.recorded) * 1_000_000)
        new_id = lambda: UUID(int=next(ids))  # noqa: E731 - a port
        self.now = now
        self.tasks: set[asyncio.Task[None]] = set()
        self.intake = Intake(new_id)
        self.vault = MemoryVault()
        self.group = tasks
        self.venues = ConnectedVenues(
            {name: partial(self.paper, name) for name in CONNECTORS},
            vault=self.vault,
            memory=ScanningLookup(log).memory,
            spawn=self.spawn,
        )
        ports = Ports(
            log=log,
            vault=self.vault,
            lookup=ScanningLookup(log),
            venues=self.venues,
            sink=self.intake,
            checkpoints=MemoryCheckpoints(),
            clock=lambda: self.now,
            new_id=new_id,
            spawn=self.spawn,
            server="s1",
            yaml=HummingbotYaml(),
            fleet=MemoryFleet(lambda: self.now).port(),
            archives=no_archives(lambda: self.now),
        )
        self.bus = Bus(ports, HANDLERS)
        self.spawn(self.intake.run(self.bus), waits=False)

    def paper(self, name: str) -> PaperExchange:
        return PaperExchange(
            name=name,
            perpetual=name == "paper_perpetual",
            feed=SyntheticFeed(5),
            clock=lambda: self.now,
            sink=self.intake,
            fees=Fees(maker=Decimal("0.0002"), taker=Decimal("0.0007")),
            starting=STARTING[name],
            tick_seconds=3600,
        )

    def spawn(self, work: Coroutine[object, object, None], *, waits: bool = True) -> None:
        task = self.group.create_task(work)
        self.running = [*getattr(self, "running", []), task]
        if waits and getattr(work, "__name__", "") != "run":
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def begin(self) -> None:
        await first_start(self.bus.ports)
        for connector in CONNECTORS:
            await self.vault.store("master_account", connector, {})
            await self.venues.connect("master_account", connector)
        await self.intake.drain()

    async def do(self, command: Command) -> object:
        outcome = await self.bus.dispatch(command, origin_of_process("test", self.bus.ports.new_id))
        await asyncio.gather(*self.tasks)
        return outcome.result

    def tick(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        for connector in CONNECTORS:
            exchange = self.venues.exchange(connector)
            assert isinstance(exchange, PaperExchange)
            exchange.tick()

    async def state(self, connector: str) -> tuple[object, ...]:
        """Return all that the venue has of the account: balances, positions, open orders in their order."""
        exchange = self.venues.exchange(connector)
        assert isinstance(exchange, PaperExchange)
        report: AccountReport = await exchange.report("master_account")
        positions = {(p.trading_pair, p.side): (p.amount, p.entry_price, p.leverage) for p in report.positions}
        resting = exchange._engine.open_orders("master_account")
        return _balances(report.holdings or ()), positions, [(o.number, o.remaining, o.price) for o in resting]


def _balances(holdings: Sequence[Holding]) -> dict[str, tuple[Decimal, Decimal]]:
    return {h.token: (h.units, h.available) for h in holdings}


@asynccontextmanager
async def server(log: MemoryLog, now: datetime) -> AsyncIterator[Server]:
    async with asyncio.TaskGroup() as tasks:
        running = Server(log, tasks, now)
        await running.begin()
        yield running
        for task in running.running:
            task.cancel()


async def trade(run: Server, chance: random.Random, steps: int) -> None:
    """Do what a busy user could do."""
    placed: list[Placed] = []
    for _ in range(steps):
        connector = chance.choice(CONNECTORS)
        pair, mid, size = chance.choice([("BTC-USDT", 59_600, 5), ("ETH-USDT", 3_080, 80)])
        try:
            match chance.randrange(8):
                case 0:
                    run.tick(chance.choice([1, 5, 30]))
                case 1 if placed:
                    order = chance.choice(placed)
                    await run.do(
                        CancelOrder(account=order.account, connector=order.connector, client_order_id=order.order_id)
                    )
                case 2:
                    leverage = chance.choice([1, 2, 7, 20])
                    await run.do(
                        SetLeverage(
                            account="master_account",
                            connector="paper_perpetual",
                            trading_pair=pair,
                            leverage=leverage,
                        )
                    )
                case _:
                    order_type = chance.choice(list(OrderType))
                    result = await run.do(
                        PlaceOrder(
                            account="master_account",
                            connector=connector,
                            trading_pair=pair,
                            side=chance.choice(list(Side)),
                            order_type=order_type,
                            amount=Decimal(chance.randrange(1, 1000 * size)) / 10_000,
                            price=Decimal(mid) * (1 + Decimal(chance.randrange(-40, 40)) / 10_000),
                            position_action=chance.choice(list(PositionAction)),
                        )
                    )
                    assert isinstance(result, Placed)
                    placed.append(result)
        except DomainError:
            pass  # refused, as a user may be
    await run.intake.drain()


def commits(log: MemoryLog) -> list[int]:
    """Return the positions at which a commit ends."""
    return [a.position for a, b in itertools.pairwise(log.recorded) if a.recorded_at != b.recorded_at]


async def cut(log: MemoryLog, position: int) -> MemoryLog:
    """Return the log as a crash after that position leaves it."""
    shorter = MemoryLog()
    for recorded in log.recorded[:position]:
        shorter.recorded.append(recorded)
        shorter._streams.setdefault(recorded.stream, []).append(recorded)
    shorter._appends = int((log.recorded[position - 1].recorded_at - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds())
    return shorter


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_after_a_kill_balances_positions_and_orders_are_what_the_log_says(seed):
    chance = random.Random(seed)
    log, now = MemoryLog(), datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
    async with server(log, now) as run:
        await trade(run, chance, 150)
        live = {connector: await run.state(connector) for connector in CONNECTORS}
        now = run.now + timedelta(seconds=1)
    assert sum(isinstance(recorded.event, OrderFilled) for recorded in log.recorded) > 20
    length = len(log.recorded)
    async with server(log, now) as again:
        assert {connector: await again.state(connector) for connector in CONNECTORS} == live
    assert len(log.recorded) == length
    for position in chance.sample([p for p in commits(log) if p > 8], 12):
        await _check(await cut(log, position), now)


async def _check(log: MemoryLog, now: datetime) -> None:
    before = len(log.recorded)
    async with server(log, now) as run:
        for connector in CONNECTORS:
            balances = (await run.state(connector))[0]
            assert balances == _last_balances(log.recorded, connector)
            units = {token: units for token, (units, _) in _last_balances(log.recorded[:before], connector).items()}
            assert units == {token: units for token, (units, _) in _last_balances(log.recorded, connector).items()}


def _last_balances(recorded: list[Recorded], connector: str) -> dict[str, tuple[Decimal, Decimal]]:
    last = [r.event for r in recorded if r.stream == f"balances-master_account-{connector}"][-1]
    assert isinstance(last, BalancesObserved)
    return {b.token: (b.units, b.available) for b in last.balances}
