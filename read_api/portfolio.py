"""What the accounts hold, now and over time, and how it is spread."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Literal

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from adapters.http.answers import Answer
from adapters.http.as_of import about_now
from adapters.http.bodies import Body, encode
from adapters.http.requests import Request
from projections import portfolio
from projections.portfolio import TokenItem
from read_api.distribution import AccountsDistribution, Distribution, by_account, by_token
from read_api.pages import Names, TimedPageRequest, described, moment, wrong_cursor
from read_api.ports import Refresh
from read_api.settle import Reads

SECONDS = {"5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14400, "12h": 43200, "1d": 86400}
_VIEWS = ("accounts", "portfolio")


class StateRequest(Body, frozen=True, kw_only=True):
    """Whose state. `refresh` has balances recorded as they are now first; `skip_gateway` leaves wallets out of that."""

    account_names: Names | None = None
    connector_names: Names | None = None
    skip_gateway: bool = False
    refresh: bool = False


class HistoryRequest(TimedPageRequest, frozen=True, kw_only=True):
    """Whose history, when, and one state for how long a time."""

    interval: Literal["5m", "15m", "30m", "1h", "4h", "12h", "1d"] | None = "5m"


class DistributionRequest(Body, frozen=True, kw_only=True):
    """Whose holdings."""

    account_names: Names | None = None
    connector_names: Names | None = None


State = dict[str, dict[str, list[TokenItem]]]
"""Account → connector → tokens."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """The last state seen in an interval, and when it was seen."""

    timestamp: str
    state: State


class HistoryFilters(msgspec.Struct, frozen=True, kw_only=True):
    """What a history was asked for."""

    account_names: Sequence[str] | None
    connector_names: Sequence[str] | None
    start_time: int | None
    end_time: int | None
    interval: str | None


class HistoryPagination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page stands in a history."""

    limit: int
    has_more: bool
    next_cursor: str | None
    current_cursor: str | None
    filters: HistoryFilters


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a history, newest first."""

    data: list[Moment]
    pagination: HistoryPagination


def state_on_the_wire(rows: Iterable[tuple[str, str | None, str | None]]) -> str:
    """Return (account, connector, tokens as JSON), grouped by account, as a JSON object of objects."""
    accounts = []
    for account, group in groupby(rows, key=lambda row: row[0]):
        connectors = [f"{_text(connector)}:{tokens}" for _, connector, tokens in group if connector is not None]
        accounts.append(f"{_text(account)}:{{{','.join(connectors)}}}")
    return f"{{{','.join(accounts)}}}"


def history_on_the_wire(rows: Iterable[tuple[datetime, datetime, str, str, str]]) -> list[str]:
    """Return the rows of a history as one JSON object for each interval, at the time of the last thing seen in it."""
    moments = []
    for _, group in groupby(rows, key=lambda row: row[0]):
        seen = list(group)
        seen_at = max(row[1] for row in seen)
        order = {account: n for n, account in reversed(list(enumerate(row[2] for row in seen)))}
        state = state_on_the_wire(sorted((row[2:] for row in seen), key=lambda row: order[row[0]]))
        moments.append(f'{{"timestamp":"{seen_at.isoformat()}","state":{state}}}')
    return moments


def _text(name: str | None) -> str:
    return encode(name).decode()


def _start_of(cursor: str | None) -> datetime | None:
    if not cursor:
        return None
    try:
        start = datetime.fromisoformat(cursor)
    except ValueError as error:
        raise wrong_cursor(cursor) from error
    if start.tzinfo is None:
        raise wrong_cursor(cursor)
    return start


class Portfolio(Controller):
    """The portfolio, as it is and was."""

    path = "/portfolio"
    tags = ("Portfolio",)

    @post("/state", status_code=200, summary="Say what the accounts hold", responses=described(State, "The holdings"))
    async def state(
        self,
        request: Request,
        data: JSONBody[StateRequest],
        reads: NamedDependency[Reads],
        refresh: NamedDependency[Refresh],
    ) -> Answer:
        """Answer the last balances seen, by account and connector; every account asked for that exists is there.

        Of the past, those that were recorded: nothing is refreshed.
        """
        refreshed = data.refresh and about_now(request.asgi)
        position = await refresh(data.account_names, data.connector_names) if refreshed else 0
        headers = await reads.settle(request, *_VIEWS, position=position)
        async with reads.connection(request) as connection:
            rows = await portfolio.state(connection, accounts=data.account_names, connectors=data.connector_names)
        return Answer(200, state_on_the_wire(rows).encode(), headers)

    @post(
        "/history",
        status_code=200,
        summary="Say what the accounts held over time",
        responses=described(HistoryPage, "States, newest first"),
    )
    async def history(self, request: Request, data: JSONBody[HistoryRequest], reads: NamedDependency[Reads]) -> Answer:
        """Answer the last state seen in each interval in which there was one, newest first."""
        headers = await reads.settle(request, *_VIEWS)
        async with reads.connection(request) as connection:
            rows = await portfolio.history(
                connection,
                interval_seconds=SECONDS[data.interval or "5m"],
                limit=data.limit + 1,
                since=moment(data.start_time),
                until=moment(data.end_time),
                before=_start_of(data.cursor),
                accounts=data.account_names,
                connectors=data.connector_names,
            )
        return _history_answer(data, rows, headers)

    @post(
        "/distribution",
        status_code=200,
        summary="Say how the portfolio is spread over tokens",
        responses=described(Distribution, "Tokens, the one worth most first"),
    )
    async def distribution(
        self, request: Request, data: JSONBody[DistributionRequest], reads: NamedDependency[Reads]
    ) -> Answer:
        """Answer each token's part of the value, and where it lies."""
        headers = await reads.settle(request, *_VIEWS)
        async with reads.connection(request) as connection:
            held = await portfolio.holdings(connection, accounts=data.account_names, connectors=data.connector_names)
        return Answer(200, encode(by_token(held, data.account_names)), headers)

    @get(
        "/accounts-distribution",
        status_code=200,
        summary="Say how the portfolio is spread over accounts",
        responses=described(AccountsDistribution, "Accounts, the one worth most first"),
    )
    async def accounts_distribution(self, request: Request, reads: NamedDependency[Reads]) -> Answer:
        """Answer each account's part of the value, and on which connectors it lies."""
        headers = await reads.settle(request, *_VIEWS)
        async with reads.connection(request) as connection:
            held = await portfolio.holdings(connection)
        return Answer(200, encode(by_account(held)), headers)


def _history_answer(
    data: HistoryRequest,
    rows: Sequence[tuple[datetime, datetime, str, str, str]],
    headers: tuple[tuple[bytes, bytes], ...],
) -> Answer:
    starts = list(dict.fromkeys(row[0] for row in rows))
    shown = set(starts[: data.limit])
    more = len(starts) > data.limit
    pagination = HistoryPagination(
        limit=data.limit,
        has_more=more,
        next_cursor=starts[data.limit - 1].isoformat() if more else None,
        current_cursor=data.cursor,
        filters=HistoryFilters(
            account_names=data.account_names,
            connector_names=data.connector_names,
            start_time=data.start_time,
            end_time=data.end_time,
            interval=data.interval,
        ),
    )
    moments = history_on_the_wire(row for row in rows if row[0] in shown)
    return Answer(200, b'{"data":[%s],"pagination":%s}' % (",".join(moments).encode(), encode(pagination)), headers)
