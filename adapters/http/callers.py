"""Remember what each caller has committed, so that its next read can show it."""

from collections import OrderedDict

CALLERS = 10_000


class Committed:
    """The position of the last event that each caller committed through this process.

    Only the callers seen last are kept: one that was forgotten reads like one that has written nothing.
    """

    def __init__(self) -> None:
        self._positions: OrderedDict[str, int] = OrderedDict()

    def note(self, caller: str, position: int) -> None:
        """Note that a caller's write was committed at `position`; an older one changes nothing."""
        positions = self._positions
        if position > positions.get(caller, 0):
            positions[caller] = position
            positions.move_to_end(caller)
            if len(positions) > CALLERS:
                positions.popitem(last=False)

    def last(self, caller: str) -> int:
        """Return the position of a caller's last write, 0 if none is known."""
        return self._positions.get(caller, 0)
