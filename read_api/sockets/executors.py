"""Executors, their performance and bots over a WebSocket, no oftener than a client wishes, and when they changed."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec

from adapters.http.bodies import Body, Text, decode, encode
from domain.errors import Invalid
from read_api.executors import Executors
from read_api.sockets.conversation import Begun, Say, Terms, shortened

LEAST_SECONDS = 0.5
MOST_SECONDS = 60.0

Kind = Literal[
    "all_bots_status",
    "bot_status",
    "executor_detail",
    "executor_logs",
    "executor_summary",
    "executors",
    "performance",
    "positions",
]
KINDS: tuple[str, ...] = get_args(Kind)
_NEEDED = {"executor_detail": "executor_id", "executor_logs": "executor_id", "bot_status": "bot_name"}

News = Mapping[str, object]


class Wish(Body, frozen=True, kw_only=True):
    """What to hear of, and how often at most, in seconds."""

    type: Kind
    update_interval: float = 2.0
    filters: dict[str, Any] | None = None
    executor_id: Text = ""
    bot_name: Text = ""
    controller_id: Text | None = None
    level: Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """It begins, and this is how often it is told of at most."""

    type: Literal["subscribed"] = "subscribed"
    subscription_id: str
    subscription_type: str
    update_interval: float


class ExecutorTopic:
    """One thing that is looked at again and again, and told when it has changed."""

    def __init__(self, wish: Wish, look: Callable[[], Awaitable[News | None]], terms: Terms) -> None:
        """Begin when it is told; `look` returns None where there is nothing to tell."""
        self.id = _id(wish)
        self._kind = wish.type
        self._look = look
        self._terms = terms
        self._interval = terms.held(wish.update_interval)

    @property
    def subscribed(self) -> Subscribed:
        """The answer to the one who subscribed."""
        return Subscribed(subscription_id=self.id, subscription_type=self._kind, update_interval=self._interval)

    async def tell(self, begun: Begun, say: Say) -> None:
        """Tell for ever. Raises `Unavailable`."""
        await begun()
        told = b""
        while True:
            news = await self._look()
            if news is not None and (drawn := encode(news)) != told:
                told = drawn
                head = {"type": self._kind, "subscription_id": self.id}
                await say({**head, **news, "timestamp": self._terms.now()})
            await asyncio.sleep(self._interval)


class ExecutorTopics:
    """What can be listened to over `/ws/executors`."""

    id_characters = 12

    def __init__(self, executors: Executors, terms: Terms) -> None:
        """Begin with nobody listening. The bounds of how often they are told of are the contract's."""
        self.terms = msgspec.structs.replace(terms, least_seconds=LEAST_SECONDS, most_seconds=MOST_SECONDS)
        self._executors = executors

    def topic(self, wish: dict[str, Any], raw: bytes) -> ExecutorTopic:
        """Return what a client wishes to hear of. Raises `Invalid` or `MalformedRequest`."""
        kind = wish.get("type")
        if kind not in KINDS:
            raise Invalid(f"Unknown subscription type: {shortened(kind)}. Valid types: {list(KINDS)}")
        needed = _NEEDED.get(kind)
        if needed is not None and not wish.get(needed):
            raise Invalid(f"{kind} requires '{needed}'")
        wished = decode(raw, Wish)
        return ExecutorTopic(wished, lambda: self._look(wished), self.terms)

    def unknown(self, subscription_id: str) -> str:
        """Say that a client has no such subscription."""
        return f"No subscription found: {subscription_id}"

    async def _look(self, wish: Wish) -> News | None:
        """Return what is to be told, None for nothing."""
        ask = self._executors
        match wish.type:
            case "executors":
                found = await ask.search(wish.filters or {})
                return {"data": found, "total_count": len(found)}
            case "executor_detail":
                return {"data": await ask.executor(wish.executor_id)}
            case "executor_logs":
                lines = await ask.logs(wish.executor_id, level=wish.level, limit=wish.limit)
                return {"data": lines} if lines else None
            case "executor_summary":
                return {"data": await ask.summary()}
            case "performance":
                return {"data": await ask.performance(wish.controller_id)}
            case "positions":
                return {"data": await ask.positions(wish.controller_id)}
            case "all_bots_status":
                bots = await ask.bots()
                return {"data": bots, "bot_count": len(bots)}
            case "bot_status":
                return {"data": await ask.bot(wish.bot_name)}


def _id(wish: Wish) -> str:
    match wish.type:
        case "executors":
            # The reference's way to name filters, so that a client finds the name it expects.
            drawn = json.dumps(wish.filters or {}, sort_keys=True).encode()
            return f"executors_{hashlib.md5(drawn, usedforsecurity=False).hexdigest()[:8]}"
        case "executor_detail" | "executor_logs":
            return f"{wish.type}_{wish.executor_id}"
        case "performance" | "positions":
            return f"{wish.type}_{wish.controller_id or 'all'}"
        case "bot_status":
            return f"bot_status_{wish.bot_name}"
        case "executor_summary" | "all_bots_status":
            return wish.type
