"""One client of a WebSocket: what it asks, and what it is told.

Nothing queues for a client. Each of its subscriptions makes one message, waits until that is sent, and looks only then
for what is newest; so a client that reads slowly, or not at all, costs one message a subscription, and misses what it
is told that it missed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import uuid4

import msgspec
from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect

from adapters.http.bodies import MalformedRequest, encode
from domain.errors import DomainError, Invalid

MOST_SUBSCRIPTIONS = 100
_PROBLEMS = 5
_SHOWN = 64

Clock = Callable[[], datetime]
Begun = Callable[[], Awaitable[None]]
Say = Callable[[object], Awaitable[None]]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How often a client may be told of one thing, and how often it hears that the server is there, in seconds."""

    least_seconds: float
    most_seconds: float
    heartbeat_seconds: float
    clock: Clock

    def held(self, interval: float) -> float:
        """Return the nearest interval that a client may have."""
        return max(self.least_seconds, min(self.most_seconds, interval))

    def now(self) -> float:
        """Return the time now, in seconds since 1970."""
        return self.clock().timestamp()


class Topic(Protocol):
    """What one subscription tells."""

    id: str

    @property
    def subscribed(self) -> object:
        """The answer to the one who subscribed."""
        ...

    async def tell(self, begun: Begun, say: Say) -> None:
        """Tell for ever, `begun` first, when it is known that there is something to tell of.

        Raises `DomainError` where there is not, or no more.
        """
        ...


class Topics(Protocol):
    """What can be listened to over one kind of socket."""

    terms: Terms
    id_characters: int
    """Of the name that a connection gets."""

    def topic(self, wish: dict[str, Any], raw: bytes) -> Topic:
        """Return what a client wishes to hear of; `raw` is the wish as it came. Raises `DomainError`."""
        ...

    def unknown(self, subscription_id: str) -> str:
        """Say that a client has no such subscription."""
        ...


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """The first message."""

    type: Literal["connected"] = "connected"
    connection_id: str
    timestamp: float


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """A sign of life, asked for or not."""

    type: Literal["pong", "heartbeat"]
    timestamp: float


class Unsubscribed(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription has ended because the client wished so."""

    type: Literal["unsubscribed"] = "unsubscribed"
    subscription_id: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A wish that cannot be met, or news of a subscription that there is nothing more to tell."""

    type: str
    message: str
    subscription_id: str | None = None


def refusal(reason: DomainError, subscription_id: str | None = None) -> Refusal:
    """Return why not, as clients read it."""
    why = reason.message
    if isinstance(reason, MalformedRequest):
        shown = reason.problems[:_PROBLEMS]
        why = "; ".join(f"{'.'.join(map(str, one.loc[1:])) or 'message'}: {one.msg}" for one in shown)
    return Refusal(type="error", message=why, subscription_id=subscription_id)


class Conversation:
    """A client, from its first message to its last."""

    def __init__(self, socket: WebSocket[Any, Any, Any], topics: Topics) -> None:
        """Begin with no subscription."""
        self._socket = socket
        self._topics = topics
        self._subscriptions: dict[str, asyncio.Task[None]] = {}

    async def hold(self) -> None:
        """Hear the client, and tell it what it wishes to hear, until it leaves or the server stops."""
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._socket.accept()
                beat = tasks.create_task(self._beat())
                await self._say(Connected(connection_id=self._new_id(), timestamp=self._topics.terms.now()))
                await self._hear(tasks)
                for task in (beat, *self._subscriptions.values()):
                    task.cancel()
        except* (OSError, WebSocketDisconnect):
            pass  # it left while it was being told something, and nobody is there to be told that

    async def _hear(self, tasks: asyncio.TaskGroup) -> None:
        """Do what the client asks, one thing after the other, until it leaves."""
        while (message := await self._socket.receive())["type"] == "websocket.receive":
            try:
                await self._answer(tasks, message.get("text"))
            except DomainError as reason:
                await self._say(refusal(reason))

    async def _answer(self, tasks: asyncio.TaskGroup, text: str | None) -> None:
        wish = _wish(text)
        match wish.get("action"):
            case "ping":
                await self._say(Sign(type="pong", timestamp=self._topics.terms.now()))
            case "subscribe":
                self._subscribe(tasks, self._topics.topic(wish, (text or "").encode()))
            case "unsubscribe":
                await self._unsubscribe(wish.get("subscription_id"))
            case action:
                raise Invalid(f"Unknown action: {shortened(action)}. Valid actions: subscribe, unsubscribe, ping")

    def _subscribe(self, tasks: asyncio.TaskGroup, topic: Topic) -> None:
        """Begin to tell of a topic, anew if it was told of before."""
        replaced = self._subscriptions.pop(topic.id, None)
        if replaced is not None:
            replaced.cancel()
        elif len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            raise Invalid(f"A client can have {MOST_SUBSCRIPTIONS} subscriptions at most; open another connection")
        self._subscriptions[topic.id] = tasks.create_task(self._tell(topic))

    async def _unsubscribe(self, subscription_id: object) -> None:
        if not subscription_id:
            raise Invalid("unsubscribe requires 'subscription_id'")
        task = self._subscriptions.pop(subscription_id, None) if isinstance(subscription_id, str) else None
        if task is None:
            raise Invalid(self._topics.unknown(shortened(subscription_id)))
        task.cancel()
        await self._say(Unsubscribed(subscription_id=str(subscription_id)))

    async def _tell(self, topic: Topic) -> None:
        async def begun() -> None:
            await self._say(topic.subscribed)

        try:
            await topic.tell(begun, self._say)
        except DomainError as reason:
            self._subscriptions.pop(topic.id, None)  # a new one may come as soon as the client knows
            await self._say(refusal(reason, topic.id))

    async def _beat(self) -> None:
        terms = self._topics.terms
        while True:
            await asyncio.sleep(terms.heartbeat_seconds)
            await self._say(Sign(type="heartbeat", timestamp=terms.now()))

    async def _say(self, message: object) -> None:
        """Send a message when the client has read enough of those before. Raises what says that it has left."""
        await self._socket.send({"type": "websocket.send", "bytes": None, "text": encode(message).decode()})

    def _new_id(self) -> str:
        return str(uuid4())[: self._topics.id_characters]


def _wish(text: str | None) -> dict[str, Any]:
    if text is None:
        raise Invalid("A message is a text that holds a JSON object; this one is binary")
    try:
        wish = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(f"A message is a text that holds a JSON object; this one is no JSON: {error}") from error
    if not isinstance(wish, dict):
        raise Invalid("A message is a text that holds a JSON object; this one holds something else")
    return wish


def shortened(given: object) -> str:
    """Return what a client has sent as an answer may repeat it."""
    return str(given)[:_SHOWN]
