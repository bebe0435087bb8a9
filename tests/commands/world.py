"""A whole command side in memory: real handlers and intake, fakes for what is outside."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from adapters.yaml import HummingbotYaml
from commands.bus import Bus, Command, Outcome
from commands.handlers import HANDLERS
from commands.intake import Intake
from commands.ports import AccountMemory, Appended, Exchange, Ports, Write
from commands.processes.bots import BotKeeper
from domain.connectors import ConfigField, TradingRule
from domain.errors import Invalid, NotFound, Unavailable
from domain.events import Event, Origin
from domain.orders import OrderAccepted, OrderCanceled, OrderFact, OrderPlaced
from domain.portfolio import Holding
from domain.reports import AccountReport
from domain.values import OrderType, PositionMode
from tests.archives import no_archives
from tests.fakes.checkpoints import MemoryCheckpoints
from tests.fakes.fleet import MemoryFleet
from tests.fakes.log import MemoryLog
from tests.fakes.lookup import ScanningLookup
from tests.fakes.vault import MemoryVault

T0 = datetime(2026, 1, 1, tzinfo=UTC)
RULE = TradingRule(
    trading_pair="BTC-USDT",
    min_order_size=Decimal("0.00001"),
    min_price_increment=Decimal("0.01"),
    min_base_amount_increment=Decimal("0.00001"),
    min_notional_size=Decimal(5),
    buy_order_collateral_token="USDT",
    sell_order_collateral_token="USDT",
)


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def pause(self, seconds: float) -> None:
        """Wait without waiting."""
        self.pass_(seconds)
        await asyncio.sleep(0)


class ScriptedExchange:
    """A venue that does what the test says: `mute` answers nothing, `holds` is what it knows."""

    order_types: Sequence[OrderType] = (OrderType.LIMIT, OrderType.MARKET, OrderType.LIMIT_MAKER)

    reconciles = False

    def __init__(self, name: str, time: Time, *, perpetual: bool = False) -> None:
        self.name = name
        self.perpetual = perpetual
        self.settles_within_seconds = 0.0
        self.time = time
        self.sink: Intake | None = None
        self.sent: list[OrderPlaced] = []
        self.cancels: list[str] = []
        self.asked: list[str] = []
        self.holds: dict[str, list[OrderFact]] = {}
        self.holdings = [Holding(token="USDT", units=Decimal(100), available=Decimal(100))]
        self.mute = False
        self.takes = True
        self.refuses_margin: str | None = None

    async def trading_rules(self) -> Mapping[str, TradingRule]:
        return {"BTC-USDT": RULE}

    async def prices(self) -> Mapping[str, Decimal]:
        return {"BTC-USDT": Decimal(50_000)}

    async def verify(self, credentials: Mapping[str, object]) -> None:
        if credentials.get("key") == "wrong":
            raise Invalid("The venue does not know this key")

    async def connect(self, memory: AccountMemory, credentials: Mapping[str, object]) -> None:
        await self.verify(credentials)

    async def disconnect(self, account: str) -> None:
        pass

    async def place(self, order: OrderPlaced) -> None:
        self.sent.append(order)
        if self.takes:
            fact = OrderAccepted(exchange_order_id=str(len(self.sent)), accepted_at=self.time())
            self.holds[order.client_order_id] = [fact]
        if self.mute:
            raise Unavailable("The venue did not answer in 10 s")
        self.tell(order.account, *((order.client_order_id, f) for f in self.holds[order.client_order_id]))

    async def cancel(self, account: str, client_order_id: str, trading_pair: str) -> None:
        self.cancels.append(client_order_id)
        if self.mute:
            raise Unavailable("The venue did not answer in 10 s")
        self.tell(account, (client_order_id, OrderCanceled(canceled_at=self.time())))

    async def ask(self, order: OrderPlaced) -> bool:
        self.asked.append(order.client_order_id)
        if self.mute:
            raise Unavailable("The venue did not answer in 10 s")
        facts = self.holds.get(order.client_order_id)
        if facts is None:
            return False
        self.tell(order.account, *((order.client_order_id, fact) for fact in facts))
        return True

    async def report(self, account: str) -> AccountReport:
        return AccountReport(
            account=account, connector=self.name, reported_at=self.time(), holdings=self.holdings, snapshot=True
        )

    async def reconcile(self, account: str) -> AccountReport:
        if self.mute:
            raise Unavailable("The venue did not answer in 10 s")
        facts = [(order_id, fact) for order_id, known in self.holds.items() for fact in known]
        return AccountReport(
            account=account, connector=self.name, reported_at=self.time(), orders=facts, holdings=self.holdings
        )

    async def set_leverage(self, account: str, trading_pair: str, leverage: int) -> None:
        self._margin()

    async def set_mode(self, account: str, mode: PositionMode) -> None:
        self._margin()

    def _margin(self) -> None:
        if self.refuses_margin is not None:
            raise Invalid(self.refuses_margin)
        if self.mute:
            raise Unavailable("The venue did not answer in 10 s")

    def tell(self, account: str, *facts: tuple[str, OrderFact]) -> None:
        assert self.sink is not None
        _ = self.sink(AccountReport(account=account, connector=self.name, reported_at=self.time(), orders=facts))


class FakeVenues:
    """The port `Venues` over scripted exchanges."""

    def __init__(self, exchanges: Sequence[ScriptedExchange], vault: MemoryVault) -> None:
        self._exchanges: dict[str, Exchange] = {e.name: e for e in exchanges}
        self._vault = vault
        self._accounts: dict[str, set[str]] = {}

    def admit(self, account: str, connectors: Iterable[str] = ()) -> None:
        self._accounts.setdefault(account, set())

    def accounts(self) -> Mapping[str, frozenset[str]]:
        return {account: frozenset(connectors) for account, connectors in self._accounts.items()}

    def connectors(self) -> Sequence[str]:
        return list(self._exchanges)

    def exchange(self, connector: str) -> Exchange:
        if connector not in self._exchanges:
            raise NotFound(f"Connector '{connector}' not found")
        return self._exchanges[connector]

    def connected(self, account: str, connector: str) -> Exchange:
        if account not in self._accounts:
            raise NotFound(f"Account '{account}' not found")
        exchange = self.exchange(connector)
        if connector not in self._accounts[account]:
            raise Invalid(f"Account '{account}' has no credentials for connector '{connector}'")
        return exchange

    def config_map(self, connector: str) -> Mapping[str, ConfigField]:
        self.exchange(connector)
        return {"key": ConfigField(type="SecretStr", required=False)}

    def check_credentials(self, connector: str, credentials: Mapping[str, object]) -> None:
        unknown = set(credentials) - set(self.config_map(connector))
        if unknown:
            raise Invalid(f"Connector '{connector}' has no field {sorted(unknown)}")

    async def verify(self, connector: str, credentials: Mapping[str, object]) -> None:
        await self.exchange(connector).verify(credentials)

    async def connect(self, account: str, connector: str) -> None:
        credentials = await self._vault.read(account, connector) or {}
        await self.exchange(connector).connect(
            AccountMemory(account=account, connector=connector, balances=None), credentials
        )
        self._accounts.setdefault(account, set()).add(connector)

    async def disconnect(self, account: str, connector: str | None = None) -> None:
        if connector is None:
            self._accounts.pop(account, None)
        elif account in self._accounts:
            self._accounts[account].discard(connector)


class CountingLog(MemoryLog):
    """A log that counts commits, and is away while a test says so.

    `answers_lost` of the next appends are recorded without their callers hearing of it; `slow` passes time in each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.commits = 0
        self.away: Unavailable | None = None
        self.answers_lost = 0
        self.slow: Callable[[], None] | None = None
        self.refused = asyncio.Event()

    async def append(
        self, writes: Sequence[Write], origin: Origin, *, answer: bytes | None = None, request: bytes = b""
    ) -> Appended:
        if self.away is not None:
            self.refused.set()
            raise self.away
        self.commits += 1
        appended = await super().append(writes, origin, answer=answer, request=request)
        if self.slow is not None:
            self.slow()
        if self.answers_lost:
            self.answers_lost -= 1
            raise Unavailable("It is not known whether this was recorded")
        return appended


class World(msgspec.Struct, frozen=True):
    """Everything that a test of commands reaches for."""

    bus: Bus
    log: CountingLog
    spot: ScriptedExchange
    perpetual: ScriptedExchange
    intake: Intake
    time: Time
    vault: MemoryVault
    fleet: MemoryFleet
    keeper: BotKeeper
    sends: set["asyncio.Task[None]"]

    def origin(self, key: str | None = None, actor: str = "admin") -> Origin:
        new_id = self.bus.ports.new_id
        return Origin(correlation_id=new_id(), command_id=new_id(), actor=actor, idempotency_key=key)

    async def do(self, command: Command, key: str | None = None) -> Outcome:
        return await self.bus.dispatch(command, self.origin(key))

    async def quiet(self) -> None:
        """Wait until all that was set going is done."""
        while self.sends or self.intake.waiting:
            await asyncio.gather(*self.sends)
            await self.intake.drain()

    async def events(self, stream: str) -> list[Event]:
        return [recorded.event for recorded in (await self.log.read([stream]))[stream]]


@asynccontextmanager
async def world(before: World | None = None, through: Callable[[Any], Any] = lambda port: port) -> AsyncIterator[World]:
    """Run a command side; one after another server's end has the log, the vault and the fleet that it left.

    `through` is put between it and its log and fleet.
    """
    ids = itertools.count(1) if before is None else itertools.count(before.bus.ports.new_id().int)
    time = Time() if before is None else before.time
    log, vault = (CountingLog(), MemoryVault()) if before is None else (before.log, before.vault)
    fleet = MemoryFleet(time) if before is None else before.fleet
    spot = ScriptedExchange("paper", time)
    perpetual = ScriptedExchange("paper_perpetual", time, perpetual=True)
    intake = Intake(lambda: UUID(int=next(ids)))
    spot.sink = perpetual.sink = intake
    sends: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[object, object, None]) -> None:
        task = tasks.create_task(work)
        sends.add(task)
        task.add_done_callback(sends.discard)

    async with asyncio.TaskGroup() as tasks:
        ports = Ports(
            log=through(log),
            vault=vault,
            lookup=ScanningLookup(log),
            venues=FakeVenues([spot, perpetual], vault),
            sink=intake,
            checkpoints=MemoryCheckpoints(),
            clock=time,
            new_id=lambda: UUID(int=next(ids)),
            spawn=spawn,
            server="s1",
            yaml=HummingbotYaml(),
            fleet=fleet.port(through),
            archives=no_archives(time),
            banned=frozenset({"SPAM"}),
        )
        bus = Bus(ports, HANDLERS)
        keeper = BotKeeper(ports, pause=time.pause)
        running = [tasks.create_task(intake.run(bus)), tasks.create_task(keeper.run())]
        yield World(bus, log, spot, perpetual, intake, time, vault, fleet, keeper, sends)
        for task in running:
            task.cancel()
