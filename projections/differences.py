"""What was different at two moments: the state of things by the streams that tell of them, as views had it then."""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import msgspec

from domain import bots, orders
from projections.view import Connection

State = Mapping[str, object]
"""What is known of a thing; amounts are strings, so that no digit is lost."""


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that was told something between two moments: how many events, and from where to where in the log."""

    stream: str
    events: int
    first_position: int
    last_position: int


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Things of one kind.

    Their streams begin with `prefix`. `states` gives a stream, what tells its things apart, and the state of each, for
    streams whose rest behind the prefix is in `rests`; `ended` are the states that nothing comes after.
    """

    view: str
    prefix: str
    states: LiteralString
    ended: Mapping[str, frozenset[str]] = {}


_ORDERS: LiteralString = (
    "select %(prefix)s || order_id, json_build_object('order_id', order_id, 'account', account, 'connector', connector,"
    " 'trading_pair', trading_pair, 'side', side, 'amount', amount::text),"
    " json_build_object('state', state, 'filled', filled::text, 'exchange_order_id', exchange_order_id,"
    " 'cancel_requested', cancel_requested_at is not null, 'reason', reason)"
    " from orders where order_id = any(%(rests)s) order by order_id"
)
_POSITIONS: LiteralString = (
    "select %(prefix)s || account || '-' || connector || '-' || trading_pair,"
    " json_build_object('account', account, 'connector', connector, 'trading_pair', trading_pair, 'side', side),"
    " json_build_object('amount', amount::text, 'entry_price', entry_price::text, 'mark_price', mark_price::text,"
    " 'unrealized_pnl', unrealized_pnl::text, 'leverage', leverage)"
    " from positions where account || '-' || connector || '-' || trading_pair = any(%(rests)s)"
    " order by account, connector, trading_pair, side"
)
_BALANCES: LiteralString = (
    "select %(prefix)s || account || '-' || connector,"
    " json_build_object('account', account, 'connector', connector, 'token', token),"
    " json_build_object('units', held::text, 'available', free::text)"
    " from holdings, unnest(tokens, units, available) as t (token, held, free)"
    " where account || '-' || connector = any(%(rests)s) order by account, connector, token"
)
_BOTS: LiteralString = (
    "select %(prefix)s || b.instance, json_build_object('bot', b.instance),"
    " json_build_object('run_id', b.run_id, 'deployment_status', r.deployment_status, 'run_status', r.run_status,"
    " 'runs', b.runs, 'stopping', b.stopping, 'lost', b.lost, 'cleared', b.cleared,"
    " 'error_message', r.error_message)"
    " from bots b left join bot_runs r on r.id = b.run_id where b.instance = any(%(rests)s) order by b.instance"
)
_CONFIGS: LiteralString = (
    "select %(prefix)s || 'configs-' || kind || '-' || name, json_build_object('config', kind || '/' || name),"
    " json_build_object('content', content::json)"
    " from strategy_configs where 'configs-' || kind || '-' || name = any(%(rests)s)"
    " union all"
    " select %(prefix)s || replace(substring(path from '^(?:scripts|controllers)/.*(?=[.]py$)'), '/', '-'),"
    " json_build_object('source', path), json_build_object('sha256', encode(sha256(convert_to(source, 'UTF8')), 'hex'))"
    " from strategy_sources"
    " where replace(substring(path from '^(?:scripts|controllers)/.*(?=[.]py$)'), '/', '-') = any(%(rests)s)"
)

KINDS: Mapping[str, Kind] = {
    "orders": Kind(
        view="orders",
        prefix=orders.stream_of(""),
        states=_ORDERS,
        ended={"state": frozenset(orders.Status) - orders.OPEN - {orders.Status.NEW}},
    ),
    "positions": Kind(view="positions", prefix="position-", states=_POSITIONS),
    "balances": Kind(view="portfolio", prefix="balances-", states=_BALANCES),
    "bots": Kind(
        view="bots",
        prefix=bots.stream_of(""),
        states=_BOTS,
        ended={"deployment_status": frozenset({"ARCHIVED", "FAILED"})},
    ),
    "configs": Kind(view="strategies", prefix="strategy-", states=_CONFIGS),
}
"""The kinds of things, in the order in which their differences are listed."""

_TOUCHED = (
    "select stream, count(*), min(position), max(position) from log.events"
    " where shard = 0 and position > %(after)s and position <= %(upto)s and starts_with(stream, %(prefix)s)"
    ' and (%(behind)s::text is null or stream collate "C" > %(behind)s)'
    ' group by stream order by stream collate "C" limit %(limit)s'
)


async def touched(
    connection: Connection, kind: Kind, *, after: int, upto: int, behind: str | None, limit: int
) -> list[Touched]:
    """Return up to `limit` streams of a kind that were told something between two positions, by name, behind one."""
    found = await connection.execute(
        _TOUCHED, {"after": after, "upto": upto, "prefix": kind.prefix, "behind": behind, "limit": limit}
    )
    return [
        Touched(stream=stream, events=events, first_position=first, last_position=last)
        for stream, events, first, last in await found.fetchall()
    ]


async def states(connection: Connection, kind: Kind, streams: Sequence[str]) -> dict[str, list[tuple[State, State]]]:
    """Return stream → what is known of its things: what tells each apart, and its state."""
    values: dict[str, Any] = {"prefix": kind.prefix, "rests": [stream[len(kind.prefix) :] for stream in streams]}
    known: dict[str, list[tuple[State, State]]] = {}
    for stream, thing, state in await (await connection.execute(kind.states, values)).fetchall():
        known.setdefault(stream, []).append((thing, state))
    return known
