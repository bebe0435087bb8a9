"""What a bot publishes → events. Pure: topic, bytes and the time in, events out.

Bots write with ujson through a function that makes strings of what it does not know, negative whole numbers among them
(hummingbot `remote_iface/mqtt.py`, 20260922). So numbers are taken from strings too, and what is JSON but for a bare
NaN or infinity is read with null in its place. Text that no view could keep (NUL, half a surrogate pair) gets U+FFFD.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from domain.bots import (
    LONGEST_INSTANCE,
    BotEventTold,
    BotHeard,
    BotLogged,
    BotNotified,
    BotStatusReported,
    BotTalkedNonsense,
    ControllerReported,
)
from domain.events import Event

NAMESPACE = "hbot"
LONGEST = 1_000_000
"""In bytes; what is longer is recorded as nonsense. Real bots' longest messages have a few thousand."""
BEGINNING = 500
"""How many characters of a nonsense message are recorded."""
DEEPEST = 64
"""How deeply objects and lists may stand in each other: what reads them later may have less room than we."""
MOST_CONTROLLERS = 500

_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_INSTANCE}}}")
_LATEST_SECONDS = 253_402_300_799  # The last one of year 9999: neither Python nor Postgres knows a later time by name.

# A string is taken whole, and one without an end up to the end: whatever comes, each byte is looked at once.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)'
_STRINGS_AND_CONSTANTS = re.compile(_STRING + rb"|-?\b(?:NaN|Infinity)\b", re.DOTALL)
_STRINGS_AND_REST = re.compile(_STRING + rb'|[^][{}"]++', re.DOTALL)
_ESCAPES = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)

_Word = Annotated[str, msgspec.Meta(max_length=200)]  # Views look for it by an index.


class _Heartbeat(msgspec.Struct):
    ts: float | None = None


class _Status(msgspec.Struct):
    msg: Any
    type: _Word = ""
    timestamp: float | None = None


class _LogLine(msgspec.Struct):
    msg: Any
    level_no: Annotated[int, msgspec.Meta(ge=-32768, le=32767)] = 0
    level_name: _Word = ""
    logger_name: _Word = ""
    timestamp: float | None = None


class _Notice(msgspec.Struct):
    msg: Any
    timestamp: float | None = None


class _MarketEvent(msgspec.Struct):
    type: _Word
    data: msgspec.Raw
    timestamp: float | None = None


class _Controller(msgspec.Struct):
    performance: msgspec.Raw = msgspec.Raw(b"{}")
    custom_info: msgspec.Raw = msgspec.Raw(b"{}")


_heartbeat = msgspec.json.Decoder(_Heartbeat, strict=False).decode
_status = msgspec.json.Decoder(_Status, strict=False).decode
_log_line = msgspec.json.Decoder(_LogLine, strict=False).decode
_notice = msgspec.json.Decoder(_Notice, strict=False).decode
_market_event = msgspec.json.Decoder(_MarketEvent, strict=False).decode
_controllers = msgspec.json.Decoder(dict[_Word, _Controller]).decode
_object = msgspec.json.Decoder(dict[str, object]).decode


def read(topic: str, payload: bytes, heard_at: datetime) -> list[tuple[str, Event]]:
    """Return instance and event of all that a message tells: at least one, but for a topic that is no bot's: none."""
    namespace, _, rest = topic.partition("/")
    instance, _, kind = rest.partition("/")
    reader = _READERS.get(kind)
    if namespace != NAMESPACE or reader is None or not is_name(instance):
        return []
    try:
        return [(instance, event) for event in _mended(reader, payload, instance, heard_at)]
    except (msgspec.MsgspecError, UnicodeDecodeError) as why:
        return [(instance, _nonsense(instance, topic, payload, str(why), heard_at))]


def is_name(instance: str) -> bool:
    """Whether a bot can be called that. Beyond this a topic may hold anything, and so may what is made of it."""
    return _NAME.fullmatch(instance) is not None


def answer(payload: bytes) -> Mapping[str, object]:
    """Return a bot's answer to a command. Raises `msgspec.DecodeError` or `UnicodeDecodeError` for what is none."""
    _refuse_deep(payload)
    try:
        return _object(payload)
    except msgspec.DecodeError:
        return _object(_mend(payload))


def _mended(reader: "_Reader", payload: bytes, instance: str, heard_at: datetime) -> Sequence[Event]:
    if len(payload) > LONGEST:
        raise msgspec.DecodeError(f"It has {len(payload):,} bytes; at most {LONGEST:,} are read")
    _refuse_deep(payload)
    if b"\\u0000" not in payload:
        try:
            return reader(payload, instance, heard_at)
        except msgspec.DecodeError:
            if (mended := _mend(payload)) == payload:
                raise
            payload = mended
    else:
        payload = _mend(payload)
    return reader(payload, instance, heard_at)


def _mend(payload: bytes) -> bytes:
    return _STRINGS_AND_CONSTANTS.sub(_mend_one, payload)


def _mend_one(found: re.Match[bytes]) -> bytes:
    text = found[0]
    if not text.startswith(b'"'):
        return b"null"
    return _ESCAPES.sub(_mend_escape, text) if b"\\u" in text else text


def _mend_escape(found: re.Match[bytes]) -> bytes:
    escape = found[0]
    return rb"\ufffd" if escape.startswith(b"\\u") and not found[1] else escape


def _refuse_deep(payload: bytes) -> None:
    """Raise `msgspec.DecodeError` for what is nested too deeply; for what is no JSON, whoever decodes it does."""
    if payload.count(b"{") + payload.count(b"[") <= DEEPEST:
        return
    left = _STRINGS_AND_REST.sub(b"", payload)
    for _ in range(DEEPEST):
        less = left.replace(b"{}", b"").replace(b"[]", b"")
        if less == left:
            return
        left = less
    if left:
        raise msgspec.DecodeError(f"It is nested more than {DEEPEST} deep")


def _heard(payload: bytes, instance: str, heard_at: datetime) -> Sequence[Event]:
    ts = _heartbeat(payload).ts
    return (BotHeard(instance=instance, sent_at=_time(ts, per_second=1_000_000), heard_at=heard_at),)


def _status_reported(payload: bytes, instance: str, heard_at: datetime) -> Sequence[Event]:
    said = _status(payload)
    sent_at = _time(said.timestamp, per_second=1000)
    message = _text(said.msg)
    return (BotStatusReported(instance=instance, kind=said.type, message=message, sent_at=sent_at, heard_at=heard_at),)


def _logged(payload: bytes, instance: str, heard_at: datetime) -> Sequence[Event]:
    line = _log_line(payload)
    return (
        BotLogged(
            instance=instance,
            level=line.level_no,
            level_name=line.level_name,
            logger=line.logger_name,
            message=_text(line.msg),
            sent_at=_time(line.timestamp, per_second=1),
            heard_at=heard_at,
        ),
    )


def _notified(payload: bytes, instance: str, heard_at: datetime) -> Sequence[Event]:
    said = _notice(payload)
    sent_at = _time(said.timestamp, per_second=1000)
    return (BotNotified(instance=instance, message=_text(said.msg), sent_at=sent_at, heard_at=heard_at),)


def _event_told(payload: bytes, instance: str, heard_at: datetime) -> Sequence[Event]:
    told = _market_event(payload)
    _object(told.data)
    sent_at = _time(told.timestamp, per_second=1)
    return (BotEventTold(instance=instance, kind=told.type, data=told.data, sent_at=sent_at, heard_at=heard_at),)


def _reported(payload: bytes, instance: str, heard_at: datetime) -> Sequence[Event]:
    controllers = _controllers(payload)
    if len(controllers) > MOST_CONTROLLERS:
        raise msgspec.DecodeError(f"It has {len(controllers):,} controllers; at most {MOST_CONTROLLERS} are read")
    for told in controllers.values():
        _object(told.performance)
        _object(told.custom_info)
    if not controllers:  # A bot without controllers: all that it tells is that it is there.
        return (BotHeard(instance=instance, heard_at=heard_at),)
    return [
        ControllerReported(
            instance=instance,
            controller=name,
            performance=told.performance,
            custom_info=told.custom_info,
            heard_at=heard_at,
        )
        for name, told in controllers.items()
    ]


_Reader = Callable[[bytes, str, datetime], Sequence[Event]]

_READERS: Mapping[str, _Reader] = {
    "hb": _heard,
    "status_updates": _status_reported,
    "log": _logged,
    "notify": _notified,
    "events": _event_told,
    "performance": _reported,
}

TOPICS = tuple(f"{NAMESPACE}/+/{kind}" for kind in _READERS)
"""What to subscribe to. They do not overlap, so that no broker delivers a message twice."""


def _time(value: float | None, *, per_second: int) -> datetime | None:
    """Return a bot's time; None where it has none, which it says with -1 or leaves out."""
    if value is None or not 0 < value <= _LATEST_SECONDS * per_second:
        return None
    return datetime.fromtimestamp(value / per_second, UTC)


def _text(message: object) -> str:
    return message if isinstance(message, str) else msgspec.json.encode(message).decode()


def _nonsense(instance: str, topic: str, payload: bytes, reason: str, heard_at: datetime) -> BotTalkedNonsense:
    # No character has more than four bytes.
    beginning = payload[: 4 * BEGINNING].decode(errors="replace")[:BEGINNING].replace("\0", "\ufffd")
    return BotTalkedNonsense(
        instance=instance, topic=topic, reason=reason, length=len(payload), beginning=beginning, heard_at=heard_at
    )
