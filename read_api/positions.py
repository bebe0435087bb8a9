"""Positions on perpetuals, how they are kept, and the funding paid for them."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from adapters.http.answers import Answer
from adapters.http.bodies import Text, encode
from adapters.http.requests import Request
from domain.errors import Invalid, NotFound
from projections import accounts, positions
from projections.paging import page
from projections.positions import Held, Place
from projections.view import Connection
from read_api.pages import (
    PageRequest,
    Pagination,
    TimedPageRequest,
    described,
    items_answer,
    key_of,
    moment,
    page_answer,
    wrong_cursor,
)
from read_api.ports import Markets
from read_api.settle import Reads

_SEPARATOR = "|"  # in no account, connector, pair or side


class FundingRequest(TimedPageRequest, frozen=True, kw_only=True):
    """Which funding payments."""

    trading_pair: Text | None = None


class PositionItem(msgspec.Struct, frozen=True, kw_only=True):
    """A position on the wire. `amount` in base, negative when short; `unrealized_pnl` in quote, at the price now."""

    account_name: str
    connector_name: str
    trading_pair: str
    side: str
    amount: float
    entry_price: float
    unrealized_pnl: float
    leverage: float


class PositionsPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of positions, by account, connector and pair."""

    data: list[PositionItem]
    pagination: Pagination


class FundingPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of funding payments, newest first."""

    data: list[positions.FundingPayment]
    pagination: Pagination


class ModeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The mode that positions are kept in."""

    position_mode: str
    connector: str
    account: str


def on_the_wire(held: Held, price: Decimal | None) -> PositionItem:
    """Return a position as clients read it, marked at `price`; without one, as the venue last marked it."""
    marked = held.unrealized_pnl if price is None else held.amount * (price - held.entry_price)
    return PositionItem(
        account_name=held.account,
        connector_name=held.connector,
        trading_pair=held.trading_pair,
        side=held.side,
        amount=float(held.amount),
        entry_price=float(held.entry_price),
        unrealized_pnl=float(marked),
        leverage=float(held.leverage),
    )


def _place_of(cursor: str | None) -> Place | None:
    if not cursor:
        return None
    match cursor.split(_SEPARATOR):
        case [account, connector, pair, side]:
            return account, connector, pair, side
        case _:
            raise wrong_cursor(cursor)


async def _prices(markets: Markets, held: list[Held]) -> Mapping[str, Mapping[str, Decimal]]:
    wanted = {position.connector for position in held}
    return {name: await markets.exchange(name).prices() for name in wanted.intersection(markets.connectors())}


async def _was_connected(connection: Connection, account: str, connector: str) -> None:
    """Raise `NotFound` or `Invalid` for what was no connected account at that time."""
    found = await accounts.connectors(connection, [account])
    if account not in found:
        raise NotFound(f"Account '{account}' not found")
    if connector not in found[account]:
        raise Invalid(f"Account '{account}' had no credentials for connector '{connector}'")


class PositionReads(Controller):
    """Positions, as they are."""

    path = "/trading"
    tags = ("Trading",)

    @post("/positions", status_code=200, summary="List the positions", responses=described(PositionsPage, "Positions"))
    async def held(
        self,
        request: Request,
        data: JSONBody[PageRequest],
        reads: NamedDependency[Reads],
        markets: NamedDependency[Markets],
    ) -> Answer:
        """Answer the open positions, marked at the prices now; those of the past as the venue marked them then."""
        headers = await reads.settle(request, "positions", "accounts")
        place, chosen = _place_of(data.cursor), {"account": data.account_names, "connector": data.connector_names}
        async with reads.connection(request) as connection:
            found, following, total = await positions.held(
                connection, limit=data.limit, after=place, followed=True, **chosen
            )
        prices = await _prices(markets, found) if reads.moment(request) is None else {}
        items = [encode(on_the_wire(p, prices.get(p.connector, {}).get(p.trading_pair))).decode() for p in found]
        cursor = _SEPARATOR.join(following) if following else None
        return items_answer(items, limit=data.limit, cursor=cursor, total=total, headers=headers)

    @get(
        "/{account_name:str}/{connector_name:str}/position-mode",
        status_code=200,
        summary="Say in which mode positions are kept",
        responses=described(ModeAnswer, "HEDGE or ONEWAY"),
    )
    async def mode(
        self,
        request: Request,
        account_name: FromPath[str],
        connector_name: FromPath[str],
        reads: NamedDependency[Reads],
        markets: NamedDependency[Markets],
    ) -> Answer:
        """Answer the mode of an account on a perpetual connector."""
        headers = await reads.settle(request, "positions", "accounts")
        then = reads.moment(request) is not None
        market = markets.exchange(connector_name) if then else markets.connected(account_name, connector_name)
        if not market.perpetual:
            raise Invalid(f"Connector '{connector_name}' is not a perpetual connector")
        async with reads.connection(request) as connection:
            if then:
                await _was_connected(connection, account_name, connector_name)
            mode = await positions.mode(connection, account=account_name, connector=connector_name)
        answer = ModeAnswer(position_mode=mode.value, connector=connector_name, account=account_name)
        return Answer(200, encode(answer), headers)

    @post(
        "/funding-payments",
        status_code=200,
        summary="List the funding payments",
        responses=described(FundingPage, "Funding payments"),
    )
    async def funding(self, request: Request, data: JSONBody[FundingRequest], reads: NamedDependency[Reads]) -> Answer:
        """Answer the funding payments that match, newest first."""
        headers = await reads.settle(request, "positions")
        async with reads.connection(request) as connection:
            found = await page(
                connection,
                positions.FUNDING,
                limit=data.limit,
                after=key_of(data.cursor),
                since=moment(data.start_time),
                until=moment(data.end_time),
                account=data.account_names,
                connector=data.connector_names,
                trading_pair=[data.trading_pair] if data.trading_pair else None,
            )
        return page_answer(found, data.limit, headers)
