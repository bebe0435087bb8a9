"""Exported events as lines of a file: JSON lines, CSV or Parquet, the same columns in each.

A line is of one kind:

    head     what the file is: format, public key, range of positions, signature (`data`)
    dropped  a signed record of events that retention dropped, before the first seal that it is about
    seal     a seal of `position` and following (`data`); what it covers comes behind it, in the order of positions
    event    an event of the range: every column of `log.events` but the shard; `data` is its JSON, byte for byte
    leaf     an event outside of the range, under the first or the last seal: only its hash (`data`), to prove the seal

Where the bytes of `data` cannot stand as JSON on one line they are in base64, and `encoding` says so.
"""

import base64
import binascii
import csv
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec.structs import astuple

from adapters.audit.checking import Row
from adapters.audit.exports import WrongExport
from adapters.seals import SHARD
from domain.errors import Invalid

Kind = Literal["head", "dropped", "seal", "event", "leaf"]
Format = Literal["jsonl", "csv", "parquet"]

_KINDS: Mapping[str, Kind] = {"head": "head", "dropped": "dropped", "seal": "seal", "event": "event", "leaf": "leaf"}

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SHORT, _INT, _LONG = struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")
_UUID_BYTES = 16
_NONE = (None, "")
_NULL = _INT.pack(-1)
_VERSION, _TYPE_LENGTH = struct.Struct(">iqi"), struct.Struct(">ihiqi")


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A line of an export, in the order of its columns."""

    kind: Kind
    position: int | None = None
    stream: str | None = None
    version: int | None = None
    type: str | None = None
    schema_version: int | None = None
    recorded_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    command_id: str | None = None
    actor: str | None = None
    encoding: Literal["base64"] | None = None
    data: msgspec.Raw

    @property
    def content(self) -> bytes:
        """The bytes that `data` stands for. Raises `ValueError` for base64 that is none."""
        if self.encoding is None:
            return bytes(self.data)
        return base64.b64decode(msgspec.json.decode(self.data, type=str), validate=True)


COLUMNS = Line.__struct_fields__


def line(kind: Kind, value: object, *, position: int | None = None) -> Line:
    """Return a line whose data are a value in JSON."""
    return Line(kind=kind, position=position, data=msgspec.Raw(msgspec.json.encode(value)))


def event(row: Row) -> Line:
    """Return the line of an event. Raises `ValueError` for one that holds what no event can."""
    at, cells = 0, []
    while at < len(row.raw):
        (length,) = _INT.unpack_from(row.raw, at)
        at += _INT.size
        cells.append(None if length < 0 else row.raw[at : at + length])
        at += max(length, 0)
    stream, version, type_, schema_version, recorded_at, correlation, causation, command, actor, data = cells
    try:
        encoding, shown = _shown(data or b"")
        return Line(
            kind="event",
            position=row.place[1],
            stream=_text(stream),
            version=_LONG.unpack(version or b"")[0],
            type=_text(type_),
            schema_version=_SHORT.unpack(schema_version or b"")[0],
            recorded_at=_EPOCH + timedelta(microseconds=_LONG.unpack(recorded_at or b"")[0]),
            correlation_id=str(UUID(bytes=correlation)),
            causation_id=None if causation is None else str(UUID(bytes=causation)),
            command_id=str(UUID(bytes=command)),
            actor=_text(actor),
            encoding=encoding,
            data=shown,
        )
    except (struct.error, OverflowError, TypeError) as e:
        raise ValueError(f"Event {row.place[1]} holds what no event can: {e}") from e


def row(of: Line) -> Row:
    """Return an event with its leaf, made anew of what the line says. Raises `ValueError` where it lacks something."""
    try:
        stream, type_, actor = ((text or "").encode() for text in (of.stream, of.type, of.actor))
        micros = (of.recorded_at - _EPOCH) // _MICROSECOND  # type: ignore[operator]
        content = bytes(of.data) if of.encoding is None else of.content
        raw = b"".join(
            (
                _INT.pack(len(stream)),
                stream,
                _VERSION.pack(8, of.version, len(type_)),
                type_,
                _TYPE_LENGTH.pack(2, of.schema_version, 8, micros, _UUID_BYTES),
                _uuid(of.correlation_id),
                _NULL if of.causation_id is None else _INT.pack(_UUID_BYTES) + _uuid(of.causation_id),
                _INT.pack(_UUID_BYTES) + _uuid(of.command_id),
                _INT.pack(len(actor)),
                actor,
                _INT.pack(len(content)),
                content,
            )
        )
        return Row((SHARD, int(of.position or 0)), sha256(b"\x00" + raw).digest(), raw)
    except (TypeError, struct.error, binascii.Error, msgspec.DecodeError) as e:
        raise ValueError(str(e)) from e


def _uuid(given: str | None) -> bytes:
    found = bytes.fromhex((given or "").replace("-", ""))
    if len(found) != _UUID_BYTES:
        raise ValueError(f"{given!r} is no UUID")
    return found


def _text(given: bytes | None) -> str:
    return (given or b"").decode()


def _shown(data: bytes) -> tuple[Literal["base64"] | None, msgspec.Raw]:
    """Return JSON as it is, and all else in base64."""
    if data[:1] == b"{" and data[-1:] == b"}" and b"\n" not in data and b"\r" not in data:
        try:
            msgspec.json.decode(data)
            data.decode()
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        else:
            return None, msgspec.Raw(data)
    return "base64", msgspec.Raw(msgspec.json.encode(data))


def write(format_: Format, file: Path, lines: Iterable[Line]) -> None:
    """Write lines to a file. Raises `OSError`, `Invalid` where Parquet cannot be written here."""
    _WRITERS[format_](file, lines)


def _write_jsonl(file: Path, lines: Iterable[Line]) -> None:
    encode = msgspec.json.Encoder().encode
    with file.open("wb") as out:
        for each in lines:
            out.write(encode(each))
            out.write(b"\n")


def _write_csv(file: Path, lines: Iterable[Line]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        writer.writerows((*cells[:-1], bytes(cells[-1]).decode()) for cells in map(astuple, lines))


def _write_parquet(file: Path, lines: Iterable[Line]) -> None:
    _parquet().write(file, COLUMNS, ((*cells[:-1], bytes(cells[-1]).decode()) for cells in map(astuple, lines)))


def read(format_: Format, file: Path) -> Iterator[Line]:
    """Yield the lines of a file. Raises `WrongExport` with the number of one that is none, `OSError`, `Invalid`."""
    return _READERS[format_](file)


def _read_jsonl(file: Path) -> Iterator[Line]:
    decode, encode = msgspec.json.Decoder(Line).decode, msgspec.json.Encoder().encode
    with file.open("rb") as lines:
        for number, text in enumerate(lines, start=1):
            try:
                found = decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError) as e:
                raise damaged(file, number, e) from e
            # A key that stands there twice would show one thing to whoever reads and another to the proof.
            if encode(found) != text.removesuffix(b"\n"):
                raise damaged(file, number, ValueError("it holds more than what it says"))
            yield found


def _read_csv(file: Path) -> Iterator[Line]:
    usual = csv.field_size_limit(sys.maxsize)  # an event may be of any length
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            try:
                if tuple(next(reader, ())) != COLUMNS:
                    raise WrongExport(f"{file} is no export of events: its columns are not {','.join(COLUMNS)}")
                for cells in reader:
                    yield _line(cells)
            except (csv.Error, KeyError, ValueError) as e:
                raise damaged(file, reader.line_num, e) from e
    finally:
        csv.field_size_limit(usual)  # it is the process's


def _read_parquet(file: Path) -> Iterator[Line]:
    number = 0
    try:
        for cells in _parquet().read(file, COLUMNS):
            number += 1
            yield _line(cells)
    except (AttributeError, KeyError, TypeError, ValueError) as e:  # cells of other types among them
        raise damaged(file, number, e) from e


def _line(cells: Sequence[Any]) -> Line:
    """Return the line of a row's cells, texts and numbers, with nothing or an empty text where there is none.

    Raises `ValueError`, `KeyError` for another kind.
    """
    (
        kind,
        position,
        stream,
        version,
        type_,
        schema_version,
        at,
        correlation,
        causation,
        command,
        actor,
        encoding,
        data,
    ) = cells
    if encoding and encoding != "base64":
        raise ValueError(f"encoding {encoding!r}")
    moment = None if not at else at if isinstance(at, datetime) else datetime.fromisoformat(at)
    return Line(
        kind=_KINDS[kind],
        position=None if position in _NONE else int(position),
        stream=stream or None,
        version=None if version in _NONE else int(version),
        type=type_ or None,
        schema_version=None if schema_version in _NONE else int(schema_version),
        recorded_at=moment,
        correlation_id=correlation or None,
        causation_id=causation or None,
        command_id=command or None,
        actor=actor or None,
        encoding=encoding or None,
        data=msgspec.Raw(data.encode()),
    )


def damaged(file: Path, number: int, why: object) -> WrongExport:
    """Return that a line cannot be read."""
    return WrongExport(f"{file} is damaged: line {number} is no line of an export: {why}")


def _parquet() -> ModuleType:
    try:
        from adapters.audit import parquet  # noqa: PLC0415 - what it stands on is large, and an optional part
    except ImportError as e:
        raise Invalid("Parquet needs an optional part: pip install 'nectar[parquet]'. jsonl and csv do not.") from e
    return parquet


_WRITERS: Mapping[Format, Callable[[Path, Iterable[Line]], None]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
}
_READERS: Mapping[Format, Callable[[Path], Iterator[Line]]] = {
    "jsonl": _read_jsonl,
    "csv": _read_csv,
    "parquet": _read_parquet,
}
FORMATS: tuple[Format, ...] = ("jsonl", "csv", "parquet")
