"""What trading has earned, by our own orders and by archived bots: figures, equity, trades, tax lots.

Routes of ours. Every figure is exact, a string in JSON; definitions stand in `docs/analytics.md`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, aclosing
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery, QueryParameter

from adapters.http.answers import LongAnswer
from adapters.http.bodies import Text
from adapters.http.parameters import only_known
from adapters.http.requests import Request
from domain.analytics.lots import Method
from domain.errors import Invalid
from projections import analytics
from projections.analytics import VIEWS, Chosen, Traded
from read_api.analytics import formats
from read_api.analytics.formats import Writer
from read_api.analytics.rows import GROUPS, Equity, Fold, Lots, Performance, Row, Trades
from read_api.pages import described
from read_api.ports import Tables
from read_api.settle import Reads

Names = Annotated[list[Text], msgspec.Meta(max_length=1000)]
Groups = Annotated[str, msgspec.Meta(max_length=100)]
MethodName = Annotated[str, msgspec.Meta(pattern="^(average|fifo|lifo|hifo)$")]
Interval = Annotated[str, msgspec.Meta(pattern="^(1m|5m|15m|30m|1h|4h|12h|1d)$")]
Which = Annotated[str, msgspec.Meta(pattern="^(open|closed)$")]
# The framework takes the bounds of a parameter that may be missing from here only.
Size = Annotated[int | None, QueryParameter(ge=1, le=200_000)]
Start = Annotated[int, msgspec.Meta(ge=0, le=10**12)]

_PAGE = 1_000
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class AnalysisPage(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of an analysis."""

    data: Sequence[dict[str, object]]


def moment(name: str, given: str | None) -> datetime | None:
    """Return a time in ISO 8601, in UTC where it does not say. Raises `Invalid` for what is none."""
    if not given:
        return None
    try:
        at = datetime.fromisoformat(given)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as e:  # OverflowError: in UTC it is before the year 1 or after 9999.
        raise Invalid(f"{name} '{given[:40]}' is no time: write it as 2026-11-22T08:00:00Z") from e


def groups_of(given: str | None) -> list[str]:
    """Return what figures are grouped by, words between commas. Raises `Invalid`, naming the one that is unknown."""
    groups = [word.strip() for word in (given or "").split(",") if word.strip()]
    for group in groups:
        if group not in GROUPS:
            raise Invalid(f"group_by '{group[:40]}' is none of {', '.join(GROUPS)}")
    return list(dict.fromkeys(groups))


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which trades, and from when on they count."""

    chosen: Chosen
    since: datetime | None


def asked(
    *,
    account_names: FromQuery[Names | None] = None,
    bot_names: FromQuery[Names | None] = None,
    controller_ids: FromQuery[Names | None] = None,
    connector_names: FromQuery[Names | None] = None,
    trading_pairs: FromQuery[Names | None] = None,
    start: FromQuery[Text | None] = None,
    end: FromQuery[Text | None] = None,
) -> Asked:
    """Return what a query asks for. Raises `Invalid` for times that are none, or stand the wrong way round."""
    since, until = moment("start", start), moment("end", end)
    if since is not None and until is not None and until < since:
        raise Invalid(f"end '{end}' is before start '{start}'")
    chosen = Chosen(
        accounts=account_names or None,
        bots=bot_names or None,
        controllers=controller_ids or None,
        connectors=connector_names or None,
        trading_pairs=trading_pairs or None,
    )
    return Asked(chosen=chosen if until is None else msgspec.structs.replace(chosen, until=until), since=since)


async def answer(
    request: Request,
    reads: Reads,
    tables: Tables,
    *,
    chosen: Chosen,
    fold: Fold,
    beside: Callable[[], Row],
) -> LongAnswer:
    """Answer the rows that a fold makes of trades, in the format that the request wants; `beside` as `writer` has it.

    However many trades there are, some are in memory together.
    """
    headers = await reads.settle(request, *VIEWS)
    format_ = formats.wanted(request)
    pieces = _pieces(request, reads, chosen, fold, formats.writer(format_, tables, beside))
    return LongAnswer(pieces, headers, content_type=format_.encode())


async def _pieces(
    request: Request, reads: Reads, chosen: Chosen, fold: Fold, writer: AbstractContextManager[Writer]
) -> AsyncGenerator[bytes, None]:
    with writer as written:

        def made(some: Iterable[Traded]) -> bytes:
            return written.rows(fold.take(some))

        def last() -> bytes:
            return written.rows(fold.rest())

        # Reckoned in a thread: many trades take a while, and others want answers meanwhile.
        async with (
            reads.long_connection(request) as connection,
            aclosing(analytics.traded(connection, chosen)) as batches,
        ):
            async for some in batches:
                yield await asyncio.to_thread(made, some)
        yield await asyncio.to_thread(last)
        end = written.end()
        while (piece := await asyncio.to_thread(next, end, None)) is not None:
            yield piece


class Analytics(Controller):
    """What trading has earned."""

    path = "/analytics"
    tags = ("Analytics",)
    guards = (only_known,)
    dependencies = MappingProxyType({"wanted": Provide(asked, sync_to_thread=False)})

    @get(
        "/performance",
        status_code=200,
        summary="Say what trading has earned",
        responses=described(AnalysisPage, "Figures of each group"),
    )
    async def performance(
        self,
        *,
        request: Request,
        reads: NamedDependency[Reads],
        tables: NamedDependency[Tables],
        wanted: NamedDependency[Asked],
        group_by: FromQuery[Groups | None] = None,
        method: FromQuery[MethodName] = "average",
    ) -> LongAnswer:
        """Answer profit, fees, wins and risk, of all trades or of each group of them.

        `group_by` is some of account, bot, controller, connector, pair and day, with commas between them. Names are
        given one by one (`bot_names=a&bot_names=b`), `start` and `end` in ISO 8601, in UTC unless they say otherwise:
        what was traded at `start` counts, what was traded at `end` does not.
        `Accept` asks for JSON, `text/csv`, `application/x-ndjson` or `application/vnd.apache.parquet`. The columns are
        defined in docs/analytics.md. All of it is so for equity, trades and lots, too.
        """
        groups = groups_of(group_by)
        fold = Performance(groups=groups, method=Method(method), since=wanted.since)
        return await answer(request, reads, tables, chosen=wanted.chosen, fold=fold, beside=lambda: {"method": method})

    @get(
        "/equity",
        status_code=200,
        summary="Show profit over time",
        responses=described(AnalysisPage, "How things stood at the end of each interval"),
    )
    async def equity(
        self,
        *,
        request: Request,
        reads: NamedDependency[Reads],
        tables: NamedDependency[Tables],
        wanted: NamedDependency[Asked],
        interval: FromQuery[Interval] = "1h",
        method: FromQuery[MethodName] = "average",
    ) -> LongAnswer:
        """Answer profit, fees and exposure at the end of each interval in which something was traded."""
        every = int(interval[:-1]) * _UNITS[interval[-1]]
        fold = Equity(every=every, method=Method(method), since=wanted.since)
        return await answer(
            request, reads, tables, chosen=wanted.chosen, fold=fold, beside=lambda: {"interval": interval}
        )

    @get(
        "/trades",
        status_code=200,
        summary="List trades with what they closed",
        responses=described(AnalysisPage, "Trades, oldest first"),
    )
    async def trades(
        self,
        *,
        request: Request,
        reads: NamedDependency[Reads],
        tables: NamedDependency[Tables],
        wanted: NamedDependency[Asked],
        method: FromQuery[MethodName] = "average",
        limit: Size = None,
        offset: FromQuery[Start] = 0,
    ) -> LongAnswer:
        """Answer trades with the position after each and the profit that it realized.

        JSON has a page of 1,000 where no limit is named; files have all.
        """
        if limit is None and formats.wanted(request) == formats.JSON:
            limit = _PAGE
        fold = Trades(method=Method(method), since=wanted.since, limit=limit, offset=offset)

        def beside() -> Row:
            more = limit is not None and offset + limit < fold.counted
            return {"pagination": {"total": fold.counted, "limit": limit, "offset": offset, "has_more": more}}

        return await answer(request, reads, tables, chosen=wanted.chosen, fold=fold, beside=beside)

    @get(
        "/lots",
        status_code=200,
        summary="List tax lots",
        responses=described(AnalysisPage, "Lots that are held, or that were sold"),
    )
    async def lots(
        self,
        *,
        request: Request,
        reads: NamedDependency[Reads],
        tables: NamedDependency[Tables],
        method: FromQuery[MethodName] = "fifo",
        which: FromQuery[Which] = "open",
        end: FromQuery[Text | None] = None,
        account_names: FromQuery[Names | None] = None,
        connector_names: FromQuery[Names | None] = None,
    ) -> LongAnswer:
        """Answer what each account holds of each asset and what it cost, or what it sold and what that brought."""
        wanted = asked(
            account_names=account_names or None,
            bot_names=None,
            controller_ids=None,
            connector_names=connector_names,
            trading_pairs=None,
            start=None,
            end=end,
        )
        fold = Lots(method=Method(method), closed=which == "closed")
        return await answer(request, reads, tables, chosen=wanted.chosen, fold=fold, beside=lambda: {"method": method})
