"""Whether the server can do its work, as `/ready` says it."""

from commands.ports import Log
from domain.errors import Unavailable
from projections.runner import Progress


class Readiness:
    """Whether commands and queries work.

    Anybody may ask: of a message only what stands before its colon is said, of a failure only where; the log lines have
    the rest.
    """

    def __init__(self, log: Log, progress: Progress) -> None:
        self._log = log
        self._progress = progress
        self.started = False
        self._waits_for = "Starting"

    def wait_for(self, what: str) -> None:
        """Say what the start waits for."""
        self._waits_for = what

    def wait_because(self, reason: Unavailable) -> None:
        """Say why the start has to wait."""
        self._waits_for = f"Starting: {_public(reason)}"

    async def __call__(self) -> str | None:
        """Return why they do not work now, None when they do."""
        if not self.started:
            return self._waits_for
        try:
            position = await self._log.position()
        except Unavailable as reason:
            return _public(reason)
        if self._progress.failures:
            return f"Views have stopped: {', '.join(self._progress.failures)}"
        lag = await self._progress.reached(position, self._progress.views, 1)
        return f"Views are {lag} events behind" if lag else None


def _public(reason: Unavailable) -> str:
    return reason.message.partition(": ")[0]
