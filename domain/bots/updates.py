"""What bots tell on the broker, message by message. Stream `bot_updates-<instance>`.

Figures stay the text that the bot sent: `msgspec.Raw` holds it, with bare NaN and infinities replaced by null, which is
the only thing in a bot's JSON that is not JSON. `heard_at` is our clock, `sent_at` the bot's.
"""

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


class UpdatesDropped(Event, frozen=True, kw_only=True):
    """Old updates of a bot were deleted, as the operator's setting says.

    Positions `first` to `last` of the log held `count` events of the stream, with the SHA-256 `digest` over them.
    """

    instance: str
    first: int
    last: int
    count: int
    digest: str
    dropped_at: Utc


UPDATE_EVENTS = (
    BotHeard,
    BotStatusReported,
    BotLogged,
    BotNotified,
    ControllerReported,
    BotEventTold,
    BotTalkedNonsense,
    UpdatesDropped,
)


def updates_of(instance: str) -> str:
    """Return the stream of what an instance tells."""
    return f"bot_updates-{instance}"
