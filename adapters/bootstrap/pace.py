"""How fast archives are taken in: never much faster than the views show what was."""

from collections import deque
from collections.abc import Sequence

from commands.ports import Log
from projections.runner import Progress

_AHEAD = 64
"""Two seconds of the views' work at most: to wait for each batch would make an import half as long again."""
_PATIENCE_SECONDS = 5.0
"""Longer than views are behind for any reason but one that a wait does not mend."""


class Pace:
    """Waits until all views have seen what was in the log a few batches ago.

    A batch is a thousand rows, and views take them in the order of the log: behind hundreds of them an order that is
    placed meanwhile would not be shown for as many seconds as they take.
    """

    def __init__(self, log: Log, progress: Progress, views: Sequence[str]) -> None:
        self._log = log
        self._progress = progress
        self._views = views
        self._behind = deque[int]()

    async def __call__(self) -> None:
        """Wait, at most some seconds; called when a batch was appended."""
        self._behind.append(await self._log.position())
        if len(self._behind) > _AHEAD:
            await self._progress.reached(self._behind.popleft(), self._views, _PATIENCE_SECONDS)
