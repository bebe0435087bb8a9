"""Rows of bots, and the pieces of JSON that answers are put together from.

A report is the inside of a JSON object, without braces, as a controller's status and its samples carry it.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from domain.bots import BotDeployed, BotLogged, ControllerReported
from projections.view import text

LINES = 100
"""So many lines of its log are kept of each bot, and so many errors beside them."""

NEWEST_LINES = 5
"""So many of them are kept a second time, in one row a bot: what answers about many bots show."""

LONGEST_LINE = 10_000
"""In characters; the whole line is in the log of events."""

ERROR = 40
"""From this level on a line is an error, as in Python's logging."""

DEPLOYED = "docker"
HEARD = "mqtt"
"""Where a bot is known from, in the contract's words: somebody deployed it here, or it was only heard."""

INTERVALS = {
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "12h": timedelta(hours=12),
    "1d": timedelta(days=1),
}
"""How far apart samples of performance may be asked for. Each divides the next, counted from midnight UTC: so the
first sample in one of them is the first one in all that are finer, and a sample needs one number to say where it is."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTHS = tuple(INTERVALS.values())
_encode = msgspec.json.encode
_lines = msgspec.json.Decoder(list[msgspec.Raw]).decode


class BotRow(msgspec.Struct, kw_only=True):
    """A bot as it stands. `position` is that of the event that it begins with, `changed` that of its last one.

    `lines` and `errors` were logged so far.

    `run_id` is None for a bot that was only heard. `stopping` is whether a stop is under way, `archiving` whether all
    that remains of it is to be put away as well, `flat` whether its strategy has ended since it was started.
    """

    instance: str
    position: int
    changed: int = 0
    run_id: int | None = None
    started: bool = False
    runs: bool = False
    stopping: bool = False
    archiving: bool = False
    flat: bool = False
    lost: bool = False
    cleared: bool = False
    heard_at: datetime | None = None
    lines: int = 0
    errors: int = 0


class ControllerRow(msgspec.Struct, kw_only=True):
    """A controller as its bot told last.

    `state` is `running`, `ended` once it said that its strategy has ended, and `silent` before it has said anything
    since its bot was started. `report` is the last one that had figures; None where this row leaves it as it is.
    """

    instance: str
    controller: str
    position: int
    state: str = "silent"
    heard_at: datetime
    sampled_at: datetime | None = None
    reported_at: datetime | None = None
    report: str | None = None


class LineRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a bot's log, the `number`th of its kind; it takes the slot of the one that is too old by now."""

    instance: str
    is_error: bool
    slot: int
    number: int
    wire: str


class NewestRow(msgspec.Struct, kw_only=True):
    """The newest lines of a bot's log, and its newest errors, oldest first; each a JSON array."""

    instance: str
    lines: str = "[]"
    errors: str = "[]"


class PerformanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A sample of a controller's performance: the first one in so many of `INTERVALS` as `coarsest` says, from 0."""

    position: int
    instance: str
    controller: str
    heard_at: datetime
    coarsest: int
    report: str


class RunRow(msgspec.Struct, kw_only=True):
    """One deployment; `id` is the position in the log that it began with."""

    id: int
    instance: str
    account: str
    image: str
    strategy_type: str
    strategy_name: str
    config_name: str | None
    deployment_config: str
    deployment_status: str = "DEPLOYED"
    run_status: str = "CREATED"
    deployed_at: datetime
    stopped_at: datetime | None = None
    error_message: str | None = None
    final_status: str | None = None
    deleted: bool = False


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a bot's log as clients read it; `timestamp` in seconds since 1970, of the bot's clock."""

    level_name: str
    msg: str
    timestamp: float
    level_no: int
    logger_name: str


def line(event: BotLogged) -> str:
    """Return a line of a log as clients read it."""
    message = event.message
    if len(message) > LONGEST_LINE:
        message = f"{message[:LONGEST_LINE]}… ({len(message)} characters)"
    return _encode(
        LogLine(
            level_name=event.level_name,
            msg=message,
            timestamp=(event.sent_at or event.heard_at).timestamp(),
            level_no=event.level,
            logger_name=event.logger,
        )
    ).decode()


def appended(array: str, wire: str) -> str:
    """Return the JSON array of the newest lines, one more among them."""
    lines = [*_lines(array), msgspec.Raw(wire.encode())]
    return _encode(lines[-NEWEST_LINES:]).decode()


def report(event: ControllerReported) -> str | None:
    """Return what a controller says of itself, None where it says nothing: its strategy has ended."""
    performance = bytes(event.performance)
    # Not decoded: a bot may write numbers that no reader of ours takes.
    if performance.translate(None, b" \t\r\n") == b"{}":
        return None
    return (b'"performance":%b,"custom_info":%b' % (performance, bytes(event.custom_info))).decode()


def coarsest(heard_at: datetime, sampled_at: datetime | None) -> int | None:
    """Return of which of `INTERVALS` a report is the first sample; None where the finest one has one already."""
    if sampled_at is None:
        return len(_LENGTHS) - 1
    passed = [n for n, length in enumerate(_LENGTHS) if (heard_at - _EPOCH) // length > (sampled_at - _EPOCH) // length]
    return passed[-1] if passed else None


def run_of(position: int, event: BotDeployed) -> RunRow:
    """Return the run that begins."""
    return RunRow(
        id=position,
        instance=text(event.instance),
        account=text(event.account),
        image=text(event.image),
        strategy_type=event.strategy_type,
        strategy_name=text(event.strategy_name),
        config_name=text(event.script_config),
        deployment_config=_encode(event.request).decode(),
        deployed_at=event.deployed_at,
    )


def status_on_the_wire(
    status: str, *, performance: str, errors: str, lines: str, heard: bool, source: str = DEPLOYED
) -> str:
    """Return a bot's status as clients read it; `performance`, `errors` and `lines` are JSON already."""
    return (
        f'{{"status":"{status}","performance":{performance},"error_logs":{errors},"general_logs":{lines},'
        f'"recently_active":{"true" if heard else "false"},"source":"{source}"}}'
    )


def performance_on_the_wire(reports: Iterable[tuple[str, str]], status: str = "running") -> str:
    """Return a bot's `performance` as clients read it, given controller and report of each of its controllers."""
    members = [f'{_encode(name).decode()}:{{"status":"{status}",{said}}}' for name, said in reports]
    return f"{{{','.join(members)}}}"


def array(items: Iterable[str]) -> str:
    """Return the JSON array of items that are JSON already."""
    return f"[{','.join(items)}]"


def newest(rows: Sequence[LineRow]) -> list[LineRow]:
    """Return the rows that are not written over by later ones of the same kind and bot."""
    return list({(row.instance, row.is_error, row.slot): row for row in rows}.values())
