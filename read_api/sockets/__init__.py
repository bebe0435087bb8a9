"""Live streams over WebSockets: markets; executors, bots and their performance."""

from typing import Any

import msgspec
from litestar import Controller, WebSocket, websocket
from litestar.di import NamedDependency

from read_api.executors import Executors
from read_api.ports import Candles, Feeds
from read_api.sockets.conversation import Conversation, Terms
from read_api.sockets.executors import ExecutorTopics
from read_api.sockets.market_data import MarketTopics


class SocketTopics(msgspec.Struct, frozen=True, kw_only=True):
    """What can be listened to, by socket."""

    market_data: MarketTopics
    executors: ExecutorTopics


def socket_topics(feeds: Feeds, candles: Candles, executors: Executors, terms: Terms) -> SocketTopics:
    """Return what can be listened to; `terms` bound how often markets are told of."""
    return SocketTopics(market_data=MarketTopics(feeds, candles, terms), executors=ExecutorTopics(executors, terms))


class Sockets(Controller):
    """Conversations with clients that listen."""

    path = "/ws"

    @websocket("/market-data")
    async def market_data(self, socket: WebSocket[Any, Any, Any], sockets: NamedDependency[SocketTopics]) -> None:
        """Tell a client of books, trades and candles for as long as it listens."""
        await Conversation(socket, sockets.market_data).hold()

    @websocket("/executors")
    async def executors(self, socket: WebSocket[Any, Any, Any], sockets: NamedDependency[SocketTopics]) -> None:
        """Tell a client of executors and bots for as long as it listens."""
        await Conversation(socket, sockets.executors).hold()
