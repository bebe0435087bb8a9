"""Orders and trades, as they are and were."""

import msgspec
from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from adapters.http.answers import Answer
from adapters.http.bodies import Text
from adapters.http.requests import Request
from projections.orders import OPEN_ORDERS, ORDERS, TRADES, OrderItem, TradeItem
from projections.paging import page
from read_api.pages import Names, PageRequest, Pagination, TimedPageRequest, described, key_of, moment, page_answer
from read_api.settle import Reads


class OpenOrdersRequest(PageRequest, frozen=True, kw_only=True):
    """Which of the orders that may still trade."""

    trading_pairs: Names | None = None


class OrdersRequest(TimedPageRequest, frozen=True, kw_only=True):
    """Which orders, by the time they were placed. `status` in the words of the answers (`OPEN`, `FILLED`…)."""

    trading_pairs: Names | None = None
    status: Text | None = None


class TradesRequest(TimedPageRequest, frozen=True, kw_only=True):
    """Which trades, by the venue's time. `trade_types` are `BUY` and `SELL`."""

    trading_pairs: Names | None = None
    trade_types: Names | None = None


class OrdersPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of orders, newest first."""

    data: list[OrderItem]
    pagination: Pagination


class TradesPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of trades, newest first."""

    data: list[TradeItem]
    pagination: Pagination


class OrderReads(Controller):
    """Orders and trades, as they are."""

    path = "/trading"
    tags = ("Trading",)

    @post(
        "/orders/active",
        status_code=200,
        summary="List the open orders",
        responses=described(OrdersPage, "Open orders"),
    )
    async def active(
        self, request: Request, data: JSONBody[OpenOrdersRequest], reads: NamedDependency[Reads]
    ) -> Answer:
        """Answer the orders that may still trade, newest first."""
        headers = await reads.settle(request, "orders", "accounts")
        async with reads.connection(request) as connection:
            found = await page(
                connection,
                OPEN_ORDERS,
                limit=data.limit,
                after=key_of(data.cursor),
                account=data.account_names,
                connector=data.connector_names,
                trading_pair=data.trading_pairs,
            )
        return page_answer(found, data.limit, headers)

    @post("/orders/search", status_code=200, summary="Search orders", responses=described(OrdersPage, "Orders"))
    async def search(self, request: Request, data: JSONBody[OrdersRequest], reads: NamedDependency[Reads]) -> Answer:
        """Answer the orders that match, newest first."""
        headers = await reads.settle(request, "orders")
        async with reads.connection(request) as connection:
            found = await page(
                connection,
                ORDERS,
                limit=data.limit,
                after=key_of(data.cursor),
                since=moment(data.start_time),
                until=moment(data.end_time),
                account=data.account_names,
                connector=data.connector_names,
                trading_pair=data.trading_pairs,
                status=[data.status.upper()] if data.status else None,
            )
        return page_answer(found, data.limit, headers)

    @post("/trades", status_code=200, summary="Search trades", responses=described(TradesPage, "Trades"))
    async def trades(self, request: Request, data: JSONBody[TradesRequest], reads: NamedDependency[Reads]) -> Answer:
        """Answer the trades that match, newest first."""
        headers = await reads.settle(request, "orders")
        async with reads.connection(request) as connection:
            found = await page(
                connection,
                TRADES,
                limit=data.limit,
                after=key_of(data.cursor),
                since=moment(data.start_time),
                until=moment(data.end_time),
                account=data.account_names,
                connector=data.connector_names,
                trading_pair=data.trading_pairs,
                side=[side.upper() for side in data.trade_types] if data.trade_types else None,
            )
        return page_answer(found, data.limit, headers)
