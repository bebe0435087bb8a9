"""The levers of a test venue: what goes wrong, how often, and how often it did.

A lever is armed for its next uses or given a chance; both are decided by one seeded source of numbers. `pulled` counts
what happened. What a request asks for is told by a word (`place`, `cancel`, `order`, `orders`, `trades`, `balances`,
`positions`, `settings`, `stream`, `public`, and `market` for what is told of markets by stream), and a lever may be
meant for some of them only.
"""

import random
from collections import Counter
from collections.abc import Callable
from enum import StrEnum

import msgspec


class Lever(StrEnum):
    """What can go wrong."""

    LOSE_RESPONSE = "lose_response"  # the work is done, the connection closed
    ANSWER_LATE = "answer_late"  # the work is done, the answer comes `seconds` later
    WORK_LATE = "work_late"  # the request lies about for `seconds` before it is looked at
    FAIL_BEFORE = "fail_before"  # `status` (5xx), the work is not done
    FAIL_AFTER = "fail_after"  # `status` (5xx), the work is done
    LIMIT_RATE = "limit_rate"  # `status` (429 or 418) with Retry-After `seconds`, the work is not done
    REJECT = "reject"  # the venue's `code` and `message`, the work is not done
    FILL_UNDER_CANCEL = "fill_under_cancel"  # the order trades just before its cancel is worked
    DROP_STREAM = "drop_stream"  # the socket is closed instead of a message being sent
    SILENCE_STREAM = "silence_stream"  # the socket stays open; what it had to tell for `seconds` is never told
    REPEAT_MESSAGE = "repeat_message"  # a message of the stream is sent twice
    REORDER_MESSAGES = "reorder_messages"  # two messages of the stream change places
    EXPIRE_LISTEN_KEY = "expire_listen_key"  # the right to a user stream ends early


PRIVATE = frozenset({"place", "cancel", "order", "orders", "trades", "balances", "positions", "settings", "stream"})
"""What a lever is meant for where nobody says it: all that an account asks for or is told."""


class Pull(msgspec.Struct, frozen=True, kw_only=True):
    """How a lever is pulled. `code` and `message` are those of the venue's dialect."""

    lever: Lever
    on: frozenset[str] = PRIVATE
    account: str | None = None  # only requests and streams of this account
    seconds: float = 1.0
    status: int = 503
    code: int | str = ""
    message: str = ""


class Levers:
    """All levers of one venue, none of them pulled at first.

    `skew_seconds` is by how much its clock is ahead. `impatient` counts, by account, the requests that came before the
    time that a Retry-After had named was over. While it is `down` every connection breaks without an answer.
    """

    def __init__(self, seed: int = 0) -> None:
        """Decide by a seed."""
        self.pulled: Counter[str] = Counter()
        self.impatient: Counter[str] = Counter()
        self.skew_seconds = 0.0
        self.down = False
        self._waits: dict[str, float] = {}
        self._sockets: dict[Callable[[], None], None] = {}
        self._random = random.Random(seed)
        self._armed: list[tuple[Pull, int]] = []
        self._chances: list[tuple[Pull, float]] = []

    def arm(self, pull: Pull, times: int = 1) -> None:
        """Pull a lever at the next so many occasions."""
        self._armed.append((pull, times))

    def chance(self, pull: Pull, probability: float) -> None:
        """Pull a lever at each occasion with this probability."""
        self._chances.append((pull, probability))

    def release(self) -> None:
        """Pull no lever any more; the clock is right again, and the venue is up."""
        self._armed.clear()
        self._chances.clear()
        self.skew_seconds = 0.0
        self.down = False

    def pull(self, lever: Lever, on: str, account: str | None = None) -> Pull | None:
        """Decide whether something goes wrong now; None if it does not."""
        for place, (pull, times) in enumerate(self._armed):
            if _meant(pull, lever, on, account):
                if times > 1:
                    self._armed[place] = (pull, times - 1)
                else:
                    del self._armed[place]
                self.pulled[lever] += 1
                return pull
        for pull, probability in self._chances:
            if _meant(pull, lever, on, account) and self._random.random() < probability:
                self.pulled[lever] += 1
                return pull
        return None

    def go_down(self) -> None:
        """Break all sockets, and every connection from now on, until the levers are released."""
        self.down = True
        for drop in list(self._sockets):
            drop()

    def hold(self, drop: Callable[[], None]) -> Callable[[], None]:
        """Know how to break a socket; returns what forgets that."""
        self._sockets[drop] = None
        return lambda: self._sockets.pop(drop, None)

    def tell_to_wait(self, account: str, until: float) -> None:
        """Note that an account was told not to come before a time of the loop's clock."""
        self._waits[account] = until

    def note(self, account: str, now: float) -> None:
        """Note that a request of an account came."""
        if now < self._waits.get(account, 0.0):
            self.impatient[account] += 1

    def share(self) -> float:
        """Return a number from 0 to 1 for whoever has to choose how much of something happens."""
        return self._random.random()


def _meant(pull: Pull, lever: Lever, on: str, account: str | None) -> bool:
    return pull.lever is lever and on in pull.on and pull.account in {None, account}
