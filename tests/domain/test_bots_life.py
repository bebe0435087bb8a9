"""The life of a bot: steps, crashes and repeats in any order."""

from typing import Any

import hypothesis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain import catalog
from domain.bots import (
    LIFE_EVENTS,
    NEW,
    ArchivePlace,
    BotArchived,
    BotCleared,
    BotStarted,
    BotStopped,
    Step,
    deciding,
    evolve,
    next_step,
)
from domain.errors import DomainError
from domain.events import Event
from tests.domain.test_bots import (
    ARCHIVED,
    AWAY,
    BUCKET,
    CLEARED,
    CRASHED,
    DELETED,
    DEPLOYED,
    FAILED,
    FLAT,
    HERE,
    LOST,
    NAME,
    PLACE,
    PREPARED,
    RETURNED,
    START,
    STARTED,
    STOP,
    STOPPED,
    T0,
    TOLD,
    WANTED,
    delete,
    given,
    start,
    stop,
)

FACTS = [DEPLOYED, PREPARED, STARTED, FAILED, START, STOP, AWAY, TOLD, FLAT, STOPPED, CRASHED, ARCHIVED, CLEARED]
FACTS += [DELETED, LOST, RETURNED]


def test_every_event_of_a_life_is_among_the_facts():
    assert {type(fact) for fact in FACTS} == set(LIFE_EVENTS)


@settings(max_examples=300, deadline=None)
@hypothesis.given(st.lists(st.sampled_from(FACTS), max_size=12))
def test_facts_are_taken_in_whatever_their_order(facts):
    bot = given(*facts).state
    assert next_step(bot) is None or bot.known


class BotLife(RuleBasedStateMachine):
    """Steps are done outside and noted afterwards, or not noted because we died; whatever happens may happen twice."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Event] = []
        self.bot = NEW
        self.runs = False  # whether the container does, outside
        self.exists = False
        self.files = False

    def note(self, events: list[Event]) -> None:
        for event in events:
            type_ = catalog.type_of(event)
            stored = catalog.decode(type_, event.schema_version, catalog.encode(event))
            assert stored == event
            self.history.append(event)
            self.bot = evolve(self.bot, event)

    def want(self, decision: Any, **values: Any) -> None:
        try:
            events = decision(self.bot, **values)
        except DomainError:
            return
        self.note(events)

    @initialize()
    def wanted(self) -> None:
        self.note(deciding.deploy(self.bot, **WANTED))

    @rule()
    def start(self) -> None:
        self.want(start)

    @rule(archive=st.sampled_from([None, HERE, BUCKET]))
    def stop(self, archive: ArchivePlace | None) -> None:
        self.want(stop, archive=archive)

    @rule()
    def delete(self) -> None:
        self.want(delete)

    @rule()
    def crash_of_the_bot(self) -> None:
        self.runs = False

    @rule()
    def start_by_hand(self) -> None:
        self.runs = self.exists

    @rule()
    def look(self) -> None:
        if self.runs:
            self.note(deciding.observed_running(self.bot, instance=NAME, runtime=PLACE, runtime_id="c1", at=T0))
        else:
            self.note(deciding.observed_exit(self.bot, instance=NAME, exit_code=None, at=T0))

    @rule(heard=st.booleans())
    def hear(self, heard: bool) -> None:
        self.note([RETURNED if heard else LOST])

    @rule(noted=st.booleans(), refused=st.booleans(), late=st.booleans())
    def step(self, noted: bool, refused: bool, late: bool) -> None:
        """Do the next step; `noted` False is a death between the deed and its event, `late` a fact that comes first."""
        step = next_step(self.bot)
        now: dict[str, Any] = {"instance": NAME, "at": T0}
        before = self.bot
        match step:
            case Step.PREPARE:
                self.files = True
                events = (
                    deciding.failed(before, reason="no disk", **now)
                    if refused
                    else deciding.prepared(before, runtime=PLACE, **now)
                )
            case Step.START:
                if refused:
                    events = deciding.failed(before, reason="no image", **now)
                else:
                    self.runs = self.exists = True
                    events = deciding.started(before, runtime=PLACE, runtime_id="c1", **now)
            case Step.UNDO | Step.CLEAR:
                self.runs = self.exists = self.files = False
                events = deciding.cleared(before, **now)
            case Step.TELL:
                events = deciding.told(before, status=None if refused else 200, message="", again=False, **now)
            case Step.WIND_DOWN:
                events = deciding.wound_down(before, by_itself=not refused, **now)
            case Step.STOP:
                self.runs = False
                events = deciding.stopped(before, exit_code=0, **now)
            case Step.ARCHIVE:
                if refused:
                    events = deciding.failed(before, reason="disk full", **now)
                else:
                    assert not any(isinstance(event, BotArchived) for event in self.history)
                    events = deciding.archived(before, location="archived/x", **now)
            case None:
                return
        if late:
            self.look()
        if noted:
            self.note(events)

    @invariant()
    def it_is_archived_once(self) -> None:
        assert sum(isinstance(event, BotArchived) for event in self.history) <= 1

    @invariant()
    def no_two_starts_without_a_stop_between(self) -> None:
        running = False
        for event in self.history:
            if isinstance(event, BotStarted):
                assert not running
            running = isinstance(event, BotStarted) or (running and not isinstance(event, BotStopped | BotCleared))

    @invariant()
    def a_cleared_bot_never_runs(self) -> None:
        cleared = [at for at, event in enumerate(self.history) if isinstance(event, BotCleared)]
        assert len(cleared) <= 1
        if cleared:
            assert not self.bot.runs
            assert not any(isinstance(event, BotStarted) for event in self.history[cleared[0] :])
            assert next_step(self.bot) is None

    @invariant()
    def what_is_left_to_do_comes_to_an_end(self) -> None:
        """With nothing going wrong any more, a handful of steps leads from anywhere to where nothing is to be done."""
        history, bot, outside = list(self.history), self.bot, (self.runs, self.exists, self.files)
        for _ in range(10):
            if next_step(self.bot) is None:
                break
            self.step(noted=True, refused=False, late=False)
        assert next_step(self.bot) is None
        if self.bot.cleared:
            assert (self.runs, self.exists, self.files) == (False, False, False)
        self.history, self.bot, (self.runs, self.exists, self.files) = history, bot, outside


TestBotLife = BotLife.TestCase
TestBotLife.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
