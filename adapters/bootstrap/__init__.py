"""The composition root: puts every part of the server together, starts it in order, and stops it in order.

Start-up and recovery are one path: migrate, open vault and log, let the views catch up, connect the accounts with what
the log knows of them, ask venues about what was left without an outcome, and only then say ready.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from uuid import uuid4

import structlog

from adapters.archives.files import ArchiveFiles
from adapters.asgi import build
from adapters.bootstrap.bots import Address, Bots, bots, owner_of
from adapters.bootstrap.clock import now
from adapters.bootstrap.markets import factories, market_source, paper_feed, rate_source
from adapters.candles.table import candle_history
from adapters.checkpoints import PostgresCheckpoints
from adapters.event_store import PostgresLog
from adapters.exchanges.venues import ConnectedVenues
from adapters.http.callers import Committed
from adapters.http.gate import Gate
from adapters.http.protocol import App
from adapters.ids import time_ordered
from adapters.lookup import Views
from adapters.market_data.feeds import Feeds
from adapters.market_data.public_clients import PublicClients, opener
from adapters.migrations import migrate
from adapters.rate_sources.polling import PolledSources
from adapters.readiness import Readiness
from adapters.scheduler import scheduled
from adapters.seals import Sealer
from adapters.settings import Settings
from adapters.tables import Tables
from adapters.turn import Turn
from adapters.vault import Vault
from adapters.yaml import HummingbotYaml
from commands import schedule
from commands.accounts import first_start
from commands.bots.updates import BotIntake
from commands.bus import Bus
from commands.handlers import HANDLERS
from commands.intake import Intake
from commands.orders import word
from commands.ports import Ports
from commands.processes import runner
from commands.processes.accounts import ACCOUNTS, connect_all, connect_rest
from commands.processes.archives import ArchiveWatch
from commands.processes.bots import BotKeeper
from commands.processes.orders import OrderWatch
from domain.errors import DomainError, Unavailable
from projections.past import Past
from projections.pool import Pool
from projections.runner import Progress, Projector
from projections.views import VIEWS
from read_api.archives.wire import Kept
from read_api.audit.feed import Following
from read_api.bots.roster import Roster
from read_api.controllers import CONTROLLERS
from read_api.executors import WatchedBots
from read_api.settle import Reads
from read_api.sockets import socket_topics
from read_api.sockets.conversation import Terms
from write_api import accounts, archives, containers, orders, positions, rates, strategies
from write_api.bots import BotRuns
from write_api.bots import Bots as BotWrites
from write_api.writing import Writes

logger = structlog.get_logger()

_CATCH_UP_SECONDS = 5.0
_RETRY_SECONDS = 0.5
_POOL_SECONDS = 3.0

WRITE = (
    accounts.Accounts,
    archives.ArchiveWrites,
    BotWrites,
    BotRuns,
    containers.Containers,
    orders.Orders,
    positions.Positions,
    rates.Rates,
    strategies.Scripts,
    strategies.Controllers,
)


class Sending:
    """Runs what is sent beside its request, and lets it end before the server does."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._under_way: set[asyncio.Task[None]] = set()

    def __call__(self, work: Coroutine[object, object, None]) -> None:
        """Begin work; what it fails with is logged: what it left undone is found by the process that looks for it."""
        task = self._tasks.create_task(_reported(work))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def ended(self) -> None:
        """Wait until all that was begun has ended."""
        while self._under_way:
            await asyncio.wait(self._under_way)


async def _reported(work: Coroutine[object, object, None]) -> None:
    try:
        await work
    except DomainError as reason:
        logger.warning("send_incomplete", why=reason.message)
    except Exception:
        # One order's fault must not stop the server: without an outcome, the order is asked for at its venue.
        logger.exception("send_failed")


@asynccontextmanager
async def server(
    settings: Settings,
    database_url: str,
    *,
    name: str,
    broker: Address | None = None,
    stopping: asyncio.Event | None = None,
) -> AsyncIterator[App]:
    """Run all parts but the listening socket on a database, and give the application to be served.

    It answers at once, with 503 until all is ready. `name` tells this server from others on the same database; `broker`
    is where the broker listens, if not where the settings say; answers without an end are ended by `stopping`. Raises
    `WrongPassword`, `Unavailable`, `Invalid` for a recorded market that cannot be used, and what any part fails with,
    after stopping the others.
    """
    intake = Intake(time_ordered)
    feed = paper_feed(settings)
    clients = PublicClients(
        opener(settings.venue_urls),
        idle_seconds=settings.market_data_feed_timeout,
        sweep_seconds=settings.market_data_cleanup_interval,
    )
    feeds = Feeds(
        partial(market_source, settings, feed, clients),
        clock=now,
        timeout_seconds=settings.market_data_feed_timeout,
        cleanup_seconds=settings.market_data_cleanup_interval,
    )
    connectors = factories(settings, intake, feed, feeds, clients)
    logger.info("migrated", applied=await migrate(database_url))
    vault = await Vault.open(database_url, settings.config_password)
    async with (
        PostgresLog.open(database_url) as log,
        Pool.open(database_url, timeout_seconds=_POOL_SECONDS) as pool,
        Past.open(database_url, log, VIEWS, owner=uuid4().hex[:8]) as past,
        asyncio.TaskGroup() as tasks,
    ):
        progress, committed = Progress(view.name for view in VIEWS), Committed()
        projector = Projector(database_url, log, VIEWS, progress, lead="project" in settings.parts)
        sending = Sending(tasks)
        lookup = Views(pool, partial(_caught_up, log, intake, progress))
        loops = [
            tasks.create_task(projector.run(), name="projector"),
            tasks.create_task(past.run(), name="past"),
            tasks.create_task(Sealer(database_url, vault.signing_key).run(), name="sealer"),
        ]

        def spawn(work: Coroutine[object, object, None]) -> None:
            loops.append(tasks.create_task(work))

        venues = ConnectedVenues(connectors, vault=vault, memory=lookup.memory, spawn=spawn)
        rate_sources = PolledSources(partial(rate_source, settings, venues, clients), spawn=spawn)
        loops.append(tasks.create_task(feeds.run(), name="feeds"))
        loops.append(tasks.create_task(clients.run(), name="public clients"))
        candles = candle_history(
            settings.data,
            feed=feed,
            seed=None if settings.paper_feed else settings.paper_seed,
            clients=clients,
            clock=now,
        )
        fleet = bots(
            settings,
            broker=broker or Address(host=settings.broker_host or "localhost", port=settings.broker_port),
            owner=owner_of(vault.signing_key.public_key()),
            new_id=time_ordered,
            fields_of=venues.config_map,
        )
        archived = ArchiveFiles(settings.bots_path, now)
        roster = Roster(now, heartbeat_seconds=float(settings.bot_heartbeat_timeout))
        ports = Ports(
            log=log,
            vault=vault,
            lookup=lookup,
            venues=venues,
            sink=intake,
            checkpoints=PostgresCheckpoints(pool),
            clock=now,
            new_id=time_ordered,
            spawn=sending,
            server=name,
            yaml=HummingbotYaml(),
            banned=settings.banned_tokens,
            fleet=fleet.fleet,
            archives=archived,
        )
        bus = Bus(ports, HANDLERS)
        loops.append(tasks.create_task(intake.run(bus), name="intake"))
        loops.append(tasks.create_task(fleet.heard.run(bus), name="bots' intake"))
        ready = Readiness(log, progress)
        turn = Turn(database_url)
        loops.append(
            tasks.create_task(
                _work(settings, bus, intake, ready, turn=turn, log=log, fleet=fleet, archived=archived), name="work"
            )
        )
        try:
            yield _application(
                settings,
                bus,
                Reads(pool, progress, committed, past),
                committed,
                ready,
                live={
                    "rate_sources": rate_sources,
                    "feeds": feeds,
                    "candles": candles,
                    "bot_files": fleet.files,
                    "bot_line": fleet.line,
                    "containers": fleet.containers,
                    "roster": roster,
                    "yaml": ports.yaml,
                    "long_answers": Kept(),
                    "tables": Tables(),
                    "sockets": socket_topics(feeds, candles, WatchedBots(pool, roster), terms(settings)),
                    "following": Following(tail=log, stopping=stopping or asyncio.Event()),
                },
            )
        finally:
            ready.started = False
            # What was begun is finished: sends have their answers, and what venues told is recorded.
            fleet.images.close()  # A registry may keep a pull waiting for ever.
            await sending.ended()
            await _drained(intake)
            await _drained(fleet.heard)
            fleet.docker.close()
            # Before the feeds end, so that none of them says goodbye to a venue that is left as a whole.
            await clients.close()
            for loop in loops:
                loop.cancel()


async def _work(
    settings: Settings,
    bus: Bus,
    intake: Intake,
    ready: Readiness,
    *,
    turn: Turn,
    log: PostgresLog,
    fleet: Bots,
    archived: ArchiveFiles,
) -> None:
    """Bring accounts and orders to where the log says they are, say ready, then keep them there.

    Raises `TurnLost` where another server has taken over.
    """
    await turn.take(ready.wait_for)
    log.hold(turn.number)
    watch = OrderWatch(bus, intake.drain)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(turn.keep(), name="turn")
        await _begin(bus, intake, watch, ready)
        keeper = BotKeeper(bus.ports)
        jobs = schedule.jobs(
            bus,
            watch,
            keeper=keeper,
            archives=ArchiveWatch(bus, archived),
            observe_every=timedelta(minutes=settings.account_update_interval),
            reconcile_every=timedelta(minutes=settings.reconcile_interval),
        )
        ready.started = True
        logger.info("ready")
        tasks.create_task(connect_rest(bus), name="connect real venues")
        tasks.create_task(fleet.line.run(), name="line to bots")
        tasks.create_task(keeper.run(), name="bots")
        async with scheduled(jobs):
            await runner.run(ACCOUNTS, bus.ports)


async def _begin(bus: Bus, intake: Intake, watch: OrderWatch, ready: Readiness) -> None:
    """Bring accounts and orders to where the log says they are, however long what that needs is away."""
    while True:
        try:
            await first_start(bus.ports)
            await connect_all(bus)
            await watch.after_restart()
            await intake.drain()
        except Unavailable as reason:
            # Views that are built anew may take minutes, and Postgres may be away: each step may be taken again.
            ready.wait_because(reason)
            logger.warning("start_waits", why=reason.message)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


async def _caught_up(log: PostgresLog, intake: Intake, progress: Progress, views: Sequence[str]) -> None:
    """Return when views have seen all that venues told and all that is in the log.

    Raises `Unavailable`.
    """
    try:
        async with asyncio.timeout(_CATCH_UP_SECONDS):
            await intake.drain()
    except TimeoutError as late:
        raise Unavailable(f"{intake.waiting} reports of venues are not recorded yet") from late
    lag = await progress.reached(await log.position(), views, _CATCH_UP_SECONDS)
    if lag:
        raise Unavailable(f"The views are {lag} events behind the log")


async def _drained(intake: Intake | BotIntake) -> None:
    """Give what was told a while to be recorded; what the log cannot take now, venues tell again, and bots do not."""
    try:
        async with asyncio.timeout(_CATCH_UP_SECONDS):
            await intake.drain()
    except TimeoutError:
        logger.warning("reports_not_recorded", waiting=intake.waiting)


def terms(settings: Settings) -> Terms:
    """Return how often clients of WebSockets are told."""
    return Terms(
        least_seconds=float(settings.market_data_ws_min_update_interval),
        most_seconds=float(settings.market_data_ws_max_update_interval),
        heartbeat_seconds=float(settings.market_data_ws_heartbeat_interval),
        clock=now,
    )


def _application(
    settings: Settings, bus: Bus, reads: Reads, committed: Committed, ready: Readiness, *, live: Mapping[str, object]
) -> App:
    dependencies = {
        "writes": Writes(bus, committed, partial(word, bus.ports.log)),
        "reads": reads,
        "markets": bus.ports.venues,
        "refresh": partial(_refresh, bus),
        "readiness": ready,
        **live,
    }
    app = build(read=CONTROLLERS, write=WRITE, dependencies=dependencies, settings=settings)
    return Gate(app, lambda: ready.started)


async def _refresh(bus: Bus, accounts: Sequence[str] | None, connectors: Sequence[str] | None, /) -> int:
    """Have balances recorded as they are now, of all accounts and connectors or of those named; return the position.

    A venue that is away leaves its balances as they were last seen. Raises `Unavailable` for a log that is.
    """
    await bus.ports.log.position()
    return await schedule.observe_all(bus, accounts, connectors)
