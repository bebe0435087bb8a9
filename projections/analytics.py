"""Trades of all kinds, for analysis: those of our own orders, and those of archived bots."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from domain.analytics.figures import Fill
from domain.errors import Invalid
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
    limit %(most)s
"""
MOST_TRADES = 200_000
"""Trades of one question: they are in memory while it is answered, with what became of the position after each."""


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


async def traded(connection: Connection, chosen: Chosen) -> list[Traded]:
    """Return trades, oldest first; positions of different owners, connectors and pairs keep apart.

    Raises `Invalid` when there are more than `MOST_TRADES`.
    """
    of_bots = chosen.bots is not None or chosen.controllers is not None
    found = await connection.execute(
        _FILLS,
        {
            "own": chosen.accounts is not None or not of_bots,
            "of_bots": of_bots or chosen.accounts is None,
            "accounts": None if chosen.accounts is None else list(chosen.accounts),
            "bots": None if chosen.bots is None else list(chosen.bots),
            "controllers": None if chosen.controllers is None else list(chosen.controllers),
            "connectors": None if chosen.connectors is None else list(chosen.connectors),
            "pairs": None if chosen.trading_pairs is None else list(chosen.trading_pairs),
            "until": chosen.until,
            "most": MOST_TRADES + 1,
        },
    )
    rows = await found.fetchall()
    if len(rows) > MOST_TRADES:
        raise Invalid(f"The question is about more than {MOST_TRADES:,} trades: ask for fewer accounts, bots or pairs")
    return [_traded(row) for row in rows]


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
