"""`<connector>_paper_trade`: the paper venue's engine on the real market of a connector, without keys.

Books and trades are the venue's, orders and money are not: nothing is ever sent there but questions that anybody may
ask. As with `paper`, the log is the only memory.
"""

import asyncio
from collections.abc import Mapping
from decimal import Decimal

from adapters.exchanges import names
from adapters.exchanges.market_feed import USUAL, Feeds, MarketFeed, Patience
from adapters.exchanges.paper import PaperExchange
from adapters.market_data.public_clients import PublicSide
from commands.ports import AccountMemory, Clock, Sink
from domain.connectors import TradingRule
from domain.matching.fees import Fees
from domain.orders import OrderPlaced


class PaperTradeExchange(PaperExchange):
    """One paper trade connector. A pair's market is followed while it has an order or a position, or was asked for."""

    def __init__(
        self,
        *,
        name: str,
        perpetual: bool,
        feed: MarketFeed,
        clock: Clock,
        sink: Sink,
        fees: Fees,
        starting: Mapping[str, Decimal],
        tick_seconds: float,
    ) -> None:
        """Begin with no pair and no account."""
        super().__init__(
            name=name,
            perpetual=perpetual,
            feed=feed,
            clock=clock,
            sink=sink,
            fees=fees,
            starting=starting,
            tick_seconds=tick_seconds,
        )
        self._market = feed
        self._rules: Mapping[str, TradingRule] = {}
        self._entering: dict[str, asyncio.Event] = {}  # orders that wait for their pair's book, by client order id

    async def run(self) -> None:
        """Follow the market until canceled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._market.run(self.tick))
            while True:
                await asyncio.sleep(self._tick_seconds)
                self.tick()
                await self._market.keep(self._engine.busy)

    async def trading_rules(self) -> Mapping[str, TradingRule]:
        """Return the venue's rule of every pair, asking the venue the first time. Raises `Unavailable`."""
        await self._market.load()
        return self._listed()

    async def connect(self, memory: AccountMemory, credentials: Mapping[str, object]) -> None:
        """Let an account trade, as `PaperExchange.connect`; the venue need not be there.

        Funding that fell due meanwhile is paid at today's marks, so positions wait for their books, if not for ever.
        """
        await self.verify(credentials)
        held = {position.trading_pair for position in memory.positions if position.amount}
        for trading_pair in held | {order.order.trading_pair for order in memory.open_orders}:
            self._market.follow(trading_pair)
        await asyncio.gather(*(self._market.ready(trading_pair) for trading_pair in held))
        self.tick()
        await super().connect(memory, credentials)

    async def place(self, order: OrderPlaced) -> None:
        """Place an order when its pair's book is there; where none comes in time, the order is rejected."""
        while (entering := self._entering.get(order.client_order_id)) is not None:
            await entering.wait()
        entering = self._entering[order.client_order_id] = asyncio.Event()
        try:
            await self._market.ready(order.trading_pair)
            self._listed()
            self.tick()
            await super().place(order)
        finally:
            del self._entering[order.client_order_id]
            entering.set()

    async def cancel(self, account: str, client_order_id: str, trading_pair: str) -> None:
        """Cancel an order, when it has entered."""
        while (entering := self._entering.get(client_order_id)) is not None:
            await entering.wait()
        await super().cancel(account, client_order_id, trading_pair)

    async def set_leverage(self, account: str, trading_pair: str, leverage: int) -> None:
        """Set the leverage, as `PaperExchange.set_leverage`."""
        await self.trading_rules()
        await super().set_leverage(account, trading_pair, leverage)

    def _listed(self) -> Mapping[str, TradingRule]:
        """Return the rules as far as they are loaded, their pairs listed."""
        rules = self._market.rules
        if rules is not self._rules:
            self._rules = rules
            self._engine.list_pairs(rules)
        return rules


def paper_trade(
    name: str,
    *,
    feeds: Feeds,
    side: PublicSide,
    balances: Mapping[str, Mapping[str, Decimal]],
    fees: Fees,
    tick_seconds: float,
    sink: Sink,
    clock: Clock,
    patience: Patience = USUAL,
) -> PaperTradeExchange:
    """Return a paper trade connector by its name; nothing is asked of the venue yet.

    `side` is that of the connector whose market it is, `balances` are PAPER_BALANCES. Raises `NotFound`.
    """
    connector = names.connector(name)
    market = names.connector(connector.paper_trade_of)
    plain = "paper_perpetual" if connector.perpetual else "paper"

    async def load_rules() -> Mapping[str, TradingRule]:
        return (await side.markets()).rules

    return PaperTradeExchange(
        name=name,
        perpetual=connector.perpetual,
        feed=MarketFeed(market.name, feeds, load_rules, clock=clock, patience=patience),
        clock=clock,
        sink=sink,
        fees=fees,
        starting=balances.get(name) or balances[plain],
        tick_seconds=tick_seconds,
    )
