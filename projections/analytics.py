"""Trades of all kinds, for analysis: those of our own orders, and those of archived bots."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import msgspec

from domain.analytics.figures import Fill
from domain.values import Side, split_pair
from projections.view import Connection

VIEWS = ("orders", "archives")
"""The views that are asked here."""

_FILLS = """
    select 'account' as kind, account as owner, connector, trading_pair, null as controller, order_id, trade_id, side,
           amount, price, fee, fee_currency, null as fees, filled_at, position as number
    from trades
    where %(own)s and filled_at <= %(until)s
      and (%(accounts)s::text[] is null or account = any(%(accounts)s))
      and (%(connectors)s::text[] is null or connector = any(%(connectors)s))
      and (%(pairs)s::text[] is null or trading_pair = any(%(pairs)s))
    union all
    select 'bot', f.bot, f.connector, f.trading_pair, c.controller, f.order_id, f.trade_id, f.side,
           f.amount, f.price, f.fee, null, f.fees, f.filled_at, f.number
    from archive_fills f left join archive_controllers c on c.path = f.path and c.order_id = f.order_id
    where %(of_bots)s and f.filled_at <= %(until)s
      and (%(bots)s::text[] is null or f.bot = any(%(bots)s))
      and (%(controllers)s::text[] is null or c.controller = any(%(controllers)s))
      and (%(connectors)s::text[] is null or f.connector = any(%(connectors)s))
      and (%(pairs)s::text[] is null or f.trading_pair = any(%(pairs)s))
    order by filled_at, kind, owner, number
"""
AT_ONCE = 1_000
"""Trades that are in memory together."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which trades; None is any. `accounts` asks for our own, `bots` and `controllers` for those of archived bots.

    Where none of the three is given, both kinds are meant.
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


async def traded(connection: Connection, chosen: Chosen) -> AsyncGenerator[Iterator[Traded], None]:
    """Yield trades, oldest first, some at a time, as the views had them when the first were asked for.

    Each is made when it is taken, wherever that is. Positions of different owners, connectors and pairs keep apart.
    """
    of_bots = chosen.bots is not None or chosen.controllers is not None
    parameters = {
        "own": chosen.accounts is not None or not of_bots,
        "of_bots": of_bots or chosen.accounts is None,
        "accounts": None if chosen.accounts is None else list(chosen.accounts),
        "bots": None if chosen.bots is None else list(chosen.bots),
        "controllers": None if chosen.controllers is None else list(chosen.controllers),
        "connectors": None if chosen.connectors is None else list(chosen.connectors),
        "pairs": None if chosen.trading_pairs is None else list(chosen.trading_pairs),
        "until": chosen.until,
    }
    stream = connection.cursor().stream(_FILLS, parameters, size=AT_ONCE)
    # Closed in the middle, it has Postgres give up the rest.
    async with aclosing(cast("AsyncGenerator[tuple[Any, ...], None]", stream)) as rows:
        some: list[tuple[Any, ...]] = []
        async for row in rows:
            some.append(row)
            if len(some) == AT_ONCE:
                yield map(_traded, some)
                some = []
        if some:
            yield map(_traded, some)


def _traded(row: tuple[Any, ...]) -> Traded:
    kind, owner, connector, pair, controller, order_id, trade_id, side, amount, price, fee, token, fees, at, _ = row
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
