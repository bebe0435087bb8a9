"""A real venue as an exchange: one public client for the market, one client and one stream for each account.

Nothing is made, imported or asked before somebody uses the connector.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import structlog

from adapters.exchanges import markets
from adapters.exchanges.account_stream import AccountStream
from adapters.exchanges.clients import Unmade, VenueClient, WrongKeys
from adapters.exchanges.guarded import UNREADABLE
from adapters.exchanges.names import Connector
from adapters.exchanges.standing import number
from adapters.exchanges.venue import Venue
from adapters.exchanges.venue_account import USD, VenueAccount
from commands.ports import AccountMemory, Clock, Sink
from domain.connectors import TradingRule
from domain.errors import DomainError, Invalid, Unavailable
from domain.orders import OrderPlaced
from domain.reports import AccountReport
from domain.values import OrderType, PositionMode

logger = structlog.get_logger()

MARKETS_SECONDS = 3600.0
PRICES_SECONDS = 30.0
BEGIN_AGAIN_SECONDS = 5.0


class CcxtExchange:
    """One real connector. `run` it for as long as accounts are connected."""

    settles_within_seconds = 10.0
    reconciles = True

    def __init__(self, connector: Connector, *, sink: Sink, clock: Clock, urls: Mapping[str, object]) -> None:
        """Begin with nothing loaded and no account. `urls` is merged over ccxt's own."""
        self.name = connector.name
        self.perpetual = connector.perpetual
        self._connector = connector
        self._urls = urls
        self._venue = Venue(connector, sink=sink, clock=clock)
        self.order_types: Sequence[OrderType] = self._venue.dialect.order_types
        self._public: VenueClient | None = None
        self._loading = asyncio.Lock()
        self._accounts: dict[str, VenueAccount] = {}
        self._streams: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._running = asyncio.Event()

    async def run(self) -> None:
        """Keep accounts, markets and prices up to date until canceled, then close every connection."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._running.set()
                tasks.create_task(self._follow_markets())
                tasks.create_task(self._follow_prices())
        finally:
            clients = [account.client for account in self._accounts.values()]
            await asyncio.gather(*(client.close() for client in [*clients, self._public] if client is not None))

    async def trading_rules(self) -> Mapping[str, TradingRule]:
        """Return the rule of every pair. Raises `Unavailable`, or `Refused` in the venue's words."""
        return (await self._markets()).rules

    async def prices(self) -> Mapping[str, Decimal]:
        """Return the last mid price of every pair that an account trades or values its tokens by."""
        return self._venue.prices

    async def verify(self, credentials: Mapping[str, object]) -> None:
        """Ask the venue for the balances of these credentials. Raises `Invalid` in its words, `Unavailable`."""
        try:
            client = await self._client(credentials)
            try:
                await client.call("fetch_balance")
            finally:
                await client.close()
        except Unmade as unusable:
            raise WrongKeys(f"The credentials do not have the form that {self.name} needs") from unusable

    async def connect(self, memory: AccountMemory, credentials: Mapping[str, object]) -> None:
        """Begin to trade for an account, and return when what happened meanwhile is recorded.

        Raises `Invalid` in the venue's words for wrong credentials, `Unavailable` when it does not answer.
        """
        await self._running.wait()
        await self.disconnect(memory.account)
        self._venue.recall(memory.unanswered)
        account = VenueAccount(memory, await self._client(credentials), self._venue)
        self._accounts[memory.account] = account
        try:
            with self._reading(memory.account):
                report = await account.begin()
                await self._take_prices(account.tokens)  # what is owned is recorded with its value
                await account.hand_in(report)
        except BaseException:
            await self.disconnect(memory.account)
            raise
        if self._tasks is None:
            raise Unavailable(f"{self.name} is not running")
        self._streams[account.name] = self._tasks.create_task(self._keep(account))
        logger.info("account_connected", account=account.name, connector=self.name)

    async def disconnect(self, account: str) -> None:
        """Forget an account; its open orders at the venue stay what they are."""
        stream = self._streams.pop(account, None)
        if stream is not None:
            stream.cancel()
            await asyncio.wait([stream])
        left = self._accounts.pop(account, None)
        if left is not None:
            await left.client.close()

    async def place(self, order: OrderPlaced) -> None:
        """Send an order, once. Raises `Invalid` when nothing was sent, `Unavailable` when nobody knows."""
        with self._reading(order.account):
            await self._account(order.account).place(order)

    async def cancel(self, account: str, client_order_id: str, trading_pair: str) -> None:
        """Ask the venue to cancel. Raises `Unavailable` when it is not known whether it heard."""
        with self._reading(account):
            await self._account(account).cancel(client_order_id, trading_pair)

    async def ask(self, order: OrderPlaced) -> bool:
        """Tell all that the venue knows of an order; False if it positively does not know it."""
        with self._reading(order.account):
            return await self._account(order.account).ask(order)

    async def report(self, account: str) -> AccountReport:
        """Return balances and positions as the venue has them now."""
        with self._reading(account):
            return await self._account(account).report()

    async def reconcile(self, account: str) -> AccountReport:
        """Return all that the venue knows and the log may not."""
        with self._reading(account):
            return await self._account(account).look("schedule")

    async def set_leverage(self, account: str, trading_pair: str, leverage: int) -> None:
        """Set the leverage. Raises `Invalid` in the venue's words, `Unavailable`."""
        self._check_perpetual()
        await self._account(account).set_leverage(trading_pair, leverage)

    async def set_mode(self, account: str, mode: PositionMode) -> None:
        """Set the position mode. Raises as `set_leverage`."""
        self._check_perpetual()
        await self._account(account).set_mode(mode)

    @contextmanager
    def _reading(self, account: str) -> Iterator[None]:
        """Take an answer that nobody can read for none: one account's must not stop what is done for others.

        Raises `Unavailable`.
        """
        try:
            yield
        except UNREADABLE as odd:
            logger.exception("answer_not_understood", account=account, connector=self.name)
            raise Unavailable(f"{self.name} gave an answer that cannot be read: {type(odd).__name__}") from odd

    def _check_perpetual(self) -> None:
        if not self.perpetual:
            raise Invalid(f"Connector '{self.name}' is not a perpetual connector")

    def _account(self, name: str) -> VenueAccount:
        account = self._accounts.get(name)
        if account is None:
            raise Unavailable(f"Account '{name}' is not connected to {self.name}")
        return account

    async def _client(self, credentials: Mapping[str, object]) -> VenueClient:
        await self._markets()
        client = VenueClient(self._connector, credentials=credentials, urls=self._urls)
        if self._public is not None:
            client.share(self._public)
        try:
            for method in self._connector.prepare:
                await client.call(method)
        except BaseException:
            await client.close()
            raise
        return client

    async def _markets(self) -> markets.Markets:
        async with self._loading:
            if self._public is None:
                client = VenueClient(self._connector, credentials=None, urls=self._urls)
                try:
                    self._venue.markets = await markets.load(client, self._connector)
                except BaseException:
                    await client.close()
                    raise
                self._public = client
        return self._venue.markets

    async def _keep(self, account: VenueAccount) -> None:
        """Run an account's stream, and again when it fails."""
        while True:
            try:
                await AccountStream(account).run()
            except Exception:
                # One account's fault must not end the others': it begins again, asking for all that it may have missed.
                logger.exception("account_stream_failed", account=account.name, connector=self.name)
                await asyncio.sleep(BEGIN_AGAIN_SECONDS)

    async def _follow_markets(self) -> None:
        """Load the markets anew now and then: pairs are listed and delisted, and their rules change."""
        while True:
            await asyncio.sleep(MARKETS_SECONDS)
            if self._public is None:
                continue
            try:
                self._venue.markets = await markets.load(self._public, self._connector)
            except (DomainError, *UNREADABLE) as reason:
                logger.warning("markets_not_loaded", connector=self.name, why=str(reason))
            for account in self._accounts.values():
                account.client.share(self._public)

    async def _follow_prices(self) -> None:
        while True:
            await asyncio.sleep(PRICES_SECONDS)
            if self._accounts:  # else nobody has anything to value
                await self._take_prices({token for account in self._accounts.values() for token in account.tokens})

    async def _take_prices(self, tokens: Iterable[str]) -> None:
        """Ask for the prices that these tokens are valued by, and those of the pairs that accounts trade."""
        try:
            rules = (await self._markets()).rules
            pairs = {f"{token}-{dollar}" for token in tokens for dollar in USD}
            pairs |= {pair for account in self._accounts.values() for pair in account.pairs}
            wanted = {self._venue.markets.symbol(pair): pair for pair in sorted(pairs) if pair in rules}
            tickers = await self._tickers(list(wanted)) if wanted else {}
            found = {wanted[symbol]: _mid(ticker) for symbol, ticker in tickers.items() if symbol in wanted}
        except (DomainError, *UNREADABLE) as reason:
            # Without a price balances have no value, and are balances all the same.
            logger.warning("prices_not_asked", connector=self.name, why=str(reason))
            return
        self._venue.prices = {**self._venue.prices, **{pair: price for pair, price in found.items() if price}}

    async def _tickers(self, symbols: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        if self._public is None:
            return {}
        if not self._public.has("fetchTickers"):
            return {symbol: await self._public.call("fetch_ticker", symbol) for symbol in symbols}
        found: Mapping[str, Mapping[str, Any]] = await self._public.call("fetch_tickers", symbols)
        return found


def _mid(ticker: Mapping[str, Any]) -> Decimal:
    """Return the price between bid and ask, the last one where there are none, 0 where there is no price."""
    bid, ask, last = (number(ticker.get(key)) for key in ("bid", "ask", "last"))
    return (bid + ask) / 2 if bid and ask else last
