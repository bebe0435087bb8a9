"""Pages of a list on the wire: filters, cursors, and an answer made of items that are JSON already."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from adapters.http.answers import Answer
from adapters.http.bodies import Body, Cursor, MalformedRequest, Milliseconds, PageSize, Text, encode
from adapters.http.problems import Problem, shown
from projections.paging import Key, Page
from read_api.settle import Headers

Names = Annotated[list[Text], msgspec.Meta(max_length=1000)]
"""Values to filter by: any of them matches, and none of them is no filter."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = re.compile(r"[0-9]{1,18}")
_KEY = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
# Shipped clients send seconds where the contract says milliseconds. As milliseconds, what is below this would lie
# before March 1973, long before there was anything to trade; as seconds, it reaches to the year 5138.
_SECONDS_BELOW = 100_000_000_000


class PageRequest(Body, frozen=True, kw_only=True):
    """Which page of a list: `cursor` is the `next_cursor` of the page before."""

    limit: PageSize = 100
    cursor: Cursor | None = None
    account_names: Names | None = None
    connector_names: Names | None = None


class TimedPageRequest(PageRequest, frozen=True, kw_only=True):
    """A page of what happened in a time, in milliseconds since 1970, both ends included."""

    start_time: Milliseconds | None = None
    end_time: Milliseconds | None = None


class Pagination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page stands in its list. `total_count` is how many match in all, None where that is not counted."""

    limit: int
    has_more: bool
    next_cursor: str | None
    total_count: int | None


def moment(given: int | None) -> datetime | None:
    """Return a time that came as milliseconds (or, from some clients, seconds) since 1970."""
    if given is None:
        return None
    return _EPOCH + (timedelta(seconds=given) if given < _SECONDS_BELOW else timedelta(milliseconds=given))


def cursor_of(key: Key) -> str:
    """Return the cursor that stands for a place in a list."""
    return f"{(key[0] - _EPOCH) // timedelta(microseconds=1)}-{key[1]}"


def key_of(cursor: str | None, *, place: str = "body") -> Key | None:
    """Return the place that a cursor stands for. Raises `MalformedRequest` for one that no answer gave."""
    if not cursor:
        return None
    match = _KEY.fullmatch(cursor)
    if match is None:
        raise wrong_cursor(cursor, place=place)
    try:
        return _EPOCH + timedelta(microseconds=int(match[1])), int(match[2])
    except OverflowError as error:
        raise wrong_cursor(cursor, place=place) from error


def number_of(cursor: str | None) -> int | None:
    """Return the whole number that a cursor in a query stands for. Raises `MalformedRequest` for any other one."""
    if not cursor:
        return None
    if _WHOLE.fullmatch(cursor) is None:
        raise wrong_cursor(cursor, place="query")
    return int(cursor)


def wrong_cursor(cursor: str, *, place: str = "body") -> MalformedRequest:
    """Return the refusal of a cursor that no answer gave."""
    problem = Problem(
        type="value_error",
        loc=(place, "cursor"),
        msg="Value error, cursor should be the next_cursor of an earlier answer to this request",
        input=shown(cursor),
    )
    return MalformedRequest([problem])


def page_answer(page: Page, limit: int, headers: Headers) -> Answer:
    """Return the answer for a page of items that are JSON already."""
    cursor = None if page.next is None else cursor_of(page.next)
    return items_answer(page.items, limit=limit, cursor=cursor, total=page.total, headers=headers)


def items_answer(
    items: Iterable[str], *, limit: int, cursor: str | None, total: int | None, headers: Headers
) -> Answer:
    """Return the answer for items that are JSON already; `cursor` is None where the list ends."""
    pagination = Pagination(limit=limit, has_more=cursor is not None, next_cursor=cursor, total_count=total)
    return Answer(200, b'{"data":[%s],"pagination":%s}' % (",".join(items).encode(), encode(pagination)), headers)


def described(model: object, what: str, example: object = None) -> dict[int, ResponseSpec]:
    """Describe the answer of a read for the API's own documentation; without an example one is made of the model."""
    examples = None if example is None else [Example(value=example)]
    return {
        200: ResponseSpec(data_container=model, generate_examples=False, description=what, examples=examples)  # type: ignore[arg-type]
    }
