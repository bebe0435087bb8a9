"""Every request goes by the levers here: whether it is worked, and whether what was done is told."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from tests.venues.levers import Lever, Levers, Pull

Work = Callable[[], web.Response]
"""Does what a request asks for, all at once: between its beginning and its end nothing else happens."""


class Wording(Protocol):
    """How a venue's dialect says that something went wrong."""

    def refused(self, pull: Pull) -> web.Response:
        """Say the code and the message that a lever has."""
        ...

    def limited(self, pull: Pull) -> web.Response:
        """Say that there were too many requests, with the lever's status (429, 418)."""
        ...

    def down(self, pull: Pull) -> web.Response:
        """Say that the venue is out of order, with the lever's status (5xx)."""
        ...


async def answer(
    request: web.Request, work: Work, levers: Levers, wording: Wording, *, on: str, account: str | None
) -> web.Response:
    """Answer a request; `on` is the word for what it asks for, as levers know it."""
    now = asyncio.get_running_loop().time()
    if levers.down:
        levers.pulled["down"] += 1
        return _broken(request)
    levers.note(account or "", now)
    limited = levers.pull(Lever.LIMIT_RATE, on, account)
    if limited is not None:
        levers.tell_to_wait(account or "", now + limited.seconds)
        response = wording.limited(limited)
        response.headers["Retry-After"] = f"{limited.seconds:g}"
        return response
    down = levers.pull(Lever.FAIL_BEFORE, on, account)
    if down is not None:
        return wording.down(down)
    refused = levers.pull(Lever.REJECT, on, account)
    if refused is not None:
        return wording.refused(refused)
    delayed = levers.pull(Lever.WORK_LATE, on, account)
    if delayed is not None:
        await asyncio.sleep(delayed.seconds)
    response = work()
    if levers.pull(Lever.LOSE_RESPONSE, on, account) is not None:
        return _broken(request)
    failed = levers.pull(Lever.FAIL_AFTER, on, account)
    if failed is not None:
        return wording.down(failed)
    late = levers.pull(Lever.ANSWER_LATE, on, account)
    if late is not None:
        await asyncio.sleep(late.seconds)
    return response


def _broken(request: web.Request) -> web.Response:
    """Break the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
