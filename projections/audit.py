"""In which blocks of the log are events of a type, of an actor, of a story. They themselves are read from the log.

A block is as many positions as are read at once anyway; an index of every event would say no more, and cost a rebuild
half of what the rows of orders do. A block is entered when the log has passed it, so that each is entered once. What is
behind the last one is looked through.
"""

# ruff: noqa: S608 - queries are put together from constants of this file

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec

from domain.bots import UpdatesDropped
from domain.events import Recorded
from projections.moments import last_before, last_by
from projections.view import Changes, Connection, View

_TABLES = """
    create table audit_words (
        kind  text   not null,
        word  text   not null,
        block bigint not null
    );
    create table audit_stories (
        correlation_id uuid   not null,
        block          bigint not null
    );
    create table audit_end (
        line  integer primary key,
        block bigint  not null
    );
"""

_INDEXES = """
    alter table audit_words add primary key (kind, word, block);
    create index on audit_words (block);
    alter table audit_stories add primary key (correlation_id, block);
    create index on audit_stories using brin (block);
"""

_BLOCK_BITS = 8
_BLOCK: LiteralString = "256"
"""Positions in a block: some 20 pages of the log."""
_FEW, _MANY = 2, 512
"""So many blocks are looked through at first, and at most at once; in between, four times as many as before."""

_RANGE: LiteralString = "from log.events where shard = 0 and position >= %s and position < %s"


async def copy(changes: Changes, after: int, through: int) -> None:
    """Enter the blocks that end in a range of the log, straight from its table."""
    end = through + 1 >> _BLOCK_BITS
    if after + 1 >> _BLOCK_BITS == end:
        return
    # Not behind `after`: the block in which it lies may end at a position that is left out.
    await changes.send()  # an earlier range of the same transaction may have entered some
    entered = await changes.rows("select block from audit_end", [])
    positions = [entered[0][0] << _BLOCK_BITS if entered else 0, end << _BLOCK_BITS]
    await changes.write(
        "audit_words",
        "insert into audit_words (kind, word, block) select distinct kind, word, block"
        f" from (select distinct type, actor, position / {_BLOCK} as block {_RANGE}) e,"
        " lateral (values ('type', type), ('actor', actor)) w (kind, word)",
        positions,
    )
    await changes.write(
        "audit_stories",
        "insert into audit_stories (correlation_id, block)"
        f" select distinct correlation_id, position / {_BLOCK} {_RANGE}",
        positions,
    )
    await changes.write(
        "audit_end",
        "insert into audit_end (line, block) values (1, %s) on conflict (line) do update set block = excluded.block",
        [end],
    )


async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
    """Let go of what was dropped of the log."""
    for recorded in events:
        if isinstance(recorded.event, UpdatesDropped):
            first, last = recorded.event.first >> _BLOCK_BITS, recorded.event.last >> _BLOCK_BITS
            blocks = [first, last, first << _BLOCK_BITS, (last + 1 << _BLOCK_BITS) - 1]
            await changes.write(
                "audit_words",
                f"delete from audit_words a where block between %s and %s and not exists ({_LEFT}"
                " cross join lateral (values ('type', e.type), ('actor', e.actor)) w (kind, word)"
                f" {_LEFT_IN_BLOCK} and w.kind = a.kind and w.word = a.word)",
                blocks,
            )
            await changes.write(
                "audit_stories",
                f"delete from audit_stories a where block between %s and %s and not exists ({_LEFT} {_LEFT_IN_BLOCK}"
                " and e.correlation_id = a.correlation_id)",
                blocks,
            )


_LEFT: LiteralString = "select from log.events e"
_LEFT_IN_BLOCK: LiteralString = (
    f"where e.shard = 0 and e.position between %s and %s and e.position / {_BLOCK} = a.block"
)


VIEW = View(name="audit", tables=_TABLES, indexes=_INDEXES, handles=(UpdatesDropped,), apply=apply, copy=copy)


class Entry(msgspec.Struct, frozen=True):
    """An event with its envelope, as the log holds it; `data` is the event's JSON."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: datetime
    actor: str
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    data: msgspec.Raw


_ENTRY = (
    "e.position, e.stream, e.version, e.type, e.recorded_at, e.actor, e.command_id, e.correlation_id,"
    " e.causation_id, e.data"
)


async def search(
    connection: Connection,
    *,
    limit: int,
    before: int | None = None,
    above: int | None = None,
    upto: int | None = None,
    stream: str | None = None,
    type_: str | None = None,
    actor: str | None = None,
    correlation_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Entry]:
    """Return up to `limit` events that match, newest first, with a position below `before`.

    Positions are above `above` and at most `upto`; times, both inclusive, are turned into positions first, because in
    the log time follows position.
    """
    first, last = await _bounds(connection, since, until)
    return await _found(
        connection,
        stream=stream,
        words={"type": type_, "actor": actor, "correlation_id": correlation_id},
        above=max(first, above or 0),
        upto=min(last, _END if upto is None else upto, _END if before is None else before - 1),
        limit=limit,
        newest_first=True,
    )


async def onward(
    connection: Connection,
    *,
    limit: int,
    above: int,
    upto: int,
    stream: str | None = None,
    type_: str | None = None,
    actor: str | None = None,
    correlation_id: UUID | None = None,
) -> list[Entry]:
    """Return up to `limit` events that match, oldest first, with a position above `above` and at most `upto`."""
    return await _found(
        connection,
        stream=stream,
        words={"type": type_, "actor": actor, "correlation_id": correlation_id},
        above=above,
        upto=upto,
        limit=limit,
        newest_first=False,
    )


async def chain(
    connection: Connection, correlation_id: UUID, *, limit: int, after: int = 0, upto: int | None = None
) -> list[Entry]:
    """Return up to `limit` events of a story behind position `after`, and up to another, oldest first."""
    upto = _END if upto is None else upto
    return await onward(connection, limit=limit, above=after, upto=upto, correlation_id=correlation_id)


_END = 2**63 - 1
_WANTED: dict[str, LiteralString] = {
    "type": "e.type = %(type)s",
    "actor": "e.actor = %(actor)s",
    "correlation_id": "e.correlation_id = %(correlation_id)s",
}
_BLOCKS: dict[str, LiteralString] = {
    "type": "select block from audit_words where kind = 'type' and word = %(type)s",
    "actor": "select block from audit_words where kind = 'actor' and word = %(actor)s",
    "correlation_id": "select block from audit_stories where correlation_id = %(correlation_id)s",
}


async def _bounds(connection: Connection, since: datetime | None, until: datetime | None) -> tuple[int, int]:
    # The positions that a time begins behind, and ends with.
    first: LiteralString = "0" if since is None else last_before("%(since)s")
    last: LiteralString = str(_END) if until is None else last_by("%(until)s")
    if since is None and until is None:
        return 0, _END
    found = await connection.execute(f"select {first}, {last}", {"since": since, "until": until})
    row = await found.fetchone()
    return (0, _END) if row is None else (row[0], row[1])


async def _found(
    connection: Connection,
    *,
    stream: str | None,
    words: Mapping[str, object],
    above: int,
    upto: int,
    limit: int,
    newest_first: bool,
) -> list[Entry]:
    """Return the first events that match, in the order of positions or against it."""
    words = {name: word for name, word in words.items() if word is not None}
    values = {**words, "stream": stream, "above": above, "upto": upto}
    wanted = " and ".join(["e.position > %(above)s and e.position <= %(upto)s", *(_WANTED[name] for name in words)])
    direction: LiteralString = " desc" if newest_first else ""
    if stream is not None:
        # In a stream, versions are in the order of positions, and they are what its index holds.
        source, order = f"log.events e where e.stream = %(stream)s and {wanted}", "e.version"
    elif not words:
        source, order = f"log.events e where e.shard = 0 and {wanted}", "e.position"
    else:
        source, order = f"{_IN_BLOCKS} and {wanted} offset 0) e on true", "e.position"
    query = f"select {_ENTRY} from {source} order by {order}{direction} limit %(left)s"
    found: list[Entry] = []
    async for blocks in (
        _at_once()
        if stream is not None or not words
        else _blocks(connection, words, above, upto, newest_first=newest_first)
    ):
        answer = await connection.execute(query, {**values, "blocks": list(blocks), "left": limit - len(found)})
        found += [_entry(row) async for row in answer]
        if len(found) >= limit:
            break
    return found


# With `offset 0` behind it: without, Postgres turns the join round and walks through the log, looking for its blocks.
_IN_BLOCKS: LiteralString = (
    "unnest(%(blocks)s::bigint[]) b (block) join lateral (select * from log.events e where e.shard = 0"
    f" and e.position >= b.block * {_BLOCK} and e.position < (b.block + 1) * {_BLOCK}"
)


async def _at_once() -> AsyncIterator[Sequence[int]]:
    yield ()


async def _blocks(
    connection: Connection, words: Mapping[str, object], above: int, upto: int, *, newest_first: bool
) -> AsyncIterator[Sequence[int]]:
    """Yield all blocks that may have events of all these words, in order, and more of them each time."""
    found = await connection.execute(
        "select coalesce((select block from audit_end), 0), coalesce(max(position), 0) from log.events where shard = 0"
    )
    end, last = await found.fetchone() or (0, 0)
    low, high = above + 1 >> _BLOCK_BITS, min(upto, last) >> _BLOCK_BITS
    behind = range(max(low, end), high + 1)
    if newest_first:
        for start in range(len(behind), 0, -_MANY):
            yield behind[max(start - _MANY, 0) : start]
    first, *others = (_BLOCKS[word] for word in words)
    both = " ".join(f"and block in ({other})" for other in others)
    count, direction = _FEW, " desc" if newest_first else ""
    high = min(high, end - 1)
    while low <= high:
        found = await connection.execute(
            f"{first} and block between %(low)s and %(high)s {both} order by block{direction} limit %(count)s",
            {**words, "low": low, "high": high, "count": count},
        )
        blocks = [block async for (block,) in found]
        if blocks:
            yield blocks
        if len(blocks) < count:
            break
        low, high = (low, blocks[-1] - 1) if newest_first else (blocks[-1] + 1, high)
        count = min(4 * count, _MANY)
    if not newest_first:
        for start in range(0, len(behind), _MANY):
            yield behind[start : start + _MANY]


async def stream(
    connection: Connection,
    name: str,
    *,
    limit: int,
    after: int = 0,
    upto: int | None = None,
    at: datetime | None = None,
) -> list[Entry]:
    """Return up to `limit` events of a stream behind version `after`, oldest first, as it was at a position or time."""
    found = await connection.execute(
        f"select {_ENTRY} from log.events e where e.stream = %(name)s and e.version > %(after)s"
        " and (%(upto)s::bigint is null or e.position <= %(upto)s)"
        " and (%(at)s::timestamptz is null or e.recorded_at <= %(at)s) order by e.version limit %(limit)s",
        {"name": name, "after": after, "upto": upto, "at": at, "limit": limit},
    )
    return [_entry(row) async for row in found]


async def total(connection: Connection, *, upto: int | None = None) -> int:
    """Return how many events there are, or were behind a position."""
    found = await connection.execute("select coalesce(max(position), 0) from log.events where shard = 0")
    row = await found.fetchone()
    end = 0 if row is None else int(row[0])
    return end if upto is None else min(end, upto)


async def length(connection: Connection, name: str, *, upto: int | None = None, at: datetime | None = None) -> int:
    """Return the version of a stream, as it was at a position or time; 0 for one that did not exist."""
    found = await connection.execute(
        "select version from log.events where stream = %(name)s and (%(upto)s::bigint is null or position <= %(upto)s)"
        " and (%(at)s::timestamptz is null or recorded_at <= %(at)s) order by version desc limit 1",
        {"name": name, "upto": upto, "at": at},
    )
    row = await found.fetchone()
    return 0 if row is None else int(row[0])


def _entry(row: Sequence[Any]) -> Entry:
    *envelope, data = row
    return Entry(*(*envelope, msgspec.Raw(data)))
