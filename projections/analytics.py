"""Trades of all kinds, for analysis: those of our own orders, and those of archived bots."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, LiteralString

import msgspec

from domain.analytics.figures import Fill
from domain.errors import Unavailable
from domain.values import Side, split_pair
from projections.view import Connection

VIEWS = ("orders", "archives")
"""The views that are asked here."""

_OWN = """
    select 'account', account, connector, trading_pair, null, order_id, trade_id, side, amount, price, fee,
           fee_currency, null, filled_at, '', position
    from trades
    where (filled_at, position) > (%(after_at)s, %(after_number)s) and filled_at < %(until)s
      and position <= %(position)s
      and (%(accounts)s::text[] is null or account = any(%(accounts)s))
      and (%(connectors)s::text[] is null or connector = any(%(connectors)s))
      and (%(pairs)s::text[] is null or trading_pair = any(%(pairs)s))
    order by filled_at, position limit %(limit)s
"""
_OF_BOTS = """
    select 'bot', f.bot, f.connector, f.trading_pair, c.controller, f.order_id, f.trade_id, f.side, f.amount, f.price,
           f.fee, null, f.fees, f.filled_at, f.path, f.number
    from archive_fills f left join archive_controllers c on c.path = f.path and c.order_id = f.order_id
    where (f.filled_at, f.path, f.number) > (%(after_at)s, %(after_path)s, %(after_number)s)
      and f.filled_at < %(until)s and f.path = any(%(paths)s)
      and (%(bots)s::text[] is null or f.bot = any(%(bots)s))
      and (%(controllers)s::text[] is null or c.controller = any(%(controllers)s))
      and (%(connectors)s::text[] is null or f.connector = any(%(connectors)s))
      and (%(pairs)s::text[] is null or f.trading_pair = any(%(pairs)s))
    order by f.filled_at, f.path, f.number limit %(limit)s
"""
_AT = 13  # where a row has its time; path and number stand behind it
_FIRST = datetime.min.replace(tzinfo=UTC)
AT_ONCE = 2_000
"""Trades that are in memory together, of each kind."""

_Row = tuple[Any, ...]


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which trades; None is any. `accounts` asks for our own, `bots` and `controllers` for those of archived bots.

    Where none of the three is given, both kinds are meant. A trade at `until` is none of them.
    """

    accounts: Sequence[str] | None = None
    bots: Sequence[str] | None = None
    controllers: Sequence[str] | None = None
    connectors: Sequence[str] | None = None
    trading_pairs: Sequence[str] | None = None
    until: datetime = datetime.max.replace(tzinfo=UTC)


class Traded(msgspec.Struct, frozen=True, kw_only=True):
    """A trade, and whose it was: `kind` account or bot, `owner` its name."""

    kind: str
    owner: str
    connector: str
    trading_pair: str
    controller: str | None
    order_id: str
    fill: Fill


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer is about: our own trades up to a position of the log, and the archives that were whole then.

    `tables` are the tables that they stand in, by Postgres' numbers: a view that is built anew has others.
    """

    tables: tuple[int, int]
    position: int
    archives: Mapping[str, int]  # path → where in the log it was found


async def traded(connection: Connection, chosen: Chosen) -> AsyncGenerator[Iterator[Traded], None]:
    """Yield trades, oldest first, some at a time, as the views had them when the first were asked for.

    Each is made when it is taken, wherever that is. Positions of different owners, connectors and pairs keep apart.
    Each page is a statement of its own, so that Postgres waits for nobody who takes his time between two of them.

    Raises `Unavailable` where an archive of those, or a view, was replaced meanwhile.
    """
    known = await _known(connection)
    of_bots = chosen.bots is not None or chosen.controllers is not None
    own = chosen.accounts is not None or not of_bots
    parameters: dict[str, object] = {
        "accounts": None if chosen.accounts is None else list(chosen.accounts),
        "bots": None if chosen.bots is None else list(chosen.bots),
        "controllers": None if chosen.controllers is None else list(chosen.controllers),
        "connectors": None if chosen.connectors is None else list(chosen.connectors),
        "pairs": None if chosen.trading_pairs is None else list(chosen.trading_pairs),
        "until": chosen.until,
        "position": known.position if own else 0,
        "paths": list(known.archives) if of_bots or chosen.accounts is None else [],
    }
    async with (
        aclosing(_pages(connection, _OWN, parameters)) as of_own,
        aclosing(_pages(connection, _OF_BOTS, parameters)) as of_archives,
        aclosing(_in_order(of_own, of_archives)) as rows,
    ):
        some: list[_Row] = []
        async for row in rows:
            some.append(row)
            if len(some) == AT_ONCE:
                await _refuse_others(connection, known)
                yield map(_traded, some)
                some = []
        await _refuse_others(connection, known)
        if some:
            yield map(_traded, some)


async def _known(connection: Connection) -> _Known:
    found = await connection.execute(
        "select to_regclass('trades')::oid::bigint, to_regclass('archive_fills')::oid::bigint,"
        " (select coalesce(max(position), 0) from trades),"
        " (select coalesce(array_agg(path order by path), '{}') from archives where state = 'imported'),"
        " (select coalesce(array_agg(position order by path), '{}') from archives where state = 'imported')"
    )
    ((trades, fills, position, paths, positions),) = await found.fetchall()
    return _Known(tables=(trades, fills), position=position, archives=dict(zip(paths, positions, strict=True)))


async def _refuse_others(connection: Connection, known: _Known) -> None:
    """Raise `Unavailable` where what was read may not be what is known; asked after each page is read.

    Trades are only ever added, at higher positions, and nothing comes to an archive that is whole: what is not
    replaced is as it was. What is replaced once is never there again, so a look afterwards is enough.
    """
    now = await _known(connection)
    if now.tables != known.tables:
        raise Unavailable("The trades were built anew while the answer was made: ask again", retry_after_seconds=1)
    for path, position in known.archives.items():
        if now.archives.get(path) != position:
            raise Unavailable(
                f"Database '{path}' was deleted or imported again while the answer was made: ask again",
                retry_after_seconds=1,
            )


async def _pages(
    connection: Connection, statement: LiteralString, parameters: Mapping[str, object]
) -> AsyncGenerator[_Row, None]:
    at, path, number = _FIRST, "", -1
    while True:
        after = {"after_at": at, "after_path": path, "after_number": number, "limit": AT_ONCE}
        # Not prepared: a plan for any values would not know that the next page is a small part of the table.
        found = await connection.execute(statement, {**parameters, **after}, prepare=False)
        page = await found.fetchall()
        for row in page:
            yield row
        if len(page) < AT_ONCE:
            return
        at, path, number = page[-1][_AT:]


async def _in_order(
    first: AsyncGenerator[_Row, None], second: AsyncGenerator[_Row, None]
) -> AsyncGenerator[_Row, None]:
    """Yield rows of both by time, of the same time those of the first one before."""
    one, other = await anext(first, None), await anext(second, None)
    while one is not None and other is not None:
        if one[_AT] <= other[_AT]:
            yield one
            one = await anext(first, None)
        else:
            yield other
            other = await anext(second, None)
    while one is not None:
        yield one
        one = await anext(first, None)
    while other is not None:
        yield other
        other = await anext(second, None)


def _traded(row: _Row) -> Traded:
    kind, owner, connector, pair, controller, order_id, trade_id, side, amount, price, fee, token, fees, at, *_ = row
    if kind == "account":
        paid, fee = {token: fee}, _in_quote(pair, price, fee, token)
    else:
        paid = msgspec.json.decode(fees, type=dict[str, Decimal])
    return Traded(
        kind=kind,
        owner=owner,
        connector=connector,
        trading_pair=pair,
        controller=controller,
        order_id=order_id,
        fill=Fill(
            market=(kind, owner, connector, pair),
            trade_id=trade_id,
            side=Side(side),
            amount=amount,
            price=price,
            at=at,
            fees=paid,
            fee=fee,
        ),
    )


def _in_quote(trading_pair: str, price: Decimal, fee: Decimal, token: str) -> Decimal | None:
    """Return a fee in quote, None for one in a token that the trade says no price of."""
    base, quote = split_pair(trading_pair)
    if token == quote or not fee:
        return fee
    return fee * price if token == base else None
