"""Traders who place and cancel orders at a steady rate, and remember what they were promised."""

import asyncio
import random
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec

from tests.contract.serving import CREDENTIALS

PER_SECOND = 200
ACCOUNTS = ("master_account", "second")
ANSWER_SECONDS = 20.0

# Each order has a price, or for MARKET an amount, that no other one has: so an order that was recorded twice is seen.
_STEPS = {"ETH-USDT": (Decimal("0.01"), Decimal("0.004")), "BTC-USDT": (Decimal("0.01"), Decimal("0.0002"))}
_MARKET_STEP = {"ETH-USDT": Decimal("0.0001"), "BTC-USDT": Decimal("0.00001")}
_STARTS = {"ETH-USDT": Decimal(3_100), "BTC-USDT": Decimal(50_000)}
BID, SPREAD = 50_000, 200
"""The market of BTC-USDT that the traders expect: one that stands still, with room for them to trade inside."""

Body = Mapping[str, Any]


class Asked(msgspec.Struct, kw_only=True, eq=False):
    """One order that was asked for. `order_id` is None as long as nobody has acknowledged it."""

    body: Body
    key: str | None
    order_id: str | None = None

    @property
    def mark(self) -> tuple[Any, ...]:
        """What tells this order from all others."""
        body, price = self.body, self.body["price"]
        kind = body["connector_name"], body["trading_pair"], body["order_type"]
        return *kind, Decimal(body["amount"]), None if price is None else Decimal(price)


class Refused(msgspec.Struct, frozen=True):
    """An answer that is no success."""

    status: int
    detail: str
    seconds: float


class Traders:
    """Traders on one server. What was acknowledged is kept from one server process to the next."""

    def __init__(self, url: str, seed: int = 1) -> None:
        self._url = url
        self._random = random.Random(seed)
        self._number = 0
        self.asked: list[Asked] = []
        self.refused: list[Refused] = []
        self.lost = 0  # requests that got no answer
        self.answers = 0  # and all others
        self._resting: list[tuple[Asked, str]] = []  # orders far from the market, and their ids

    @property
    def acknowledged(self) -> Sequence[Asked]:
        """The orders that were acknowledged."""
        return [asked for asked in self.asked if asked.order_id is not None]

    async def answered(self, requests: int) -> None:
        """Wait until so many more requests are answered, one way or the other."""
        await self._wait(lambda: self.answers, requests)

    async def placed(self, orders: int) -> None:
        """Wait until so many more orders are acknowledged."""
        await self._wait(lambda: len(self.acknowledged), orders)

    async def denied(self, requests: int) -> None:
        """Wait until so many more requests are refused."""
        await self._wait(lambda: len(self.refused), requests)

    async def _wait(self, count: Callable[[], int], more: int) -> None:
        enough = count() + more
        async with asyncio.timeout(60):
            while count() < enough:
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def trading(self) -> AsyncIterator[None]:
        """Trade while the block runs; what is under way at its end is seen to its end."""
        async with self._session() as session:
            requests: set[asyncio.Task[None]] = set()
            pace = asyncio.create_task(self._trade(session, requests))
            try:
                yield
            finally:
                pace.cancel()
                await asyncio.wait([pace])
                if requests:
                    await asyncio.wait(requests)
        if not pace.cancelled():
            pace.result()
        for request in requests:
            request.result()

    async def ask_again(self, asked: Sequence[Asked]) -> None:
        """Repeat requests with their keys, all at once. Fails unless all are acknowledged as before."""
        async with self._session() as session:
            await asyncio.gather(*(self._order(session, each) for each in asked))

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            self._url,
            headers={"Authorization": "Basic " + b64encode(":".join(CREDENTIALS).encode()).decode()},
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        )

    async def _trade(self, session: aiohttp.ClientSession, requests: set[asyncio.Task[None]]) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            if self._resting and self._random.random() < 0.2:
                work = self._cancel(session, *self._resting.pop(self._random.randrange(len(self._resting))))
            else:
                self.asked.append(self._next())
                work = self._order(session, self.asked[-1])
            requests.add(asyncio.create_task(work))
            due += 1 / PER_SECOND
            await asyncio.sleep(due - clock())

    def _next(self) -> Asked:
        self._number += 1
        pick = self._random
        pair = pick.choice(list(_STEPS))
        side = pick.choice(["BUY", "SELL"])
        kind = pick.choice(["far", "far", "marketable", "market"] + ["inside"] * (pair == "BTC-USDT"))
        step, amount = _STEPS[pair]
        better = -1 if side == "BUY" else 1
        price: Decimal | None = None
        if kind == "market":
            amount = amount + self._number * _MARKET_STEP[pair]
        elif kind == "inside":
            price = BID + self._number * step
        else:
            away = Decimal("0.4") if kind == "far" else Decimal("-0.05")
            price = (_STARTS[pair] * (1 + better * away)).quantize(step) + self._number * step
        return Asked(
            body={
                "account_name": pick.choice(ACCOUNTS),
                "connector_name": pick.choice(["paper", "paper_perpetual"]),
                "trading_pair": pair,
                "trade_type": side,
                "amount": str(amount),
                "order_type": "MARKET" if price is None else pick.choice(["LIMIT", "LIMIT", "LIMIT_MAKER"]),
                "price": None if price is None else str(price),
                "position_action": "OPEN",
            },
            key=f"key-{self._number}" if pick.random() < 0.5 else None,
        )

    async def _order(self, session: aiohttp.ClientSession, asked: Asked) -> None:
        headers = {} if asked.key is None else {"Idempotency-Key": asked.key}
        answer = await self._post(session, "/trading/orders", 201, asked.body, headers)
        if answer is None:
            return
        assert asked.order_id in (None, answer["order_id"]), f"{asked.key} gave {asked.order_id}, then {answer}"
        asked.order_id = answer["order_id"]
        if asked.body["price"] is not None:
            self._resting.append((asked, answer["order_id"]))

    async def _cancel(self, session: aiohttp.ClientSession, asked: Asked, order_id: str) -> None:
        place = f"{asked.body['account_name']}/{asked.body['connector_name']}"
        await self._post(session, f"/trading/{place}/orders/{order_id}/cancel", 200, None, {})

    async def _post(
        self, session: aiohttp.ClientSession, path: str, status: int, body: Body | None, headers: Mapping[str, str]
    ) -> dict[str, Any] | None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with session.post(path, json=body, headers=headers) as answer:
                content = await answer.json()
        except aiohttp.ClientError:
            self.lost += 1
            return None
        self.answers += 1
        if answer.status == status:
            return dict(content)
        gone = answer.status == 404 and path.endswith("/cancel")  # it has traded, or its placing is not known to all
        if not gone:
            self.refused.append(Refused(answer.status, str(content["detail"]), clock() - began))
        return None
