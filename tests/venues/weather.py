"""What goes wrong in a storm, and how often: a function of the seed."""

import random
from collections.abc import Iterator

from tests.venues.levers import Lever, Pull

_REQUESTS = frozenset({"place", "cancel", "order", "orders", "trades", "balances", "positions", "settings"})
_ASKED_OFTEN = frozenset({"place", "cancel", "order"})
_STREAM = frozenset({"stream"})


def weather(seed: int) -> Iterator[tuple[Pull, float]]:
    """Yield pulls with the probability of each at every occasion, a few in a hundred and no two seeds alike.

    What lies about lies for less than the venue's window for a request's time (10 s): later it would be refused.
    """
    pick = random.Random(seed)

    def chance(most: float) -> float:
        return round(pick.uniform(0.2, 1) * most, 4)

    for lever in (Lever.LOSE_RESPONSE, Lever.FAIL_AFTER, Lever.FAIL_BEFORE):
        yield Pull(lever=lever, on=frozenset({"place"}), status=pick.choice([500, 502, 503, 504])), chance(0.05)
        yield Pull(lever=lever, on=frozenset({"cancel"}), status=503), chance(0.1)
        yield Pull(lever=lever, on=_REQUESTS - {"place", "cancel"}, status=503), chance(0.04)
    yield Pull(lever=Lever.ANSWER_LATE, on=_ASKED_OFTEN, seconds=round(pick.uniform(0.2, 1.5), 2)), chance(0.04)
    yield Pull(lever=Lever.ANSWER_LATE, on=frozenset({"place"}), seconds=12), chance(0.006)
    yield Pull(lever=Lever.WORK_LATE, on=_ASKED_OFTEN, seconds=round(pick.uniform(0.2, 2), 2)), chance(0.04)
    yield Pull(lever=Lever.WORK_LATE, on=frozenset({"place"}), seconds=8), chance(0.01)
    yield Pull(lever=Lever.LIMIT_RATE, on=_REQUESTS, status=429, seconds=1), chance(0.002)
    yield Pull(lever=Lever.LIMIT_RATE, on=_REQUESTS, status=418, seconds=1), chance(0.0005)
    for code, words, most in (
        (-2010, "Account has insufficient balance for requested action.", 0.02),
        (-1013, "Filter failure: LOT_SIZE", 0.01),
        (-1021, "Timestamp for this request is outside of the recvWindow.", 0.01),
    ):
        yield Pull(lever=Lever.REJECT, on=frozenset({"place"}), code=code, message=words), chance(most)
    yield Pull(lever=Lever.FILL_UNDER_CANCEL, on=frozenset({"cancel"})), chance(0.4)
    yield Pull(lever=Lever.DROP_STREAM, on=_STREAM), chance(0.01)
    yield Pull(lever=Lever.SILENCE_STREAM, on=_STREAM, seconds=round(pick.uniform(0.5, 3), 2)), chance(0.01)
    yield Pull(lever=Lever.REPEAT_MESSAGE, on=_STREAM), chance(0.1)
    yield Pull(lever=Lever.REORDER_MESSAGES, on=_STREAM), chance(0.1)
    yield Pull(lever=Lever.EXPIRE_LISTEN_KEY, on=_STREAM), chance(0.004)
