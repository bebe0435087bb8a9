"""The venue's back door, over HTTP: levers, the ledger, the market, keys, and orders by somebody else."""

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec
from aiohttp import web

from domain.values import OrderType, PositionAction, Side
from tests.venues.floor import Floor
from tests.venues.ledger import Market
from tests.venues.levers import Pull
from tests.venues.steps import Refusal

Asked = TypeVar("Asked")


class Levering(msgspec.Struct, kw_only=True):
    """What to do with the levers; what is not said stays. `times` arms a pull, `probability` gives it a chance."""

    pull: Pull | None = None
    times: int = 1
    probability: float | None = None
    skew_seconds: float | None = None
    down: bool = False
    release: bool = False


class Moving(msgspec.Struct, kw_only=True):
    """Where a pair's market is to be, on one market or on all."""

    trading_pair: str
    price: Decimal
    size: Decimal | None = None
    market: Market | None = None


class Ordering(msgspec.Struct, kw_only=True):
    """An order by somebody who has the account's keys too."""

    account: str
    market: Market
    trading_pair: str
    side: Side
    order_type: OrderType
    amount: Decimal
    price: Decimal | None = None
    action: PositionAction = PositionAction.OPEN
    client_id: str = ""


class Naming(msgspec.Struct, kw_only=True):
    """One of what the path says: an account, or a pair."""

    account: str = ""
    trading_pair: str = ""
    revoke: bool = False


def routes(floor: Floor) -> Sequence[web.RouteDef]:
    """Return the back door's routes."""

    async def ledger(request: web.Request) -> web.Response:
        del request
        return _answered(_ledger(floor))

    return [
        _door(floor, "levers", Levering, _levers),
        _door(floor, "move", Moving, _move),
        _door(floor, "orders", Ordering, _order),
        _door(floor, "keys", Naming, _keys),
        _door(floor, "delist", Naming, _delist),
        _door(floor, "funding", Naming, _funding),
        web.get("/-/ledger", ledger),
    ]


def _door(floor: Floor, path: str, kind: type[Asked], work: Callable[[Floor, Asked], object]) -> web.RouteDef:
    async def handle(request: web.Request) -> web.Response:
        try:
            done = work(floor, msgspec.json.decode(await request.read() or b"{}", type=kind))
        except (msgspec.ValidationError, KeyError, Refusal) as refused:
            return web.json_response({"refused": str(refused)}, status=400)
        return _answered(done)

    return web.post(f"/-/{path}", handle)


def _levers(floor: Floor, asked: Levering) -> object:
    levers = floor.levers
    if asked.release:
        levers.release()
    if asked.skew_seconds is not None:
        levers.skew_seconds = asked.skew_seconds
    if asked.down:
        levers.go_down()
    if asked.pull is not None and asked.probability is not None:
        levers.chance(asked.pull, asked.probability)
    elif asked.pull is not None:
        levers.arm(asked.pull, asked.times)
    return {"pulled": levers.pulled}


def _move(floor: Floor, asked: Moving) -> object:
    floor.move(asked.trading_pair, asked.price, size=asked.size, market=asked.market)
    return {}


def _order(floor: Floor, asked: Ordering) -> object:
    return floor.place(
        asked.account,
        asked.market,
        client_id=asked.client_id,
        trading_pair=asked.trading_pair,
        side=asked.side,
        order_type=asked.order_type,
        amount=asked.amount,
        price=asked.price,
        action=asked.action,
    )


def _keys(floor: Floor, asked: Naming) -> object:
    """Return an account's keys: revoked now, or of an account that is opened now, or as they are."""
    if asked.revoke:
        floor.revoke(asked.account)
    elif all(known.account != asked.account for known in floor.keys.values()):
        floor.open_account(asked.account)
    return floor.keys_of(asked.account)


def _delist(floor: Floor, asked: Naming) -> object:
    floor.delist(asked.trading_pair)
    return {}


def _funding(floor: Floor, asked: Naming) -> object:
    """Have a funding time now, for everybody."""
    del asked
    floor.desk(Market.SWAP).pay_funding()
    return {}


def _ledger(floor: Floor) -> object:
    accounts = sorted({keys.account for keys in floor.keys.values()})
    return {
        "orders": floor.ledger.all_orders(),
        "trades": floor.ledger.all_trades(),
        "received": floor.ledger.received,
        "pulled": floor.levers.pulled,
        "impatient": floor.levers.impatient,
        "holdings": {
            account: {market: floor.desk(market).holdings(account) for market in Market} for account in accounts
        },
        "positions": {account: floor.desk(Market.SWAP).positions(account) for account in accounts},
        "funding": {account: floor.ledger.funding(account) for account in accounts},
    }


def _answered(value: object) -> web.Response:
    return web.json_response(text=json.dumps(msgspec.to_builtins(value, str_keys=True)))
