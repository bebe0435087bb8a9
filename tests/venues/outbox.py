"""What is told to one socket, in order, unless a lever bends it."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from tests.venues.levers import Lever, Levers

_HELD_SECONDS = 0.05
"""A message that is to change places with the next one goes out after this, if none comes."""


class Outbox:
    """A socket's messages. Levers are for those that are told as `news`; answers to the client always arrive."""

    def __init__(
        self, request: web.Request, socket: web.WebSocketResponse, levers: Levers, *, account: str | None = None
    ) -> None:
        """Begin with nothing to tell; `account` is whose user stream this is, None for the market's."""
        self.account = account
        self.closed: list[Callable[[], None]] = []  # what has to end with the socket
        self._request = request
        self._socket = socket
        self._levers = levers
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._held: str | None = None
        self._loop = asyncio.get_running_loop()
        self._silent_until = 0.0

    def tell(self, message: str) -> None:
        """Send a message."""
        self._queue.put_nowait(message)

    def news(self, message: str, on: str = "stream") -> None:
        """Send a message of a user stream, or of the `market`, if no lever is against it."""
        pull, account = self._levers.pull, self.account
        silence = pull(Lever.SILENCE_STREAM, on, account)
        if silence is not None:
            self._silent_until = self._loop.time() + silence.seconds
        if self._loop.time() < self._silent_until:
            return
        if pull(Lever.DROP_STREAM, on, account) is not None:
            self.drop()
            return
        if self._held is None and pull(Lever.REORDER_MESSAGES, on, account) is not None:
            self._held = message
            self._loop.call_later(_HELD_SECONDS, self._let_go)
            return
        self.tell(message)
        self._let_go()
        if pull(Lever.REPEAT_MESSAGE, on, account) is not None:
            self.tell(message)

    def drop(self) -> None:
        """Break the connection, without a word."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def run(self) -> None:
        """Send what is told until canceled, or until the client has left."""
        while True:
            message = await self._queue.get()
            try:
                await self._socket.send_str(message)
            except ConnectionError:
                return

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self.tell(held)


async def converse(
    request: web.Request,
    levers: Levers,
    heard: Callable[[Outbox, str], None],
    *,
    opened: Callable[[Outbox], None] | None = None,
    account: str | None = None,
) -> web.WebSocketResponse:
    """Hold a socket open: `opened` is told of it first, and every message of the client goes to `heard`."""
    if levers.down:
        levers.pulled["down"] += 1
        if request.transport is not None:
            request.transport.abort()
        raise web.HTTPServiceUnavailable
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    outbox = Outbox(request, socket, levers, account=account)
    outbox.closed.append(levers.hold(outbox.drop))
    sender = asyncio.create_task(outbox.run())
    try:
        if opened is not None:
            opened(outbox)
        async for message in socket:
            if isinstance(message.data, str):
                heard(outbox, message.data)
    finally:
        for end in outbox.closed:
            end()
        sender.cancel()
    return socket
