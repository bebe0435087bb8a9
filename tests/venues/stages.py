"""Every kind of exchange with an account on it, and with a market that the test moves."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import count

from adapters.exchanges import names
from adapters.exchanges.ccxt_exchange import CcxtExchange
from adapters.exchanges.clients import VenueClient
from adapters.exchanges.dialects import dialect
from adapters.exchanges.paper import PaperExchange
from adapters.exchanges.paper_feed import RULES, quote_around
from adapters.exchanges.paper_trade import PaperTradeExchange, paper_trade
from adapters.market_data.feeds import Feeds
from adapters.market_data.public_clients import PublicClients
from adapters.market_data.sources import Patience
from commands.ports import AccountMemory, Exchange, OpenOrder
from domain import orders
from domain.connectors import TradingRule
from domain.matching.depth import Quote
from domain.orders import OrderFact, OrderPlaced
from domain.portfolio import Balance
from domain.reports import AccountReport
from domain.values import OrderType, PositionAction, Side
from tests.fakes.exchange import MemoryExchange
from tests.fakes.feeds import running_feeds
from tests.venues.desk import Desk
from tests.venues.floor import FEES, PRICES, SIZES, STARTING, Floor
from tests.venues.ledger import Ledger, Market
from tests.venues.ledger import Order as Truth
from tests.venues.levers import Levers
from tests.venues.public import public_clients, sources_of
from tests.venues.serving import Venue, running_venue
from tests.venues.told import Done, Told, all_once, done_at, now, until

REAL_SPOT = ("binance", "okx")
REAL_PERPETUAL = ("binance_perpetual", "okx_perpetual")
REAL = REAL_SPOT + REAL_PERPETUAL
SPOT = ("paper", *REAL_SPOT, "binance_paper_trade")
PERPETUAL = ("paper_perpetual", *REAL_PERPETUAL, "okx_perpetual_paper_trade")
TRADING = SPOT + PERPETUAL
ALL = ("memory", "memory_perpetual", *TRADING)

PAIR = "BTC-USDT"
LISTENING = Patience(pause=0.01, retry=0.01, longest_retry=0.05, leave=0.5)
"""Of feeds of markets that a test follows."""
_numbers = count(1)


class HeldFeed:
    """A market that stands where the test puts it."""

    rules: Mapping[str, TradingRule] = RULES

    def __init__(self) -> None:
        self.quotes: dict[str, Quote] = {}
        for pair, price in PRICES.items():
            self.move(pair, Decimal(price), Decimal(SIZES[pair]))

    def move(self, pair: str, price: Decimal, size: Decimal) -> None:
        self.quotes[pair] = quote_around(price, self.rules[pair], size)

    def steps(self, after: datetime | None, until: datetime) -> Sequence[Mapping[str, Quote]]:
        return [dict(self.quotes)]


class Stage:
    """A connector with an account on it. `venue` is there where the connector has a venue outside of it."""

    def __init__(self, name: str, told: Told, *, account: str = "alice") -> None:
        self.name = name
        self.account = account
        self.told = told
        self.perpetual = "perpetual" in name
        self.market = Market.SWAP if self.perpetual else Market.SPOT
        self.starting = STARTING[self.market]
        self.credentials: Mapping[str, str] = {}
        self.exchange: Exchange
        self.venue: Venue
        self.clients: PublicClients
        self.feeds: Feeds
        self.feed = HeldFeed()

    @property
    def is_real(self) -> bool:
        """Whether orders go to a venue by ccxt."""
        return self.name in REAL

    @property
    def floor(self) -> Floor:
        """The venue behind the connector."""
        return self.venue.floor

    @property
    def desk(self) -> Desk:
        """The connector's market at the venue."""
        return self.floor.desk(self.market)

    @property
    def levers(self) -> Levers:
        """What goes wrong at the venue."""
        return self.venue.levers

    @property
    def ledger(self) -> Ledger:
        """The venue's truth."""
        return self.floor.ledger

    def keys_of(self, account: str) -> Mapping[str, str]:
        """Return an account's keys in the fields of the connector's credentials."""
        return keys_for(self.name, self.floor, account)

    def memory(self, **known: object) -> AccountMemory:
        """Return what the log knows; nothing, where nothing is said."""
        return AccountMemory(account=self.account, connector=self.name, **{"balances": None, **known})  # type: ignore[arg-type]

    def remembered(self, *open_orders: object, **known: object) -> AccountMemory:
        """Return what the log knows of an account that was told of so far."""
        balances = [Balance(token=h.token, units=h.units, available=h.available) for h in self.told.holdings().values()]
        seen = max(report.reported_at for report in self.told.reports)
        said = {"balances": balances, "open_orders": open_orders, "pairs": [PAIR], "last_seen_at": seen}
        return self.memory(**(said | known))

    def order(
        self,
        amount: str = "0.5",
        price: str | None = "20000",
        *,
        side: Side = Side.BUY,
        order_type: OrderType | None = None,
        action: PositionAction = PositionAction.OPEN,
        pair: str = PAIR,
    ) -> OrderPlaced:
        """Return an order under a new id that the log knows from now on."""
        order = OrderPlaced(
            client_order_id=f"n{next(_numbers):032x}",
            account=self.account,
            connector=self.name,
            trading_pair=pair,
            side=side,
            order_type=order_type or (OrderType.MARKET if price is None else OrderType.LIMIT),
            amount=Decimal(amount),
            price=None if price is None else Decimal(price),
            position_action=action,
            server="s",
            placed_at=now(),
        )
        self.told.expect(order)
        return order

    async def place(self, *args: str | None, **how: object) -> OrderPlaced:
        """Place an order and return it."""
        order = self.order(*args, **how)  # type: ignore[arg-type]
        await self.exchange.place(order)
        return order

    async def resting(self, *args: str, **how: object) -> OrderPlaced:
        """Place an order and return it when its acceptance is told."""
        order = await self.place(*args, **how)
        await self.told_of(order, "OrderAccepted")
        return order

    async def cancel(self, order: OrderPlaced) -> None:
        """Ask to cancel an order."""
        await self.exchange.cancel(order.account, order.client_order_id, order.trading_pair)

    async def told_of(self, order: OrderPlaced, kind: str) -> OrderFact:
        """Return the first fact of a kind that is told of an order."""
        order_id = order.client_order_id
        return await until(lambda: next((f for f in self.told.facts(order_id) if type(f).__name__ == kind), None))

    async def becomes(self, order: OrderPlaced, status: str) -> Done:
        """Return what an order came to once it is told to be so."""
        order_id = order.client_order_id
        await until(lambda: self.told.fold(order_id)[0].status == status)
        return self.told.done(order_id)

    async def reconcile(self) -> AccountReport:
        """Compare the account with its venue, and record what it says."""
        report = await self.exchange.reconcile(self.account)
        await self.told(report)
        return report

    def elsewhere(
        self,
        amount: str,
        price: str | None = None,
        *,
        side: Side = Side.BUY,
        pair: str = PAIR,
        client_id: str = "",
        action: PositionAction = PositionAction.OPEN,
    ) -> Truth:
        """Have somebody else place an order with the same keys; return it as it stands then."""
        return self.floor.place(
            self.account,
            self.market,
            client_id=client_id,
            trading_pair=pair,
            side=side,
            order_type=OrderType.MARKET if price is None else OrderType.LIMIT,
            amount=Decimal(amount),
            price=None if price is None else Decimal(price),
            action=action,
        )

    async def observes(self, truth: Truth, status: str) -> Done:
        """Return what an order of somebody else came to once it is told to be so."""
        order_id = orders.observed_id(self.account, self.name, str(truth.order_id))
        await until(lambda: self.told.fold(order_id)[0].status == status)
        return self.told.done(order_id)

    def at_venue(self, truth: Truth) -> Done:
        """Return what the venue says by now of an order of somebody else."""
        found = self.ledger.find(self.account, self.market, order_id=truth.order_id)
        assert found is not None
        return done_at(found)

    def move(self, price: str, *, size: str = "5", pair: str = PAIR) -> None:
        """Move the market to a price."""
        if isinstance(self.exchange, MemoryExchange):
            for order_id, order in list(self.exchange._open.items()):
                self.exchange.fill(order_id, order.amount, Decimal(price))
        elif isinstance(self.exchange, (CcxtExchange, PaperTradeExchange)):
            self.floor.move(pair, Decimal(price), size=Decimal(size))
        else:
            assert isinstance(self.exchange, PaperExchange)
            self.feed.move(pair, Decimal(price), Decimal(size))
            self.exchange.tick()

    def fill(self, order: OrderPlaced, amount: str) -> None:
        """Let somebody at the venue trade with a resting order."""
        self.desk.fill(self.account, self.truth(order).order_id, Decimal(amount))

    def venue_id(self, order: OrderPlaced) -> str:
        """Return the client id of an order as the venue has it."""
        return dialect(self.name).venue_id(order.client_order_id)

    def open_order(self, order: OrderPlaced) -> OpenOrder:
        """Return an order as the log has it by now."""
        known, _ = self.told.fold(order.client_order_id)
        assert known.exchange_order_id is not None
        return OpenOrder(
            order=order,
            exchange_order_id=known.exchange_order_id,
            filled=known.filled,
            trade_ids=frozenset(known.trade_ids),
        )

    async def leave(self) -> None:
        """Disconnect the account, as a server does that is stopped."""
        await self.exchange.disconnect(self.account)

    async def come_back(self, *open_orders: OrderPlaced, **known: object) -> None:
        """Connect the account with what the log knows of it by now."""
        memory = self.remembered(*(self.open_order(order) for order in open_orders), **known)
        await self.exchange.connect(memory, self.credentials)

    def truth(self, order: OrderPlaced) -> Truth:
        """Return an order as the venue has it."""
        found = self.ledger.find(self.account, self.market, client_id=self.venue_id(order))
        assert found is not None
        return found

    def came(self, order: OrderPlaced) -> int:
        """Return how often an order came to the venue."""
        return self.ledger.received[self.venue_id(order)]

    async def agrees(self, *placed: OrderPlaced) -> None:
        """Wait until all that is told of orders is what the venue did; none of them came to the venue twice."""
        for order in placed:
            await until(partial(self._agrees, order))
            assert self.came(order) == 1
            assert all_once(self.told.facts(order.client_order_id))

    def _agrees(self, order: OrderPlaced) -> bool:
        return self.told.done(order.client_order_id) == done_at(self.truth(order))

    async def listening(self) -> None:
        """Wait until the account's stream is followed at the venue."""
        await until(lambda: self.desk.followed(self.account))


def keys_for(name: str, floor: Floor, account: str) -> Mapping[str, str]:
    """Return an account's keys in the fields of a connector's credentials."""
    keys = floor.keys_of(account)
    shown = {"apiKey": keys.api_key, "secret": keys.secret, "password": keys.passphrase}
    return {
        field: shown[attribute] for field, attribute in names.connector(name).credentials.items() if attribute in shown
    }


@asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[Stage]:
    """Let a stage's exchange work."""
    run = getattr(stage.exchange, "run", None)
    task = asyncio.create_task(run()) if run is not None and not stage.name.startswith("paper") else None
    try:
        yield stage
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), task.exception()


@asynccontextmanager
async def staged(name: str, *, floor: Floor | None = None, told: Told | None = None) -> AsyncIterator[Stage]:
    """Give a connector that runs, with nobody connected."""
    stage = Stage(name, told or Told())
    if floor is None:
        floor = Floor(seed=1)
        floor.open_account("alice")
        floor.open_account("bob")
    async with AsyncExitStack() as stack:
        if name in REAL or name.endswith(names.PAPER_TRADE):
            stage.venue = await stack.enter_async_context(running_venue(floor))
        if name.endswith(names.PAPER_TRADE):
            stage.clients = await stack.enter_async_context(public_clients(stage.venue.urls))
            sources = sources_of(stage.clients, LISTENING)
            stage.feeds = await stack.enter_async_context(running_feeds(sources, patience=LISTENING))
        stage.exchange = made(stage)
        yield await stack.enter_async_context(running(stage))


def made(stage: Stage) -> Exchange:
    """Return a new exchange for a stage: another process on the same venue, as it were."""
    name, told = stage.name, stage.told
    fees, starting = FEES[stage.market], stage.starting
    if name.startswith("memory"):
        return MemoryExchange(name=name, perpetual=stage.perpetual, clock=now, sink=told, starting=starting)
    if name in REAL:
        stage.credentials = keys_for(name, stage.floor, stage.account)
        return CcxtExchange(names.connector(name), sink=told, clock=now, urls=stage.venue.urls[name])
    if name.endswith(names.PAPER_TRADE):
        plain = name.removesuffix(names.PAPER_TRADE)
        return paper_trade(
            name,
            feeds=stage.feeds,
            side=stage.clients.of(names.connector(plain)),
            balances={name: starting},
            fees=fees,
            tick_seconds=0.01,
            sink=told,
            clock=now,
        )
    return PaperExchange(
        name=name,
        perpetual=stage.perpetual,
        feed=stage.feed,
        clock=now,
        sink=told,
        fees=fees,
        starting=starting,
        tick_seconds=1.0,
    )


def client_of(stage: Stage) -> VenueClient:
    """Return the client of the stage's account."""
    assert isinstance(stage.exchange, CcxtExchange)
    return stage.exchange._accounts[stage.account].client
