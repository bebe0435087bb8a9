"""Servers for `bench_http`, each a process of its own that serves `POST /trading/orders` in one of several ways.

All take the same request through the same web application. They differ in what stands behind it: our log or a stub of
one, the paper venue or one that takes orders and never says a word, the eventsourcing library's recorder; or everything
that one process runs, the views and the sealer included.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from functools import partial
from typing import Literal
from uuid import uuid4

import msgspec
import uvloop
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from adapters.asgi import build
from adapters.bootstrap import WRITE, Sending, server
from adapters.bootstrap.clock import now
from adapters.bootstrap.markets import factories, market_source, paper_feed
from adapters.event_store import PostgresLog
from adapters.exchanges.paper_feed import RULES
from adapters.exchanges.venues import ConnectedVenues
from adapters.garbage import collect_rarely
from adapters.http.answers import Answer
from adapters.http.callers import Committed
from adapters.http.origins import origin_of
from adapters.http.protocol import App
from adapters.http.requests import Request
from adapters.logging import configure
from adapters.market_data.feeds import Feeds
from adapters.market_data.public_clients import PublicClients, opener
from adapters.settings import Settings
from adapters.uvicorn import web
from adapters.yaml import HummingbotYaml
from commands.bus import Bus
from commands.handlers import HANDLERS
from commands.intake import Intake
from commands.orders import Placed, word
from commands.ports import AccountMemory, Exchange, Log, Ports
from domain import catalog, orders
from domain.connectors import TradingRule
from domain.orders import OrderPlaced
from domain.reports import AccountReport
from domain.values import OrderType, PositionMode
from tests.archives import no_archives
from tests.bench.library import library_recorder
from tests.bench.load import is_ready
from tests.bench.stub_log import StubLog
from tests.fakes.checkpoints import MemoryCheckpoints
from tests.fakes.fleet import MemoryFleet
from tests.fakes.lookup import ScanningLookup
from tests.fakes.vault import MemoryVault
from write_api.orders import OrderRequest, on_the_wire
from write_api.writing import Writes, answer

ACCOUNT = "master_account"
LIBRARY_CONNECTIONS = 10
ENVIRONMENT = {"PAPER_BALANCES": '{"paper": {"USDT": "1000000000000"}}'}
"""The settings of all servers. The account has enough for any number of orders."""

Behind = Literal["log", "stub", "library", "everything"]
Venue = Literal["paper", "mute"]
_START_SECONDS = 30.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which server."""

    behind: Behind
    venue: Venue
    database_url: str


class MuteExchange:
    """An exchange that takes every order and never says what became of it."""

    name = "paper"
    perpetual = False
    order_types: Sequence[OrderType] = (OrderType.LIMIT,)
    settles_within_seconds = 0.0
    reconciles = False

    async def trading_rules(self) -> Mapping[str, TradingRule]:
        return RULES

    async def prices(self) -> Mapping[str, Decimal]:
        return {}

    async def verify(self, credentials: Mapping[str, object]) -> None:
        return

    async def connect(self, memory: AccountMemory, credentials: Mapping[str, object]) -> None:
        return

    async def disconnect(self, account: str) -> None:
        return

    async def place(self, order: OrderPlaced) -> None:
        return

    async def cancel(self, account: str, client_order_id: str, trading_pair: str) -> None:
        return

    async def ask(self, order: OrderPlaced) -> bool:
        return True

    async def report(self, account: str) -> AccountReport:
        return AccountReport(account=account, connector=self.name, reported_at=now())

    async def reconcile(self, account: str) -> AccountReport:
        return await self.report(account)

    async def set_leverage(self, account: str, trading_pair: str, leverage: int) -> None:
        return

    async def set_mode(self, account: str, mode: PositionMode) -> None:
        return


def _paper(settings: Settings, intake: Intake) -> Mapping[str, Callable[[], Exchange]]:
    """Return the connectors; only the paper venue is used, which needs no market from outside."""
    feed, clients = paper_feed(settings), PublicClients(opener(settings.venue_urls), idle_seconds=60, sweep_seconds=60)
    source = partial(market_source, settings, feed, clients)
    feeds = Feeds(source, clock=now, timeout_seconds=60, cleanup_seconds=60)
    return factories(settings, intake, feed, feeds, clients)


@asynccontextmanager
async def nectar(wanted: Wanted, settings: Settings) -> AsyncIterator[App]:
    """Put the write part together: everything between a request and the log, and back from the venue to the log."""
    async with AsyncExitStack() as stack:
        log: Log = StubLog()
        if wanted.behind == "log":
            log = await stack.enter_async_context(PostgresLog.open(wanted.database_url))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        intake, vault, lookup = Intake(uuid4), MemoryVault(), ScanningLookup(log)
        loops: list[asyncio.Task[None]] = []
        mute = {"paper": MuteExchange}
        venues = ConnectedVenues(
            _paper(settings, intake) if wanted.venue == "paper" else mute,
            vault=vault,
            memory=lookup.memory,
            spawn=lambda work: loops.append(tasks.create_task(work)),
        )
        sending = Sending(tasks)
        ports = Ports(
            log=log,
            vault=vault,
            lookup=lookup,
            venues=venues,
            sink=intake,
            checkpoints=MemoryCheckpoints(),
            clock=now,
            new_id=uuid4,
            spawn=sending,
            server="bench",
            yaml=HummingbotYaml(),
            fleet=MemoryFleet(now).port(),
            archives=no_archives(now),
        )
        bus = Bus(ports, HANDLERS)
        loops.append(tasks.create_task(intake.run(bus)))
        await vault.store(ACCOUNT, "paper", {})
        await venues.connect(ACCOUNT, "paper")
        writes = Writes(bus, Committed(), partial(word, log))
        yield build(read=(), write=WRITE, dependencies={"writes": writes}, settings=settings)
        await sending.ended()
        await intake.drain()
        for loop in loops:
            loop.cancel()


class LibraryOrders(Controller):
    """The route as an application of the eventsourcing library has it: one save, and one commit, per request."""

    path = "/trading"

    @post("/orders", status_code=201)
    async def place(self, request: Request, data: JSONBody[OrderRequest], saving: NamedDependency["Saving"]) -> Answer:
        """Answer as soon as the order is durable."""
        origin = origin_of(request.asgi)
        order_id = f"n{uuid4().hex}"
        (placed,) = orders.place(
            client_order_id=order_id,
            account=data.account_name,
            connector=data.connector_name,
            trading_pair=data.trading_pair,
            side=data.trade_type,
            order_type=data.order_type,
            amount=data.amount,
            price=data.price,
            position_action=data.position_action,
            rule=RULES[data.trading_pair],
            market_price=None,
            server=str(origin.command_id),
            at=now(),
        )
        position = await saving(orders.stream_of(order_id), catalog.encode(placed))
        result = Placed(
            order_id=order_id,
            account=data.account_name,
            connector=data.connector_name,
            trading_pair=data.trading_pair,
            side=data.trade_type,
            order_type=data.order_type,
            amount=data.amount,
            price=data.price,
        )
        return answer(201, on_the_wire(result, None), position)


class Saving:
    """Saves events with the library's recorder, in threads: it is synchronous."""

    def __init__(self, recorder: PostgresApplicationRecorder, threads: ThreadPoolExecutor) -> None:
        """Take the recorder, and as many threads as it has connections."""
        self._recorder = recorder
        self._threads = threads

    async def __call__(self, stream: str, state: bytes) -> int:
        """Save an event as the first one of its stream, and return its position."""
        event = StoredEvent(originator_id=stream, originator_version=1, topic="OrderPlaced", state=state)
        loop = asyncio.get_running_loop()
        positions = await loop.run_in_executor(self._threads, self._recorder.insert_events, [event])
        return int(positions[0]) if positions else 0


@asynccontextmanager
async def library(wanted: Wanted, settings: Settings) -> AsyncIterator[App]:
    """Put the same web application over the library's recorder."""
    recorder = library_recorder(wanted.database_url, LIBRARY_CONNECTIONS)
    with recorder.datastore, ThreadPoolExecutor(LIBRARY_CONNECTIONS) as threads:
        saving = Saving(recorder, threads)
        yield build(read=(), write=(LibraryOrders,), dependencies={"saving": saving}, settings=settings)


async def serve(wanted: Wanted) -> None:
    """Serve on a free port, told on stderr, until stdin ends."""
    collect_rarely()
    settings = Settings.from_environment(ENVIRONMENT)
    match wanted.behind:
        case "library":
            put_together = library(wanted, settings)
        case "everything":
            put_together = server(settings, wanted.database_url, name="bench")
        case "log" | "stub":
            put_together = nectar(wanted, settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with put_together as app, web(app, listener):
            sys.stderr.write(f"{listener.getsockname()[1]}\n")
            await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def served(behind: Behind, venue: Venue, database_url: str) -> AsyncIterator[int]:
    """Run a server in a process of its own, its log lines going nowhere, and give its port once it is ready."""
    wanted = Wanted(behind=behind, venue=venue, database_url=database_url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.servers", msgspec.json.encode(wanted)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    if process.stdin is None or process.stderr is None:
        raise ChildProcessError("A server was started without pipes")
    try:
        line = await process.stderr.readline()
        if not line.strip().isdigit():
            raise ChildProcessError(f"The server did not start: {(line + await process.stderr.read()).decode()}")
        port = int(line)
        async with asyncio.timeout(_START_SECONDS):
            while wanted.behind == "everything" and not await is_ready(port):
                await asyncio.sleep(0.05)
        yield port
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    configure("info")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(msgspec.json.decode(sys.argv[1], type=Wanted)))
