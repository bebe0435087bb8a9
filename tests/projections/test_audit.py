"""Events are found by blocks of the log as they would be by looking at each of them."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.ports import Log
from domain import catalog
from domain.accounts import AccountAdded, AccountRemoved
from domain.bots import RETENTION, UpdatesDropped
from domain.events import Event, Origin
from domain.orders import CancelRequested
from domain.views import STREAM, EventSkipped
from projections import audit
from projections.audit import Entry, onward, search
from projections.replay import rebuild
from projections.view import Connection, connect, dump, make_tables, take
from tests.appends import write
from tests.projections.given import AT

STORIES = [UUID(int=number) for number in range(1, 5)]
ACTORS = ["admin", "<orders>", "rare"]
EVENTS = 1_200
STREAMS = 7


def events() -> list[tuple[Event, Origin]]:
    """Return a log of which most is of one type, one actor and one story, and some of it rare or in a few places."""
    chance, told = Random(7), list[tuple[Event, Origin]]()
    for number in range(EVENTS):
        kind = chance.choices(("added", "removed", "rare"), (80, 20, 1))[0]
        event: Event
        if kind == "added":
            event = AccountAdded(account=str(number))
        elif kind == "removed":
            event = AccountRemoved(account=str(number))
        else:
            event = CancelRequested(server="s", requested_at=AT)
        story = STORIES[3] if number % 500 == 499 else chance.choices(STORIES[:3], (90, 9, 1))[0]
        actor = "rare" if number in (300, 301, 900) else chance.choice(ACTORS[:2])
        told.append((event, Origin(correlation_id=story, command_id=UUID(int=number + 1), actor=actor)))
    return told


async def append(connection: Connection, told: Sequence[tuple[Event, Origin]]) -> None:
    """Write the log's table itself: as many appends would take most of these tests' time."""
    columns = "position, stream, version, type, schema_version, recorded_at, correlation_id, command_id, actor, data"
    async with connection.cursor() as cursor, cursor.copy(f"copy log.events ({columns}) from stdin") as rows:
        for number, (event, origin) in enumerate(told):
            place = number + 1, f"account-{number % STREAMS}", number // STREAMS + 1
            kind = catalog.type_of(event), 1, AT
            await rows.write_row(
                (*place, *kind, origin.correlation_id, origin.command_id, origin.actor, catalog.encode(event))
            )


@pytest.fixture
async def whole(database_url: str, log: Log, connection: Connection) -> list[Entry]:
    """Return all events of such a log, oldest first; the view is built."""
    await append(connection, events())
    await rebuild(database_url, log, [audit.VIEW])
    read = await onward(connection, limit=2 * EVENTS, above=0, upto=2 * EVENTS)
    assert [entry.position for entry in read] == list(range(1, EVENTS + 1))
    return read


POSITIONS = st.none() | st.integers(0, EVENTS + 300)
QUESTIONS = st.fixed_dictionaries(
    {
        "type_": st.sampled_from([None, "AccountAdded", "AccountRemoved", "CancelRequested", "Nothing"]),
        "actor": st.sampled_from([None, *ACTORS, "nobody"]),
        "correlation_id": st.sampled_from([None, *STORIES, UUID(int=99)]),
        "stream": st.sampled_from([None, None, None, "account-3", "account-none"]),
        "above": POSITIONS,
        "upto": POSITIONS,
        "limit": st.sampled_from([1, 2, 50, 2_000]),
    }
)


@pytest.mark.parametrize(("few", "many"), [(2, 512), (1, 2)])
async def test_what_is_found_is_what_looking_at_each_event_finds(
    whole: list[Entry], database_url: str, monkeypatch: pytest.MonkeyPatch, few: int, many: int
):
    monkeypatch.setattr(audit, "_FEW", few)
    monkeypatch.setattr(audit, "_MANY", many)

    def matching(asked, above, upto):
        return [
            entry
            for entry in whole
            if above < entry.position <= upto
            and asked["type_"] in (None, entry.type)
            and asked["actor"] in (None, entry.actor)
            and asked["correlation_id"] in (None, entry.correlation_id)
            and asked["stream"] in (None, entry.stream)
        ]

    async def answers(asked):
        async with await connect(database_url) as connection:
            above, upto = asked["above"] or 0, EVENTS if asked["upto"] is None else asked["upto"]
            newest = await search(connection, **asked)
            oldest = await onward(connection, **{**asked, "above": above, "upto": upto})
        return matching(asked, above, upto), newest, oldest

    @given(QUESTIONS)
    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(asked):
        expected, newest, oldest = asyncio.run(answers(asked))
        assert oldest == expected[: asked["limit"]]
        assert newest == expected[::-1][: asked["limit"]]

    await asyncio.to_thread(ask)


async def test_blocks_are_the_same_in_whatever_pieces_the_log_is_taken_in(
    whole: list[Entry], log: Log, connection: Connection
):
    expected = await dump(connection, audit.VIEW)
    await connection.execute("create schema piecewise; set search_path to piecewise")
    await make_tables(connection, [audit.VIEW])
    pages, at, chance = await log.page(0, EVENTS), 0, Random(3)
    while at < EVENTS:
        size = chance.choice([1, 3, 255, 256, 257, 400])
        await take(connection, [audit.VIEW], pages[at : at + size])
        at += size
    assert await dump(connection, audit.VIEW) == expected


async def test_a_block_that_ends_with_an_event_that_is_left_out_is_entered_all_the_same(
    whole: list[Entry], log: Log, connection: Connection
):
    expected = await dump(connection, audit.VIEW)
    await connection.execute("truncate audit_words, audit_stories, audit_end")
    for skips in ({511, 513}, {300}, {600, 900}, {255, 767}):
        view = msgspec.structs.replace(audit.VIEW, skips=frozenset(skips))
        for cut in (EVENTS, 600):  # ranges of one transaction may each end blocks
            await connection.execute("truncate audit_words, audit_stories, audit_end")
            for start, end in ((0, cut), (cut, EVENTS)):
                if events_ := await log.page(start, end - start):
                    await take(connection, [view], events_)
            assert await dump(connection, audit.VIEW) == expected, (skips, cut)


async def test_a_rebuild_leaves_out_an_event_in_the_middle(
    whole: list[Entry], database_url: str, log: Log, connection: Connection
):
    expected = await dump(connection, audit.VIEW)
    skipped = EventSkipped(view="audit", position=300, type="T", stream="s", error="none", reason="to see it")
    await log.append([write(STREAM, 0, skipped)], Origin(correlation_id=STORIES[0], command_id=UUID(int=1), actor="a"))
    await rebuild(database_url, log, [audit.VIEW])
    assert await dump(connection, audit.VIEW) == expected


@pytest.mark.parametrize(
    "words", [{"type_": "AccountAdded"}, {"actor": "rare"}, {"correlation_id": STORIES[3]}], ids=str
)
async def test_only_blocks_are_read_of_the_log(
    whole: list[Entry], connection: Connection, monkeypatch: pytest.MonkeyPatch, words: dict[str, Any]
):
    await connection.execute("analyze log.events; analyze audit_words; analyze audit_stories")
    asked: list[tuple[Any, Any]] = []
    execute = psycopg.AsyncConnection.execute

    async def noted(self: Connection, query: Any, values: Any = None, **options: Any) -> Any:
        asked.append((query, values))
        return await execute(self, query, values, **options)

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.AsyncConnection, "execute", noted)
        await search(connection, limit=3, **words)
        await onward(connection, limit=3, above=0, upto=EVENTS, **words)
    looked = [(query, values) for query, values in asked if "unnest" in str(query)]
    assert len(looked) >= 2
    for query, values in looked:
        plan = await (await connection.execute(f"explain (costs off) {query}", values)).fetchall()
        steps = [line.strip(" ->") for (line,) in plan]
        assert any(step.startswith("Function Scan on unnest") for step in steps), steps
        conditions = [step for step in steps if step.startswith("Index Cond")]
        assert conditions, steps
        assert all("b.block" in condition for condition in conditions), steps


async def test_what_was_dropped_is_in_no_block_any_more(whole: list[Entry], log: Log, connection: Connection):
    [(actor_at, *_)] = [[entry.position for entry in whole if entry.actor == "rare"]]
    first, last = 257, 512  # the second block as far as it was dropped, and with it both rare actors in there
    assert first <= actor_at <= last
    await connection.execute("delete from log.events where position between %s and %s", [first, last])
    dropped = UpdatesDropped(first=first, last=last, count=256, runs=[], digest=b"", signature=b"", dropped_at=AT)
    await log.append(
        [write(RETENTION, 0, dropped)], Origin(correlation_id=STORIES[0], command_id=UUID(int=1), actor="a")
    )
    await take(connection, [audit.VIEW], await log.page(EVENTS, 1))
    found = await search(connection, limit=EVENTS, actor="rare")
    assert [entry.position for entry in found] == [901]
    left = await connection.execute("select block from audit_words where word = 'rare' order by block")
    assert await left.fetchall() == [(3,)]
    incremental = await dump(connection, audit.VIEW)
    await connection.execute("truncate audit_words, audit_stories, audit_end")
    await take(connection, [audit.VIEW], await log.page(0, 2 * EVENTS))
    assert await dump(connection, audit.VIEW) == incremental
