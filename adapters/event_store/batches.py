"""How appends become the parameters of one statement.

Each column of a batch goes to the server as one binary array, encoded here: an element is its length and its bytes
(PostgreSQL's `array_send`), so an event costs a few small bytes objects and no look-up of types.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from struct import Struct
from typing import Any, ClassVar
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from commands.ports import Appended, Write
from domain import catalog
from domain.errors import Invalid
from domain.events import Origin

APPEND = (
    b"select before, at, moved, repeated"
    b" from log.append(%b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b)"
)
LONGEST_NAME = 1000
"""In bytes, of what has an index: an index row of Postgres takes about 2,700."""

_array_head = Struct(">iiIii").pack  # dimensions, has nulls, type of elements, their number, lower bound
_empty_head = Struct(">iiI").pack
_length = Struct(">i").pack
_bigint = Struct(">iq").pack
_NULL = _length(-1)
_UUID_LENGTH = _length(16)


class _Column:
    """One array: its elements, each encoded with its length."""

    __slots__ = ("elements",)
    element_oid: ClassVar[int]

    def __init__(self) -> None:
        self.elements: list[bytes] = []


class _Texts(_Column):
    __slots__ = ()
    element_oid = 25

    def add(self, value: str) -> None:
        encoded = value.encode()
        self.elements.append(_length(len(encoded)) + encoded)


class _Bytes(_Column):
    __slots__ = ()
    element_oid = 17

    def add(self, value: bytes | None) -> None:
        self.elements.append(_NULL if value is None else _length(len(value)) + value)


class _Integers(_Column):
    __slots__ = ()
    element_oid = 20

    def add(self, value: int) -> None:
        self.elements.append(_bigint(8, value))


class _Uuids(_Column):
    __slots__ = ()
    element_oid = 2950

    def add(self, value: UUID | None) -> None:
        self.elements.append(_NULL if value is None else _UUID_LENGTH + value.bytes)


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Column) -> Buffer:
        if not obj.elements:
            return _empty_head(0, 0, obj.element_oid)
        return _array_head(1, 1, obj.element_oid, len(obj.elements), 1) + b"".join(obj.elements)


class _TextsDumper(_ColumnDumper):
    oid = 1009


class _BytesDumper(_ColumnDumper):
    oid = 1001


class _IntegersDumper(_ColumnDumper):
    oid = 1016


class _UuidsDumper(_ColumnDumper):
    oid = 2951


def teach(connection: AsyncConnection) -> None:
    """Let a connection take the columns of a batch as parameters."""
    connection.adapters.register_dumper(_Texts, _TextsDumper)
    connection.adapters.register_dumper(_Bytes, _BytesDumper)
    connection.adapters.register_dumper(_Integers, _IntegersDumper)
    connection.adapters.register_dumper(_Uuids, _UuidsDumper)


def storable(name: str) -> bool:
    """Say whether a stream, actor or key can be in the log at all."""
    try:
        return len(name.encode()) <= LONGEST_NAME and "\0" not in name
    except UnicodeEncodeError:  # a lone surrogate
        return False


class Item:
    """One append that waits to be committed, its events encoded. Raises `Invalid` for a name that cannot be stored."""

    __slots__ = ("answer", "datas", "done", "events", "key", "lost", "origin", "request", "streams", "writes")

    def __init__(self, writes: Sequence[Write], origin: Origin, answer: bytes | None, request: bytes) -> None:
        self.writes = writes
        self.origin = origin
        self.answer = answer
        self.request = request
        self.streams = [write.stream for write in writes]
        self.key = None if origin.idempotency_key is None else (origin.actor, origin.idempotency_key)
        self.datas = [[catalog.encode(event) for event in write.events] for write in writes]
        self.events = sum(map(len, self.datas))
        self.lost = False  # sent on a connection that broke before it answered
        self.done: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        if len(set(self.streams)) < len(self.streams):
            raise ValueError(f"An append writes to a stream twice: {self.streams}")
        for kind, name in (*(("stream", stream) for stream in self.streams), ("actor", origin.actor)):
            if not storable(name):
                raise Invalid(f"Invalid {kind} name: {name[:80]!r}. At most {LONGEST_NAME} bytes, and no NUL.")
        if origin.idempotency_key is not None and not storable(origin.idempotency_key):
            raise Invalid(f"Invalid Idempotency-Key: at most {LONGEST_NAME} bytes, and no NUL.")

    @property
    def first(self) -> tuple[str, int] | None:
        """Return stream and version of the item's first event, None if it has no events."""
        return next(((write.stream, write.expected_version + 1) for write in self.writes if write.events), None)


class Batch:
    """Items that go to the server together, as the columns of `log.append`."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.writes: list[tuple[Item, int]] = []  # the item of each write, and the write's place in it
        self.keyed: list[Item] = []  # the item of each key
        self.events_through: list[int] = []  # per item: the number of the batch's events up to and with its last one
        self._events: list[
            tuple[tuple[Any, ...], tuple[Any, ...]]
        ] = []  # what stands in a row before its time, and after
        streams, expected = _Texts(), _Integers()
        event_streams, versions, types, schema_versions = _Texts(), _Integers(), _Texts(), _Integers()
        correlation_ids, causation_ids, command_ids, actors = _Uuids(), _Uuids(), _Uuids(), _Texts()
        datas = _Bytes()
        key_actors, keys, requests, answers, key_events = _Texts(), _Texts(), _Bytes(), _Bytes(), _Integers()
        events = 0
        for item in items:
            origin = item.origin
            for place, (write, encoded) in enumerate(zip(item.writes, item.datas, strict=True)):
                self.writes.append((item, place))
                streams.add(write.stream)
                expected.add(write.expected_version)
                version = write.expected_version
                correlation_id = write.correlation_id or origin.correlation_id
                causation_id = write.causation_id or origin.causation_id
                stories = write.stories or (None,) * len(encoded)
                for event, data, story in zip(write.events, encoded, stories, strict=True):
                    version += 1
                    told = story or correlation_id
                    type_ = catalog.type_of(event)
                    event_streams.add(write.stream)
                    versions.add(version)
                    types.add(type_)
                    schema_versions.add(event.schema_version)
                    correlation_ids.add(told)
                    causation_ids.add(causation_id)
                    command_ids.add(origin.command_id)
                    actors.add(origin.actor)
                    datas.add(data)
                    self._events.append(
                        (
                            (write.stream, version, type_, event.schema_version),
                            (told, causation_id, origin.command_id, origin.actor, data),
                        )
                    )
                events += len(encoded)
            self.events_through.append(events)
            if item.key is not None:
                self.keyed.append(item)
                key_actors.add(item.key[0])
                keys.add(item.key[1])
                requests.add(item.request)
                answers.add(item.answer)
                key_events.add(events)
        self.columns = (
            *(streams, expected),
            *(event_streams, versions, types, schema_versions),
            *(correlation_ids, causation_ids, command_ids, actors, datas),
            *(key_actors, keys, requests, answers, key_events),
        )

    def rows(self, before: int, at: datetime) -> list[tuple[Any, ...]]:
        """Return the batch's events as the log has them: the nth at position `before` + n, all recorded at one time."""
        return [(before + n, *head, at, *rest) for n, (head, rest) in enumerate(self._events, 1)]
