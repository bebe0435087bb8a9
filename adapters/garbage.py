"""Have Python look for garbage less often than it does by itself."""

import gc

_NEW_OBJECTS = 10_000
_YOUNG_ROUNDS = 20
_OLD_ROUNDS = 50


def collect_by_hand() -> None:
    """Look for garbage only when somebody calls `gc.collect`, at a better moment than after so many new objects."""
    gc.freeze()
    gc.disable()


def collect_rarely() -> None:
    """Keep the collector from what was made so far, and let it look at new objects in larger lots.

    Call it once, when the parts are loaded. Nearly all that a request makes is freed when its last reference goes;
    only cycles need the collector. By default it looks for them each 700 new objects, several times in a batch of
    requests, and now and then at every object there is: a fifth of the processor time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _YOUNG_ROUNDS, _OLD_ROUNDS)
