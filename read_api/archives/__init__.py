"""Archived bots: what their databases say, and what their trades come to.

All of it is in the log; no answer opens a file. Shapes: hummingbot-api `routers/archived_bots.py`@ee7ce5c.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from adapters.http.answers import Answer, Answering, LongAnswer
from adapters.http.bodies import encode
from adapters.http.requests import Request
from adapters.http.slashes import slashed
from domain.errors import Conflict, Invalid, NotFound
from projections.archives import queries as archives
from projections.archives.queries import Archive
from projections.view import Connection
from read_api.archives.shapes import (
    ControllersAnswer,
    ExecutorsAnswer,
    OrdersPage,
    PerformanceAnswer,
    PositionsPage,
    TradesPage,
)
from read_api.archives.wire import (
    Kept,
    Numbered,
    StatusAnswer,
    Summary,
    Taken,
    performance_on_the_wire,
    status_on_the_wire,
)
from read_api.pages import described
from read_api.settle import Reads

Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
Status = Annotated[str, msgspec.Meta(max_length=100)]

_KEPT_TRADES = 100_000
"""An answer about more is made while it is sent: 600 bytes a trade would be too much to keep."""


Making = Callable[[Connection, Archive], AsyncGenerator[bytes, None]]
"""Makes an answer about an archive, in pieces."""


async def _known(connection: Connection, given: str) -> Archive:
    """Return an archive. Raises `Invalid` for a path that leads elsewhere, `NotFound` for one that the log has not."""
    path = slashed(given)
    parts = path.split("/")
    if parts[:2] != ["bots", "archived"] or ".." in parts:
        raise Invalid(f"Path '{path[:200]}' is outside the archived bots directory")
    archive = await archives.archive(connection, path)
    if archive is None:
        raise NotFound(f"Database path '{path[:200]}' not found")
    return archive


async def _readable(connection: Connection, given: str) -> Archive:
    """Return an archive that is whole in the log. Raises as `_known`, `Invalid` for one that could not be read.

    Raises `Conflict` for one that is being imported.
    """
    archive = await _known(connection, given)
    if archive.reason is not None:
        raise Invalid(f"Database '{archive.path}' cannot be read: {archive.reason}")
    progress = await _progress(connection, archive)
    if progress is not None:
        raise Conflict(
            f"Database '{archive.path}' is being imported: {progress.rows:,} of {progress.total:,} rows are in the log."
            " Try again in a moment"
        )
    return archive


async def _progress(connection: Connection, archive: Archive) -> Taken | None:
    if archive.state != "importing":
        return None
    rows, total = await archives.taken(connection, archive)
    return Taken(rows=rows, total=total)


class Archives(Controller):
    """Archived bots, as their databases tell."""

    path = "/archived-bots"
    tags = ("Archived bots",)

    @get("/", status_code=200, summary="List the databases", responses=described(list[str], "Paths"))
    async def databases(self, request: Request, reads: NamedDependency[Reads]) -> Answer:
        """Answer the path of every database of an archived bot, those that cannot be read among them."""
        headers = await reads.settle(request, "archives")
        async with reads.connection(request) as connection:
            return Answer(200, encode(await archives.paths(connection)), headers)

    @get(
        "/{db_path:str}/status",
        status_code=200,
        summary="Say whether a database is whole",
        responses=described(StatusAnswer, "Each table's check"),
    )
    async def status(self, request: Request, db_path: FromPath[str], reads: NamedDependency[Reads]) -> Answer:
        """Answer how each table of a database is."""
        headers = await reads.settle(request, "archives")
        async with reads.connection(request) as connection:
            archive = await _known(connection, db_path)
            return Answer(200, encode(status_on_the_wire(archive, await _progress(connection, archive))), headers)

    @get(
        "/{db_path:str}/summary",
        status_code=200,
        summary="Say how much a database holds",
        responses=described(Summary, "Counts and markets"),
    )
    async def summary(self, request: Request, db_path: FromPath[str], reads: NamedDependency[Reads]) -> Answer:
        """Answer how many rows there are, and of which pairs and exchanges."""
        headers = await reads.settle(request, "archives")
        async with reads.connection(request) as connection:
            archive = await _readable(connection, db_path)
            pairs, exchanges = await archives.markets_of(connection, archive)
        answer = Summary(
            db_path=archive.path,
            total_orders=archive.rows.get("orders", 0),
            total_trades=archive.rows.get("trades", 0),
            total_executors=archive.rows.get("executors", 0),
            total_positions=archive.rows.get("positions", 0),
            total_controllers=archive.rows.get("controllers", 0),
            trading_pairs=pairs,
            exchanges=exchanges,
        )
        return Answer(200, encode(answer), headers)

    @get(
        "/{db_path:str}/performance",
        status_code=200,
        summary="Say what an archived bot has earned",
        responses=described(PerformanceAnswer, "Sums, and how things stood after each trade"),
    )
    async def performance(
        self,
        request: Request,
        db_path: FromPath[str],
        reads: NamedDependency[Reads],
        long_answers: NamedDependency[Kept],
    ) -> Answering:
        """Answer what all trades come to, by average cost, and how things stood on its market after each trade."""
        headers = await reads.settle(request, "archives")
        async with reads.connection(request) as connection:
            archive = await _readable(connection, db_path)
            body = long_answers.get(archive.path, archive.position)
            if body is None and archive.rows.get("trades", 0) <= _KEPT_TRADES:
                body = b"".join([piece async for piece in _performance(connection, archive)])
                long_answers.keep(archive.path, archive.position, body)
        if body is None:
            return LongAnswer(_long(request, reads, db_path, _performance), headers)
        return Answer(200, body, headers)

    @get(
        "/{db_path:str}/trades",
        status_code=200,
        summary="List the trades",
        responses=described(TradesPage, "A page of trades, as the bot wrote them"),
    )
    async def trades(
        self,
        *,
        request: Request,
        db_path: FromPath[str],
        reads: NamedDependency[Reads],
        limit: FromQuery[Limit] = 100,
        offset: FromQuery[Offset] = 0,
    ) -> Answer:
        """Answer a page of trades, in the order in which the bot wrote them."""
        return await _page(request, reads, db_path, "trades", limit=limit, offset=offset)

    @get(
        "/{db_path:str}/orders",
        status_code=200,
        summary="List the orders",
        responses=described(OrdersPage, "A page of orders, as the bot wrote them"),
    )
    async def orders(
        self,
        *,
        request: Request,
        db_path: FromPath[str],
        reads: NamedDependency[Reads],
        limit: FromQuery[Limit] = 100,
        offset: FromQuery[Offset] = 0,
        status: FromQuery[Status | None] = None,
    ) -> Answer:
        """Answer a page of orders, of all or of those with a status."""
        return await _page(request, reads, db_path, "orders", limit=limit, offset=offset, status=status)

    @get(
        "/{db_path:str}/positions",
        status_code=200,
        summary="List the positions that were open at the end",
        responses=described(PositionsPage, "A page of positions"),
    )
    async def positions(
        self,
        *,
        request: Request,
        db_path: FromPath[str],
        reads: NamedDependency[Reads],
        limit: FromQuery[Limit] = 100,
        offset: FromQuery[Offset] = 0,
    ) -> Answer:
        """Answer a page of positions; an older bot's database has none."""
        return await _page(request, reads, db_path, "positions", limit=limit, offset=offset)

    @get(
        "/{db_path:str}/executors",
        status_code=200,
        summary="List the executors",
        responses=described(ExecutorsAnswer, "All executors"),
    )
    async def executors(self, request: Request, db_path: FromPath[str], reads: NamedDependency[Reads]) -> LongAnswer:
        """Answer all executors that had ended."""
        return await _every(request, reads, db_path, "executors")

    @get(
        "/{db_path:str}/controllers",
        status_code=200,
        summary="List the controllers",
        responses=described(ControllersAnswer, "All controllers"),
    )
    async def controllers(self, request: Request, db_path: FromPath[str], reads: NamedDependency[Reads]) -> LongAnswer:
        """Answer all controllers, one for each start of the bot."""
        return await _every(request, reads, db_path, "controllers")


async def _page(
    request: Request, reads: Reads, db_path: str, kind: str, *, limit: int, offset: int, status: str | None = None
) -> Answer:
    headers = await reads.settle(request, "archives")
    async with reads.connection(request) as connection:
        archive = await _readable(connection, db_path)
        wires, total = await archives.page(
            connection, archive.path, kind, limit=limit, offset=offset, status=status or None
        )
    more = offset + len(wires) < total
    pagination = encode(Numbered(total=total, limit=limit, offset=offset, has_more=more))
    start = b'{"db_path":%s,"%s":[' % (encode(archive.path), kind.encode())
    return Answer(200, b'%s%s],"pagination":%s}' % (start, ",".join(wires).encode(), pagination), headers)


async def _every(request: Request, reads: Reads, db_path: str, kind: str) -> LongAnswer:
    headers = await reads.settle(request, "archives")
    return LongAnswer(_long(request, reads, db_path, partial(_items, kind=kind)), headers)


async def _long(request: Request, reads: Reads, db_path: str, made: Making) -> AsyncGenerator[bytes, None]:
    async with (
        reads.long_connection(request) as connection,
        aclosing(made(connection, await _readable(connection, db_path))) as pieces,
    ):
        async for piece in pieces:
            yield piece


async def _items(connection: Connection, archive: Archive, *, kind: str) -> AsyncGenerator[bytes, None]:
    yield b'{"db_path":%s,"%s":[' % (encode(archive.path), kind.encode())
    total = 0
    async with aclosing(archives.every(connection, archive, kind)) as wires:
        async for wire in wires:
            yield wire.encode() if not total else b"," + wire.encode()
            total += 1
    yield b'],"total":%d}' % total


async def _performance(connection: Connection, archive: Archive) -> AsyncGenerator[bytes, None]:
    sums = encode(performance_on_the_wire(archive.rows.get("trades", 0), archive.markets))
    yield b'{"db_path":%s,"summary":%s,"performance_data":[' % (encode(archive.path), sums)
    between = b""
    async with aclosing(archives.steps(connection, archive)) as some:
        async for steps in some:
            yield between + steps.encode()
            between = b","
    yield b"]}"
