"""What events make of one bot: its row, its run, its controllers, its lines, and samples of its performance."""

from datetime import datetime
from operator import attrgetter

from domain.bots import (
    BotArchived,
    BotCleared,
    BotDeployed,
    BotFailed,
    BotLogged,
    BotLost,
    BotReturned,
    BotRunDeleted,
    BotStarted,
    BotStopped,
    BotStopRequested,
    BotWoundDown,
    ControllerReported,
)
from domain.events import Event, Recorded
from projections.bots.rows import (
    ERROR,
    LINES,
    BotRow,
    ControllerRow,
    LineRow,
    NewestRow,
    PerformanceRow,
    RunRow,
    appended,
    array,
    coarsest,
    line,
    newest,
    performance_on_the_wire,
    report,
    run_of,
    status_on_the_wire,
)
from projections.view import text

NOT_FLAT = "The bot did not say in time that it is flat: look for open orders of it"
"""What a run says whose bot was ended all the same."""
NOT_PUT_AWAY = "Not put away so far: "
"""What a run says behind how it ended, and before the reason, while a step of its archive fails."""


class Story:
    """What a batch tells of one bot: its rows as they were, changed event by event."""

    def __init__(self, bot: BotRow) -> None:
        """Begin with the bot's row; what else its events need is put beside it."""
        self.bot = bot
        self.controllers: dict[str, ControllerRow] = {}
        self.runs: dict[int, RunRow] = {}
        self.newest = NewestRow(instance=bot.instance)
        self.kept: list[LineRow] = []  # what was logged before
        self.lines: list[LineRow] = []
        self.spoken: set[str] = set()  # controllers whose row has changed
        self.samples: list[PerformanceRow] = []

    @property
    def run(self) -> RunRow | None:
        """The run that goes on, None for a bot that was only heard."""
        return None if self.bot.run_id is None else self.runs.get(self.bot.run_id)

    def take(self, recorded: Recorded) -> None:
        """Take an event of the bot in."""
        bot = self.bot
        heard_at: datetime | None = getattr(recorded.event, "heard_at", None)
        if heard_at is not None:
            bot.heard_at = heard_at if bot.heard_at is None else max(bot.heard_at, heard_at)
        match recorded.event:
            case ControllerReported() as event:
                self._report(recorded.position, event)
            case BotLogged() as event:
                self._log(event)
            case BotDeployed() as event:
                self.bot = BotRow(instance=bot.instance, position=recorded.position, run_id=recorded.position)
                self.newest = NewestRow(instance=bot.instance)
                self.runs[recorded.position] = run_of(recorded.position, event)
                self._silence()
            case event:
                self._live(event)
        self.bot.changed = recorded.position

    def _report(self, position: int, event: ControllerReported) -> None:
        name = text(event.controller)
        row = self.controllers.get(name)
        if row is None:
            row = self.controllers[name] = ControllerRow(
                instance=self.bot.instance, controller=name, position=position, heard_at=event.heard_at
            )
        self.spoken.add(name)
        row.heard_at = event.heard_at
        said = report(event)
        if said is None:
            row.state = "ended"
            return
        row.state, row.report, row.reported_at = "running", said, event.heard_at
        coarse = coarsest(event.heard_at, row.sampled_at)
        if coarse is not None:
            row.sampled_at = event.heard_at
            self.samples.append(
                PerformanceRow(
                    position=position,
                    instance=self.bot.instance,
                    controller=name,
                    heard_at=event.heard_at,
                    coarsest=coarse,
                    report=said,
                )
            )

    def _log(self, event: BotLogged) -> None:
        bot, wire, is_error = self.bot, line(event), event.level >= ERROR
        if is_error:
            number, bot.errors = bot.errors, bot.errors + 1
            self.newest.errors = appended(self.newest.errors, wire)
        else:
            number, bot.lines = bot.lines, bot.lines + 1
            self.newest.lines = appended(self.newest.lines, wire)
        self.lines.append(
            LineRow(instance=bot.instance, is_error=is_error, slot=number % LINES, number=number, wire=wire)
        )

    def _live(self, event: Event) -> None:
        bot, run = self.bot, self.run
        match event:
            case BotStarted():
                bot.started = bot.runs = True
                bot.flat = bot.lost = False
                bot.stopping = bot.archiving  # which is still wanted, and everything before it again
                self._silence()
                if run is not None:
                    run.run_status, run.stopped_at, run.error_message, run.final_status = "RUNNING", None, None, None
            case BotFailed(reason=reason):
                if run is not None:
                    self._fail(run, text(reason))
            case BotArchived():
                if run is not None:
                    run.deployment_status, run.error_message = "ARCHIVED", _how_it_ended(run)
            case BotCleared():
                bot.cleared = True
                bot.runs = bot.stopping = bot.archiving = bot.lost = False
                if run is not None and run.deployment_status == "ARCHIVED":
                    run.error_message = _how_it_ended(run)
            case BotRunDeleted():
                if run is not None:
                    run.deleted = True
            case BotLost() | BotReturned():
                bot.lost = isinstance(event, BotLost)
            case _:
                self._stop(event)

    def _stop(self, event: Event) -> None:
        bot = self.bot
        match event:
            case BotStopRequested(archive=archive):
                heard_only = bot.run_id is None
                bot.archiving = archive is not None
                bot.flat = bot.flat and not heard_only  # nobody knows of such a one whether it was started since
                # What has ended already, and is not put away, has nothing left to end.
                bot.stopping = bot.archiving or heard_only or (bot.runs and not bot.flat)
            case BotWoundDown(by_itself=by_itself, wound_down_at=at):
                bot.stopping, bot.flat = bot.archiving, True
                if by_itself:
                    self._end(at)
                elif self.run is not None:
                    self.run.error_message = NOT_FLAT
            case BotStopped(stopped_at=at, exit_code=exit_code, asked_for=asked_for):
                if self._end(at) and self.run is not None and not asked_for and exit_code:
                    self.run.run_status = "ERROR"
                    self.run.error_message = f"The bot ended with exit code {exit_code}, and nobody had stopped it"
                bot.runs, bot.lost, bot.stopping = False, False, bot.archiving
                self._silence()
            case _:
                pass

    def _fail(self, run: RunRow, reason: str) -> None:
        if self.bot.archiving:
            ended = _how_it_ended(run)
            run.error_message = (f"{ended}\n" if ended else "") + NOT_PUT_AWAY + reason
        else:
            run.run_status, run.error_message = "ERROR", reason
        if not self.bot.started:
            run.deployment_status = "FAILED"

    def _end(self, at: datetime) -> bool:
        """Let the run end; False where it had ended already, or had not begun."""
        bot, run = self.bot, self.run
        if run is None or run.stopped_at is not None or not bot.started:
            return False
        run.run_status, run.stopped_at = "STOPPED", at
        lines = sorted(newest([*self.kept, *self.lines]), key=attrgetter("number"))
        run.final_status = status_on_the_wire(
            "stopped",
            performance=performance_on_the_wire(
                (
                    (row.controller, row.report)
                    for row in sorted(self.controllers.values(), key=attrgetter("position"))
                    if row.report is not None and row.state != "silent"
                ),
                "stopped",
            ),
            errors=array(row.wire for row in lines if row.is_error and row.number < bot.errors),
            lines=array(row.wire for row in lines if not row.is_error and row.number < bot.lines),
            heard=bot.heard_at is not None and not bot.lost,
        )
        return True

    def _silence(self) -> None:
        """Take what the controllers said for what an earlier start of the bot said."""
        for row in self.controllers.values():
            row.state = "silent"
        self.spoken |= set(self.controllers)


def _how_it_ended(run: RunRow) -> str | None:
    """Return what a run says of its end, without why it could not be put away."""
    return (run.error_message or "").partition(NOT_PUT_AWAY)[0].rstrip("\n") or None
