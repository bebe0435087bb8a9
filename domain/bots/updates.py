"""What bots tell on the broker, message by message. Stream `bot_updates-<instance>`; and that old ones were dropped.

Figures stay the text that the bot sent: `msgspec.Raw` holds it, with bare NaN and infinities replaced by null, which is
the only thing in a bot's JSON that is not JSON. `heard_at` is our clock, `sent_at` the bot's.
"""

from collections.abc import Sequence

import msgspec

from domain.events import Event
from domain.values import Utc


class BotHeard(Event, frozen=True, kw_only=True):
    """A heartbeat, every 10 s. The bot's own time on it is half a second ahead."""

    instance: str
    sent_at: Utc | None = None
    heard_at: Utc


class BotStatusReported(Event, frozen=True, kw_only=True):
    """The bot said how it is: `kind` `availability` with `online` or `offline`, or a kind of its own."""

    instance: str
    kind: str
    message: str
    sent_at: Utc | None = None
    heard_at: Utc


class BotLogged(Event, frozen=True, kw_only=True):
    """A line of the bot's log. `level` as in Python's logging (40 is ERROR)."""

    instance: str
    level: int
    level_name: str
    logger: str
    message: str
    sent_at: Utc | None = None
    heard_at: Utc


class BotNotified(Event, frozen=True, kw_only=True):
    """The bot has a message for its owner."""

    instance: str
    message: str
    sent_at: Utc | None = None
    heard_at: Utc


class ControllerReported(Event, frozen=True, kw_only=True):
    """How one controller of the bot does. `performance` is `{}` once its strategy has ended: the bot's sign of that."""

    instance: str
    controller: str
    performance: msgspec.Raw
    custom_info: msgspec.Raw
    heard_at: Utc


class BotEventTold(Event, frozen=True, kw_only=True):
    """A market event of the bot (`OrderFilled`), as the bot forwards it outside headless mode."""

    instance: str
    kind: str
    data: msgspec.Raw
    sent_at: Utc | None = None
    heard_at: Utc


class BotTalkedNonsense(Event, frozen=True, kw_only=True):
    """A message that cannot be read: which topic, why, how long it was, and its beginning."""

    instance: str
    topic: str
    reason: str
    length: int
    beginning: str
    heard_at: Utc


class SealedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the events under one seal, positions `first` to `last`, when some of them were dropped.

    In `dropped` the bit `n` (of byte `n // 8`, lowest first) stands for position `first + n`; `kept` is a SHA-256 over
    the leaves of those that stay, in order.
    """

    first: int
    last: int
    dropped: bytes
    kept: bytes


class UpdatesDropped(Event, frozen=True, kw_only=True):
    """Old updates of bots were deleted, as the operator's setting says. Stream `retention`.

    `count` of them, between the positions `first` and `last` of the log; `digest` is a SHA-256 over their leaves, in
    order. `signature` is that of the key that seals are signed with: whoever can write to the log cannot make one.
    """

    first: int
    last: int
    count: int
    runs: Sequence[SealedRun]
    digest: bytes
    signature: bytes
    dropped_at: Utc


UPDATE_EVENTS = (
    BotHeard,
    BotStatusReported,
    BotLogged,
    BotNotified,
    ControllerReported,
    BotEventTold,
    BotTalkedNonsense,
)

RETENTION = "retention"
"""The stream that says what was dropped."""


def updates_of(instance: str) -> str:
    """Return the stream of what an instance tells."""
    return f"bot_updates-{instance}"
