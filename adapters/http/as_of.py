"""`X-As-Of`: a question about the past. Which routes can be asked one, and what its header says.

A route that answers from the views (it asks for `reads`) can be asked about the past, unless its answer has something
in it that was never recorded: such a route says so, with `opt=never_recorded("what")`. All others refuse the header.
"""

import re
from datetime import datetime
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from adapters.http.bodies import MalformedRequest
from adapters.http.problems import Problem, shown
from adapters.http.protocol import Scope, header
from domain.errors import Invalid

NAME = "X-As-Of"
PRESENT = "answers_about_now_alone"
"""The key of a route's `opt` under which it says what it shows, where that is of no moment of the past."""

_HEADER = b"x-as-of"
_READS = "reads"
_WHOLE = re.compile(r"[0-9]{1,18}")


def when_of(given: str, location: tuple[str, str]) -> int | datetime:
    """Return the position or time that a text names. Raises `MalformedRequest`, which names where it stood."""
    if _WHOLE.fullmatch(given) is not None:
        return int(given)
    try:
        time = datetime.fromisoformat(given)
    except ValueError as error:
        raise _no_moment(given, location) from error
    if time.tzinfo is None:
        raise _no_moment(given, location)
    return time


def _no_moment(given: str, location: tuple[str, str]) -> MalformedRequest:
    msg = f"{location[1]} should be a position in the log, or a time in ISO 8601 with its time zone"
    return MalformedRequest([Problem(type="datetime_parsing", loc=location, msg=msg, input=shown(given))])


def as_of(scope: Scope) -> int | datetime | None:
    """Return which moment a request is about, None for now. Raises `MalformedRequest`."""
    given = header(scope, _HEADER)
    return None if given is None else when_of(given.decode("latin-1").strip(), ("header", NAME))


def about_now(scope: Scope) -> bool:
    """Whether a request says nothing of the past."""
    return header(scope, _HEADER) is None


def reaches_back(handler: BaseRouteHandler) -> bool:
    """Whether a route can be asked about the past."""
    return _READS in handler.parsed_fn_signature.parameters and PRESENT not in handler.opt


def never_recorded(what: str) -> dict[str, str]:
    """Return the `opt` of a route that shows something which the log does not hold."""
    return {PRESENT: f"{what}, which the log does not hold"}


# Async although it waits for nothing: the framework calls other guards in a thread of their own.
async def past(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse the header where a route cannot answer about the past: a guard of every route. Raises `Invalid`."""
    if header(connection.scope, _HEADER) is None or reaches_back(handler):  # type: ignore[arg-type]
        return
    route = f"{connection.scope.get('method', '')} {connection.scope['path']}"[:200]
    if handler.fn.__module__.startswith("write_api."):
        raise Invalid(f"{NAME} is for questions: {route} changes what is, and what was cannot be changed")
    what = handler.opt.get(PRESENT, "what is there now, which the log does not hold")
    raise Invalid(f"{route} takes no {NAME}: it shows {what}")
