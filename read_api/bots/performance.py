"""Performance of controllers: as told last, and over time."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from adapters.http.answers import Answer
from adapters.http.bodies import Cursor, PageSize, Text, encode
from adapters.http.requests import Request
from domain.errors import Invalid
from projections.bots.performance import Sample, history, latest
from projections.paging import Key
from read_api.pages import cursor_of, described, key_of
from read_api.settle import Headers, Reads

Interval = Annotated[str, msgspec.Meta(pattern="^(5m|15m|30m|1h|4h|12h|1d)$")]


class ControllerPerformance(msgspec.Struct, frozen=True, kw_only=True):
    """What a controller said of itself at a time, in its own words."""

    timestamp: datetime
    bot_name: str
    controller_id: str
    status: Literal["running", "stopped"]
    performance: Mapping[str, object]
    custom_info: Mapping[str, object]


class LatestPerformance(msgspec.Struct, frozen=True, kw_only=True):
    """What each controller said last."""

    status: Literal["success"]
    data: Sequence[ControllerPerformance]


class HistoryPagination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page stands in its list."""

    next_cursor: str | None
    has_more: bool
    limit: int
    interval: str


class PerformanceHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of what controllers said, newest first."""

    status: Literal["success"]
    data: Sequence[ControllerPerformance]
    pagination: HistoryPagination


def time_of(given: str | None) -> datetime | None:
    """Return a time that came in ISO 8601, in UTC where it does not say. Raises `Invalid`."""
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError as error:
        raise Invalid(f"Invalid datetime format: {error}") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _answer(samples: Sequence[Sample], headers: Headers, pagination: HistoryPagination | None = None) -> Answer:
    data = ",".join([sample.wire for sample in samples]).encode()
    more = b"" if pagination is None else b',"pagination":%b' % encode(pagination)
    return Answer(200, b'{"status":"success","data":[%b]%b}' % (data, more), headers)


def _page(next_: Key | None, limit: int, interval: str) -> HistoryPagination:
    cursor = None if next_ is None else cursor_of(next_)
    return HistoryPagination(next_cursor=cursor, has_more=cursor is not None, limit=limit, interval=interval)


class PerformanceReads(Controller):
    """Performance of controllers."""

    path = "/bot-orchestration"
    tags = ("Bot orchestration",)

    @get(
        ["/controller-performance-latest", "/controller-performance/latest"],
        status_code=200,
        summary="Show how controllers do",
        responses=described(LatestPerformance, "What each said last"),
    )
    async def latest_performance(
        self, request: Request, reads: NamedDependency[Reads], bot_name: FromQuery[Text | None] = None
    ) -> Answer:
        """Answer the last figures of every controller, or of those of one bot."""
        headers = await reads.settle(request, "bots")
        async with reads.connection(request) as connection:
            return _answer(await latest(connection, instance=bot_name), headers)

    @get(
        ["/controller-performance-history", "/controller-performance/history"],
        status_code=200,
        summary="Show how controllers did",
        responses=described(PerformanceHistory, "Samples, newest first"),
    )
    async def performance_history(
        self,
        request: Request,
        reads: NamedDependency[Reads],
        *,
        bot_name: FromQuery[Text | None] = None,
        controller_id: FromQuery[Text | None] = None,
        limit: FromQuery[PageSize] = 100,
        cursor: FromQuery[Cursor | None] = None,
        start_time: FromQuery[Text | None] = None,
        end_time: FromQuery[Text | None] = None,
        interval: FromQuery[Interval] = "5m",
    ) -> Answer:
        """Answer one sample of each controller in each interval, the first one of it; times are ISO 8601."""
        after, since, until = key_of(cursor, place="query"), time_of(start_time), time_of(end_time)
        headers = await reads.settle(request, "bots")
        async with reads.connection(request) as connection:
            samples, next_ = await history(
                connection,
                limit=limit,
                interval=interval,
                after=after,
                since=since,
                until=until,
                instance=bot_name,
                controller=controller_id,
            )
        return _answer(samples, headers, _page(next_, limit, interval))
