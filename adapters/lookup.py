"""What handlers and processes look up, asked of the views."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

from commands.ports import RECENTLY, AccountMemory, OpenOrder
from domain.accounts import Account
from domain.orders import OrderObserved, OrderPlaced
from domain.positions import PositionObserved
from domain.values import PositionSide
from projections import accounts, bots, orders, portfolio, positions, strategies
from projections.bots import standing
from projections.pool import Pool
from projections.view import Connection

_ACCOUNTS = (accounts.VIEW.name,)
_ORDERS = (orders.VIEW.name,)
_MEMORY = (orders.VIEW.name, positions.VIEW.name, portfolio.VIEW.name)
_STRATEGIES = (strategies.VIEW.name,)
_BOTS = (bots.VIEW.name,)
# A question waits for the views that it is asked of and for no other: one that has stopped stops nothing else.

_EVER = datetime.max.replace(tzinfo=UTC)
_POSITIONS = 1000
"""More than any venue lets one account hold."""


class Views:
    """The port `Lookup` over the views of this database. `pool` gives connections that see the schema `read`."""

    def __init__(self, pool: Pool, caught_up: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """Take what returns when the views of these names have seen all that is in the log now.

        It may raise `Unavailable`.
        """
        self._pool = pool
        self._caught_up = caught_up

    @asynccontextmanager
    async def _connection(self, views: Sequence[str]) -> AsyncIterator[Connection]:
        await self._caught_up(views)
        async with self._pool.connection() as connection:
            yield connection

    async def accounts(self) -> Mapping[str, Account]:
        """Return every account that exists."""
        async with self._connection(_ACCOUNTS) as connection:
            found = await accounts.connectors(connection)
        return {name: Account(exists=True, connectors=tuple(connectors)) for name, connectors in found.items()}

    async def memory(self, account: str, connector: str) -> AccountMemory:
        """Return what the log knows of an account on a connector, all of it at one position."""
        async with self._connection(_MEMORY) as connection, connection.transaction():
            await connection.execute("set transaction isolation level repeatable read, read only")
            return await _memory(connection, account, connector)

    async def unanswered(self, *, placed_before: datetime) -> Sequence[OrderPlaced]:
        """Return the orders that are placed or unknown since before that time, oldest first."""
        async with self._connection(_ORDERS) as connection:
            return await orders.unanswered(connection, placed_before=placed_before)

    async def cancels_unanswered(self, *, requested_before: datetime) -> Sequence[OrderPlaced]:
        """Return the open orders whose cancel was requested before that time and not answered, oldest first."""
        async with self._connection(_ORDERS) as connection:
            return await orders.cancels_unanswered(connection, requested_before=requested_before)

    async def sources(self) -> Mapping[str, str]:
        """Return path below `bots/` → source of every script and controller."""
        async with self._connection(_STRATEGIES) as connection:
            return await strategies.sources(connection)

    async def instances(self) -> Sequence[str]:
        """Return the instances that were deployed and are not cleared away, oldest first."""
        async with self._connection(_BOTS) as connection:
            return await standing.instances(connection)

    async def strategy_ended(self, instance: str, *, since: datetime) -> bool:
        """Whether every controller of a bot has said since then that its strategy ended; False if none ever spoke."""
        async with self._connection(_BOTS) as connection:
            return await standing.strategy_ended(connection, instance, since=since)


async def _memory(connection: Connection, account: str, connector: str) -> AccountMemory:
    balances = await portfolio.balances(connection, account=account, connector=connector)
    held, _, _ = await positions.held(connection, limit=_POSITIONS, account=[account], connector=[connector])
    seen = [
        await orders.last_seen(connection, account=account, connector=connector),
        None if balances is None else balances[1],
        *(position.observed_at for position in held),
    ]
    last_seen_at = max((at for at in seen if at is not None), default=None)
    ended: Sequence[tuple[OrderPlaced | OrderObserved, str, Decimal, list[str]]] = ()
    if last_seen_at is not None:
        since = last_seen_at - RECENTLY
        ended = await orders.ended(connection, account=account, connector=connector, traded_since=since)
    return AccountMemory(
        account=account,
        connector=connector,
        balances=None if balances is None else balances[0],
        open_orders=_remembered(await orders.accepted(connection, account=account, connector=connector)),
        ended_orders=_remembered(ended),
        unanswered=[
            order
            for order in await orders.unanswered(connection, placed_before=_EVER)
            if (order.account, order.connector) == (account, connector)
        ],
        pairs=sorted(
            {
                *await orders.pairs(connection, account=account, connector=connector),
                *await positions.pairs(connection, account=account, connector=connector),
            }
        ),
        positions=[
            PositionObserved(
                account=position.account,
                connector=position.connector,
                trading_pair=position.trading_pair,
                side=PositionSide(position.side),
                amount=position.amount,
                entry_price=position.entry_price,
                mark_price=position.mark_price,
                unrealized_pnl=position.unrealized_pnl,
                leverage=position.leverage,
                observed_at=position.observed_at,
            )
            for position in held
        ],
        leverage=await positions.leverages(connection, account=account, connector=connector),
        mode=await positions.mode(connection, account=account, connector=connector),
        last_seen_at=last_seen_at,
    )


def _remembered(found: Sequence[tuple[OrderPlaced | OrderObserved, str, Decimal, list[str]]]) -> list[OpenOrder]:
    return [
        OpenOrder(order=order, exchange_order_id=number, filled=filled, trade_ids=frozenset(trade_ids))
        for order, number, filled, trade_ids in found
    ]
