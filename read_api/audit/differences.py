"""Moments of the past: which are kept, and what changed between two.

The events between two moments say where to look, and the views as they were what it was.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from adapters.http.answers import Answer
from adapters.http.as_of import PRESENT, never_recorded, when_of
from adapters.http.bodies import Cursor, Text, encode
from adapters.http.parameters import only_known
from adapters.http.requests import Request
from domain.errors import Invalid
from projections import differences
from projections.differences import KINDS, Kind, State, Touched
from projections.moments import Moment
from projections.past import Past, Standing
from read_api.pages import Pagination, described, items_answer, wrong_cursor
from read_api.settle import Reads

_NOTHING: State = {}

Place = Annotated[str, QueryParameter(name="from", max_length=64, description="A position in the log, or a time")]
Until = Annotated[
    str | None,
    QueryParameter(name="to", max_length=64, description="As `from`; the end of the log if missing"),
]
Limit = Annotated[int, QueryParameter(ge=1, le=500, description="So many streams; each may tell of several things")]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A thing that was not the same: `new` and `ended` say that it began or ended between the moments.

    `before` or `after` is null where it was not there. The events between the moments that tell of it are in `stream`,
    from `first_position` to `last_position`.
    """

    kind: str
    what: State
    change: Literal["new", "changed", "ended"]
    before: State | None
    after: State | None
    stream: str
    events: int
    first_position: int
    last_position: int


class ChangesPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of changes, and the positions that they are between."""

    data: Sequence[Change]
    pagination: Pagination


def changes(
    name: str,
    kind: Kind,
    touched: Touched,
    before: Sequence[tuple[State, State]],
    after: Sequence[tuple[State, State]],
) -> list[Change]:
    """Return what became of the things of one stream; one that is as it was is left out."""
    earlier = {encode(what): state for what, state in before}
    later = {encode(what): state for what, state in after}
    known = {encode(what): what for what, _ in (*before, *after)}
    return [
        Change(
            kind=name,
            what=what,
            change=_word(kind, earlier.get(key), later.get(key)),
            before=earlier.get(key),
            after=later.get(key),
            stream=touched.stream,
            events=touched.events,
            first_position=touched.first_position,
            last_position=touched.last_position,
        )
        for key, what in known.items()
        if earlier.get(key) != later.get(key)
    ]


def _word(kind: Kind, before: State | None, after: State | None) -> Literal["new", "changed", "ended"]:
    if before is None:
        return "new"
    if after is None or (_ended(kind, after) and not _ended(kind, before)):
        return "ended"
    return "changed"


def _ended(kind: Kind, state: State) -> bool:
    return any(state.get(field) in words for field, words in kind.ended.items())


def _kinds(given: str | None) -> list[str]:
    wanted = [word.strip() for word in (given or "").split(",") if word.strip()]
    for word in wanted:
        if word not in KINDS:
            raise Invalid(f"kinds '{word[:40]}' is none of {', '.join(KINDS)}")
    return [name for name in KINDS if not wanted or name in wanted]


def _place(cursor: str | None, kinds: Sequence[str]) -> tuple[Sequence[str], str | None]:
    """Return the kinds that are left to be listed, and the stream behind which the first of them goes on."""
    if not cursor:
        return kinds, None
    name, _, stream = cursor.partition("|")
    if name not in kinds or not stream:
        raise wrong_cursor(cursor, place="query")
    return kinds[kinds.index(name) :], stream


class MomentsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The views of the past that are kept or being built, those of the moment not asked for longest first."""

    data: Sequence[Standing]


class Differences(Controller):
    """The past, as far as it is kept, and what changed in it."""

    path = "/audit"
    tags = ("Audit",)
    guards = (only_known,)

    @get(
        "/moments",
        status_code=200,
        summary="Say which moments of the past are kept",
        responses=described(MomentsAnswer, "Views, and how far each is built"),
        opt=never_recorded("what this server keeps now"),
    )
    async def moments(self, reads: NamedDependency[Reads]) -> Answer:
        """Answer which views of which moments are kept or being built, and how far they are."""
        return Answer(200, encode(MomentsAnswer(data=reads.past.standings())))

    @get(
        "/diff",
        status_code=200,
        summary="Say what changed between two moments",
        responses=described(ChangesPage, "Changes, by kind and stream"),
        opt={PRESENT: "what changed between the moments that are its from and to"},
    )
    async def diff(
        self,
        *,
        request: Request,
        reads: NamedDependency[Reads],
        start: Place,
        end: Until = None,
        kinds: FromQuery[Text | None] = None,
        limit: Limit = 100,
        cursor: FromQuery[Cursor | None] = None,
    ) -> Answer:
        """Answer what is not as it was, of orders, positions, balances, bots and configs, or some of these `kinds`."""
        wanted, behind = _place(cursor, _kinds(kinds))
        await reads.settle(request)
        before, after = await _moments(reads.past, start, end)
        if before.position > after.position:
            raise Invalid(f"from '{start}', position {before.position}, is after to, position {after.position}")
        if before.position < after.position:
            views = list(dict.fromkeys(KINDS[name].view for name in wanted))
            for moment in (before, after):
                await reads.past.ready(moment, views)
        found, place = await _found(reads, before, after, wanted, behind=behind, limit=limit)
        headers = ((b"x-from", b"%d" % before.position), (b"x-to", b"%d" % after.position))
        items = [encode(change).decode() for change in found]
        return items_answer(items, limit=limit, cursor=place, total=None, headers=headers)


async def _moments(past: Past, start: str, end: str | None) -> tuple[Moment, Moment]:
    before = await past.moment(when_of(start, ("query", "from")), "from")
    return before, await past.last() if end is None else await past.moment(when_of(end, ("query", "to")), "to")


async def _found(
    reads: Reads, before: Moment, after: Moment, names: Sequence[str], *, behind: str | None, limit: int
) -> tuple[list[Change], str | None]:
    """Return the changes that up to `limit` streams tell of, and the cursor to go on with."""
    found: list[Change] = []
    left, place = limit, None
    for name in names:
        kind = KINDS[name]
        async with reads.today() as connection:
            streams = await differences.touched(
                connection, kind, after=before.position, upto=after.position, behind=behind, limit=left + 1
            )
        behind, shown = None, streams[:left]
        found += await _changes(reads.past, name, before, after, shown)
        if shown:
            place = f"{name}|{shown[-1].stream}"
        if len(streams) > left:
            return found, place
        left -= len(shown)  # a page that is full asks the kinds that are left whether there is more
    return found, None


async def _changes(past: Past, name: str, before: Moment, after: Moment, streams: Sequence[Touched]) -> list[Change]:
    if not streams:
        return []
    kind, wanted = KINDS[name], [one.stream for one in streams]
    known: list[Mapping[str, list[tuple[State, State]]]] = []
    for moment in (before, after):
        async with past.connection(moment, [kind.view]) as connection:
            known.append(await differences.states(connection, kind, wanted))
    earlier, later = known
    return [
        change
        for one in streams
        for change in changes(name, kind, one, earlier.get(one.stream, ()), later.get(one.stream, ()))
    ]
