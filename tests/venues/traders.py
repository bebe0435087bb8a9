"""Clients of one server that trade on the test venue, and ask again with the same key until they have an answer."""

import asyncio
import random
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec

from adapters.exchanges.paper_feed import RULES
from domain.connectors import TradingRule
from domain.values import round_down
from tests.contract.serving import CREDENTIALS
from tests.venues.floor import PRICES, SWAP_RULES
from tests.venues.ledger import Market

MARKETS: Mapping[str, Market] = {"binance": Market.SPOT, "binance_perpetual": Market.SWAP}
ACCOUNTS: Mapping[str, str] = {"master_account": "alice", "second": "bob"}
"""Our name of an account → the venue's."""
PLACES = tuple((account, connector) for account in ACCOUNTS for connector in MARKETS)

Body = Mapping[str, Any]

_NOTIONAL = {"BTC": Decimal(300), "ETH": Decimal(200), "SOL": Decimal(100)}
_ANSWER_SECONDS = 15.0
_AGAIN_SECONDS = 0.4
_PAUSE_SECONDS = 0.8
_CLIENTS = {"binance": 40, "binance_perpetual": 8}
"""About as many orders a second as ccxt lets two accounts send to each market."""


class Asked(msgspec.Struct, kw_only=True, eq=False):
    """One order that was asked for. `status` is that of the last answer, `order_id` is there once it is 201."""

    key: str
    body: Body
    order_id: str | None = None
    status: int | None = None


class Traders:
    """Several clients. What was acknowledged is kept from one server process to the next."""

    def __init__(self, url: str, *, seed: int, most: int) -> None:
        """Trade up to `most` orders, each client one order after the other."""
        self.asked: list[Asked] = []
        self.sent_again: Counter[str] = Counter()  # why a request was sent again
        self.refused: Counter[str] = Counter()  # what the server said to requests that it does not take
        self.cancels = 0
        self.prices = {(market, pair): Decimal(price) for market in Market for pair, price in PRICES.items()}
        self._url = url
        self._random = random.Random(seed)
        self._most = most
        self._marks: set[tuple[object, ...]] = set()
        self._resting: list[Asked] = []

    @property
    def acknowledged(self) -> Sequence[Asked]:
        """The orders that were acknowledged."""
        return [asked for asked in self.asked if asked.order_id is not None]

    async def placed(self, orders: int) -> None:
        """Wait until so many orders were asked for, in all."""
        await _until(lambda: len(self.asked) >= min(orders, self._most))

    @asynccontextmanager
    async def trading(self) -> AsyncIterator[None]:
        """Trade until all orders are answered, however long the server is away; the block may do what it likes."""
        headers = {"Authorization": "Basic " + b64encode(":".join(CREDENTIALS).encode()).decode()}
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        async with (
            aiohttp.ClientSession(self._url, headers=headers, timeout=timeout) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for connector, clients in _CLIENTS.items():
                for _ in range(clients):
                    tasks.create_task(self._trade(session, connector))
            yield

    async def _trade(self, session: aiohttp.ClientSession, connector: str) -> None:
        pick = self._random
        await asyncio.sleep(pick.uniform(0, _PAUSE_SECONDS))
        while len(self.asked) < self._most:
            if self._resting and pick.random() < 0.3:
                await self._cancel(session, self._resting.pop(pick.randrange(len(self._resting))))
            else:
                self.asked.append(self._next(connector))
                await self._order(session, self.asked[-1])
            await asyncio.sleep(_PAUSE_SECONDS)

    def _next(self, connector: str) -> Asked:
        pick = self._random
        market = MARKETS[connector]
        rules = RULES if market is Market.SPOT else SWAP_RULES
        pair = pick.choice(list(rules))
        rule = rules[pair]
        mid = self.prices[market, pair]
        side = pick.choice(["BUY", "SELL"])
        order_type = pick.choice(["LIMIT", "LIMIT", "LIMIT", "LIMIT_MAKER", "MARKET"])
        amount = self.amount(pair, rule) * pick.randint(1, 5)
        away = Decimal(pick.choice(["0.0005", "0.002", "0.004", "0.01", "-0.001"]))
        price = mid * (1 - away if side == "BUY" else 1 + away)
        mark: tuple[object, ...] = ()
        while not mark or mark in self._marks:
            amount += rule.min_base_amount_increment
            price += rule.min_price_increment
            amount, price = (
                round_down(amount, rule.min_base_amount_increment),
                round_down(price, rule.min_price_increment),
            )
            mark = connector, pair, order_type, amount
        self._marks.add(mark)
        closes = market is Market.SWAP and pick.random() < 0.2
        return Asked(
            key=f"key-{len(self.asked) + 1}",
            body={
                "account_name": pick.choice(list(ACCOUNTS)),
                "connector_name": connector,
                "trading_pair": pair,
                "trade_type": side,
                "amount": f"{amount:f}",
                "order_type": order_type,
                "price": None if order_type == "MARKET" else f"{price:f}",
                "position_action": "CLOSE" if closes else "OPEN",
            },
        )

    @staticmethod
    def amount(pair: str, rule: TradingRule) -> Decimal:
        """Return a small amount of a pair in base."""
        base = pair.partition("-")[0]
        return max(_NOTIONAL[base] / Decimal(PRICES[f"{base}-USDT"]) / 5, rule.min_order_size)

    async def _order(self, session: aiohttp.ClientSession, asked: Asked) -> None:
        """Ask for an order until it is known whether the server has it."""
        while asked.status not in {201, 400, 422}:
            asked.status, answer = await self._post(session, "/trading/orders", asked.body, asked.key)
            if asked.status == 201:
                asked.order_id = answer["order_id"]
                if asked.body["order_type"] != "MARKET":
                    self._resting.append(asked)
            elif asked.status in {400, 422}:
                self.refused[str(answer["detail"])] += 1
            else:
                self.sent_again[f"HTTP {asked.status}" if asked.status else "no answer"] += 1
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _cancel(self, session: aiohttp.ClientSession, asked: Asked) -> None:
        """Ask for a cancel, once: it may be lost, or come too late."""
        place = f"{asked.body['account_name']}/{asked.body['connector_name']}"
        status, answer = await self._post(session, f"/trading/{place}/orders/{asked.order_id}/cancel", None, None)
        assert status in {None, 200, 404, 503, 400}, answer
        self.cancels += status == 200

    async def _post(
        self, session: aiohttp.ClientSession, path: str, body: Body | None, key: str | None
    ) -> tuple[int | None, dict[str, Any]]:
        headers = {} if key is None else {"Idempotency-Key": key}
        try:
            async with session.post(path, json=body, headers=headers) as answer:
                return answer.status, await answer.json()
        except (aiohttp.ClientError, TimeoutError):
            return None, {}


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)
