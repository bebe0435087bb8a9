"""What happened: every event with its envelope, by stream, by story, by who did it and when."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from adapters.http.answers import Answer
from adapters.http.as_of import when_of
from adapters.http.bodies import encode
from adapters.http.parameters import only_known
from adapters.http.requests import Request
from adapters.http.slashes import slashed
from domain.errors import NotFound
from projections import audit
from projections.audit import Entry
from read_api.pages import Pagination, described, items_answer, moment, number_of
from read_api.settle import Headers, Reads

_VIEW = "audit"

# The framework takes the bounds of a parameter from here only.
Word = Annotated[str | None, QueryParameter(max_length=256)]
Time = Annotated[int | None, QueryParameter(ge=0, le=253_402_300_799_999, description="Milliseconds since 1970")]
Position = Annotated[int | None, QueryParameter(ge=0, le=10**18)]
Limit = Annotated[int, QueryParameter(ge=1, le=1000)]


class EventItem(msgspec.Struct, frozen=True, kw_only=True):
    """An event on the wire, with its envelope."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: datetime
    actor: str
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    data: dict[str, Any]


class EventsPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events."""

    data: list[EventItem]
    pagination: Pagination


def _at(given: str | None) -> tuple[int | None, datetime | None]:
    """Return the position or the time that `at` names."""
    when = None if given is None else when_of(given, ("query", "at"))
    return (None, when) if isinstance(when, datetime) else (when, None)


def _upto(*positions: int | None) -> int | None:
    """Return the first of some positions, None where there is none."""
    return min((position for position in positions if position is not None), default=None)


async def _settled(request: Request, reads: Reads) -> tuple[int | None, Headers]:
    """Wait for the index of events; return the position up to which the request is about the log, None for all.

    The index only grows, so what it was is the part of it up to there.
    """
    headers = await reads.settle(request, _VIEW, today=True)
    moment = reads.moment(request)
    return (None if moment is None else moment.position), headers


def _answer(found: Sequence[Entry], limit: int, key: str, total: int | None, headers: Any) -> Answer:  # noqa: ANN401
    shown_items = [encode(entry).decode() for entry in found[:limit]]
    cursor = str(getattr(found[limit - 1], key)) if len(found) > limit else None
    return items_answer(shown_items, limit=limit, cursor=cursor, total=total, headers=headers)


class Audit(Controller):
    """The log, as it is."""

    path = "/audit"
    tags = ("Audit",)
    guards = (only_known,)

    @get("/events", status_code=200, summary="Search the log", responses=described(EventsPage, "Events, newest first"))
    async def events(
        self,
        *,
        request: Request,
        reads: NamedDependency[Reads],
        stream: Word = None,
        type: Word = None,  # noqa: A002 - the name of the query parameter
        actor: Word = None,
        correlation_id: FromQuery[UUID | None] = None,
        start_time: Time = None,
        end_time: Time = None,
        after_position: Position = None,
        to_position: Position = None,
        limit: Limit = 100,
        cursor: Word = None,
    ) -> Answer:
        """Answer the events that match everything asked for, newest first; they are counted when nothing is."""
        wanted = {
            "stream": stream,
            "type_": type,
            "actor": actor,
            "correlation_id": correlation_id,
            "since": moment(start_time),
            "until": moment(end_time),
            "above": after_position,
        }
        then, headers = await _settled(request, reads)
        narrowed = to_position is not None or any(value is not None for value in wanted.values())
        wanted["upto"] = _upto(to_position, then)
        async with reads.connection(request) as connection:
            found = await audit.search(connection, limit=limit + 1, before=number_of(cursor), **wanted)  # type: ignore[arg-type]
            total = await audit.total(connection, upto=then) if not narrowed else None
        return _answer(found, limit, "position", total, headers)

    @get(
        "/streams/{stream:str}",
        status_code=200,
        summary="Read a stream",
        responses=described(EventsPage, "Events of the stream, oldest first"),
    )
    async def stream(
        self,
        *,
        request: Request,
        stream: FromPath[str],
        reads: NamedDependency[Reads],
        at: Word = None,
        limit: Limit = 100,
        cursor: Word = None,
    ) -> Answer:
        """Answer the events of a stream, oldest first; `at` a position or time, as the stream was then."""
        position, time = _at(at)
        stream = slashed(stream)
        then, headers = await _settled(request, reads)
        position = _upto(position, then)
        async with reads.connection(request) as connection:
            total = await audit.length(connection, stream, upto=position, at=time)
            found = await audit.stream(
                connection, stream, limit=limit + 1, after=number_of(cursor) or 0, upto=position, at=time
            )
            if not total and not await audit.length(connection, stream, upto=then):
                raise NotFound(f"Stream '{stream}' not found")
        return _answer(found, limit, "version", total, headers)

    @get(
        "/chain/{correlation_id:uuid}",
        status_code=200,
        summary="Read a story",
        responses=described(EventsPage, "Events of the story, oldest first"),
    )
    async def chain(
        self,
        request: Request,
        correlation_id: FromPath[UUID],
        reads: NamedDependency[Reads],
        limit: Limit = 100,
        cursor: Word = None,
    ) -> Answer:
        """Answer everything that happened for one cause, oldest first, whatever stream it is in."""
        then, headers = await _settled(request, reads)
        async with reads.connection(request) as connection:
            found = await audit.chain(
                connection, correlation_id, limit=limit + 1, after=number_of(cursor) or 0, upto=then
            )
        return _answer(found, limit, "position", None, headers)
