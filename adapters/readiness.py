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
        building = _built(self._progress)
        if not self.started:
            return f"{self._waits_for}. {building}" if building else self._waits_for
        try:
            position = await self._log.position()
        except Unavailable as reason:
            return _public(reason)
        if self._progress.failures:
            return f"Views have stopped: {', '.join(map(self._stopped, self._progress.failures))}"
        if building:
            return building
        lag = await self._progress.reached(position, self._progress.views, 1)
        return f"Views are {lag} events behind" if lag else None

    def _stopped(self, view: str) -> str:
        at = self._progress.stuck_at.get(view)
        return view if at is None else f"{view} at event {at}"


def _built(progress: Progress) -> str | None:
    if not progress.building:
        return None
    slowest = min(progress.building.values(), key=lambda at: at.position)
    left = "" if slowest.seconds_left is None else f", about {slowest.seconds_left} seconds are left"
    names = ", ".join(progress.building)
    return f"Views are being built: {names}, {slowest.position} of {slowest.of} events are in them{left}"


def _public(reason: Unavailable) -> str:
    return reason.message.partition(": ")[0]
