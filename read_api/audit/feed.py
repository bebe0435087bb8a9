"""The log, live: server-sent events (WHATWG HTML, 9.2), from any position on.

A client that was cut off says in `Last-Event-ID` which event it saw last, and goes on behind it; browsers do so by
themselves. What it filters out moves that place too, so that going on is never far.

Nothing queues for a client: the log is asked for more when it has read what it was sent.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Annotated, Protocol
from uuid import UUID

import msgspec
import structlog
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import FromQuery, QueryParameter

from adapters.http.answers import left
from adapters.http.as_of import never_recorded
from adapters.http.bodies import MalformedRequest, encode
from adapters.http.problems import Problem, shown
from adapters.http.protocol import Receive, Scope, Send, header
from adapters.http.requests import Request
from domain import catalog
from domain.errors import Invalid, Unavailable
from domain.events import Recorded
from projections import audit
from projections.audit import Entry
from read_api.settle import Reads

PAGE = 100
"""So many events are sent in one piece."""
BEAT_SECONDS = 15.0
"""A client hears so often at least how far the log has been looked through: proxies end what is silent."""
RETRY_MILLISECONDS = 1000

_VIEW = "audit"
_DIGITS = 18
_EXAMPLE = (
    "id: 42\n"
    'data: {"position":42,"stream":"account-main","version":1,"type":"AccountAdded",'
    '"recorded_at":"2026-01-02T03:04:05Z","actor":"admin","command_id":"7d3f1f62-25f4-4a0b-9d1c-0a4c3f1b2c5e",'
    '"correlation_id":"7d3f1f62-25f4-4a0b-9d1c-0a4c3f1b2c5e","causation_id":null,"data":{"name":"main"}}\n\n'
)

logger = structlog.get_logger()

Word = Annotated[str | None, QueryParameter(max_length=256)]
From = Annotated[
    int | None, QueryParameter(name="from", ge=0, le=10**_DIGITS, description="Position of the first event to send")
]


class Tail(Protocol):
    """The log, as far as it is followed."""

    async def position(self) -> int:
        """Return the position of the last event. Raises `Unavailable`."""
        ...

    def follow(self, after: int, *, limit: int = 1000, types: Sequence[str] = ()) -> AsyncIterator[list[Recorded]]:
        """Yield batches of events above a position, in order, for ever; waits where the log ends."""
        ...


class Following(msgspec.Struct, frozen=True, kw_only=True):
    """What feeds need: the log, and word that the server stops."""

    tail: Tail
    stopping: asyncio.Event
    beat_seconds: float = BEAT_SECONDS


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events; what is None is of no matter."""

    stream: str | None = None
    type: str | None = None
    actor: str | None = None
    correlation_id: UUID | None = None

    @property
    def everything(self) -> bool:
        """Whether no event is left out."""
        return self == Wanted()

    def holds(self, event: Recorded) -> bool:
        """Return whether an event is one of them."""
        return (
            self.stream in (None, event.stream)
            and self.type in (None, event.type)
            and self.actor in (None, event.actor)
            and self.correlation_id in (None, event.correlation_id)
        )


class Feed:
    """An application that answers with events for as long as the client listens and the server runs."""

    def __init__(self, reads: Reads, following: Following, wanted: Wanted, after: int) -> None:
        """Begin behind a position."""
        self._reads = reads
        self._following = following
        self._wanted = wanted
        self._after = after
        self._told = -1

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx would keep events until it has many
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        self._told = self._after
        await self._send(send, b"retry: %d\n" % RETRY_MILLISECONDS + self._place())
        async with asyncio.TaskGroup() as tasks:
            works = [
                tasks.create_task(work) for work in (self._tell(send), self._beat(send), left(receive), self._stopped())
            ]
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for work in works:
                work.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, send: Send) -> None:
        """Send events until the client is gone, or the log cannot be read: then the client comes again by itself."""
        try:
            if not self._wanted.everything:
                await self._look_back(send)
            async with aclosing(self._following.tail.follow(self._after, limit=PAGE)) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    self._after = batch[-1].position
                    await self._send_events(send, [entry_of(one) for one in batch if self._wanted.holds(one)])
        except Unavailable as reason:
            logger.warning("feed_interrupted", position=self._after, why=reason.message)

    async def _look_back(self, send: Send) -> None:
        """Send what the index of events knows: few of many are found there without reading the others."""
        while self._after < (upto := self._reads.seen(_VIEW)):
            async with self._reads.today() as connection:
                found = await audit.onward(
                    connection,
                    limit=PAGE,
                    above=self._after,
                    upto=upto,
                    stream=self._wanted.stream,
                    type_=self._wanted.type,
                    actor=self._wanted.actor,
                    correlation_id=self._wanted.correlation_id,
                )
            self._after = found[-1].position if len(found) == PAGE else upto
            await self._send_events(send, found)

    async def _beat(self, send: Send) -> None:
        while True:
            await asyncio.sleep(self._following.beat_seconds)
            if self._after > self._told:
                self._told = self._after
                await self._send(send, self._place())
            else:
                await self._send(send, b":\n\n")

    async def _stopped(self) -> None:
        await self._following.stopping.wait()

    def _place(self) -> bytes:
        """Return what moves the client's place without being an event."""
        return b"id: %d\n\n" % self._after

    async def _send_events(self, send: Send, events: Sequence[Entry]) -> None:
        """Send events; the client's place is then the last one's, however far the log was looked through."""
        if events:
            self._told = events[-1].position
            await self._send(send, b"".join(map(_event, events)))

    async def _send(self, send: Send, what: bytes) -> None:
        await send({"type": "http.response.body", "body": what, "more_body": True})


def entry_of(event: Recorded) -> Entry:
    """Return an event of the log as it is shown."""
    return Entry(
        position=event.position,
        stream=event.stream,
        version=event.version,
        type=event.type,
        recorded_at=event.recorded_at,
        actor=event.actor,
        command_id=event.command_id,
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        data=msgspec.Raw(catalog.encode(event.event)),
    )


def _event(entry: Entry) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (entry.position, encode(entry))


def _last_seen(request: Request) -> int | None:
    given = header(request.asgi, b"last-event-id")
    if not given:
        return None
    if given.isdigit() and len(given) <= _DIGITS:
        return int(given)
    msg = f"Last-Event-ID should be a position in the log, a whole number of at most {_DIGITS} digits"
    problem = Problem(
        type="int_parsing", loc=("header", "Last-Event-ID"), msg=msg, input=shown(given.decode("latin-1"))
    )
    raise MalformedRequest([problem])


class AuditFeed(Controller):
    """The log, as it grows."""

    path = "/audit"
    tags = ("Audit",)

    @get(
        "/feed",
        status_code=200,
        summary="Follow the log",
        opt=never_recorded("the log as it grows"),
        responses={
            200: ResponseSpec(
                data_container=str,
                description="Events, oldest first, for as long as the client listens",
                media_type="text/event-stream",
                examples=[Example(value=_EXAMPLE)],
            )
        },
    )
    async def feed(
        self,
        *,
        request: Request,
        reads: NamedDependency[Reads],
        following: NamedDependency[Following],
        start: From = None,
        stream: Word = None,
        type: Word = None,  # noqa: A002 - the name of the query parameter
        actor: Word = None,
        correlation_id: FromQuery[UUID | None] = None,
    ) -> Feed:
        """Answer the events that match everything asked for, from a position on; without one, those that come."""
        end = await following.tail.position()
        last_seen = _last_seen(request)
        after = last_seen if last_seen is not None else end if start is None else max(start - 1, 0)
        if after > end:
            raise Invalid(f"Position {after} is beyond the end of the log, {end}")
        wanted = Wanted(stream=stream, type=type, actor=actor, correlation_id=correlation_id)
        return Feed(reads, following, wanted, after)
