"""The venue's back door, over HTTP: levers, the ledger, the market, keys, and orders by somebody else."""

import json
from collections.abc import Sequence
from decimal import Decimal

import msgspec
from aiohttp import web

from domain.values import OrderType, PositionAction, Side
from tests.venues.floor import Floor
from tests.venues.ledger import Market
from tests.venues.levers import Pull
from tests.venues.steps import Refusal


class Levering(msgspec.Struct, kw_only=True):
    """What to do with the levers; what is not said stays. `times` arms a pull, `probability` gives it a chance."""

    pull: Pull | None = None
    times: int = 1
    probability: float | None = None
    skew_seconds: float | None = None
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

    async def levers(request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=Levering)
        if asked.release:
            floor.levers.release()
        if asked.skew_seconds is not None:
            floor.levers.skew_seconds = asked.skew_seconds
        if asked.pull is not None and asked.probability is not None:
            floor.levers.chance(asked.pull, asked.probability)
        elif asked.pull is not None:
            floor.levers.arm(asked.pull, asked.times)
        return _json({"pulled": floor.levers.pulled})

    async def ledger(request: web.Request) -> web.Response:
        del request
        accounts = sorted({keys.account for keys in floor.keys.values()})
        return _json(
            {
                "orders": floor.ledger.all_orders(),
                "trades": floor.ledger.all_trades(),
                "received": floor.ledger.received,
                "pulled": floor.levers.pulled,
                "holdings": {a: {m: floor.desk(m).holdings(a) for m in Market} for a in accounts},
                "positions": {a: floor.desk(Market.SWAP).positions(a) for a in accounts},
                "funding": {a: floor.ledger.funding(a) for a in accounts},
            }
        )

    async def move(request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=Moving)
        floor.move(asked.trading_pair, asked.price, size=asked.size, market=asked.market)
        return _json({})

    async def order(request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=Ordering)
        try:
            placed = floor.place(
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
        except Refusal as refusal:
            return web.json_response({"refused": str(refusal)}, status=400)
        return _json(placed)

    async def keys(request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=Naming)
        if asked.revoke:
            floor.revoke(asked.account)
        elif all(known.account != asked.account for known in floor.keys.values()):
            floor.open_account(asked.account)
        return _json(floor.keys_of(asked.account))

    async def delist(request: web.Request) -> web.Response:
        floor.delist(msgspec.json.decode(await request.read(), type=Naming).trading_pair)
        return _json({})

    async def funding(request: web.Request) -> web.Response:
        del request
        floor.desk(Market.SWAP).pay_funding()
        return _json({})

    return [
        web.post("/-/levers", levers),
        web.get("/-/ledger", ledger),
        web.post("/-/move", move),
        web.post("/-/orders", order),
        web.post("/-/keys", keys),
        web.post("/-/delist", delist),
        web.post("/-/funding", funding),
    ]


def _json(value: object) -> web.Response:
    return web.json_response(text=json.dumps(msgspec.to_builtins(value, str_keys=True, order=None)))
