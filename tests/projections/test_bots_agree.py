"""The view of bots and the decisions about them agree on how a bot is, whatever happened to it."""

from uuid import UUID

import hypothesis
from hypothesis import settings
from hypothesis import strategies as st

from domain import bots
from domain.bots import NEW, Bot
from domain.events import Event, Recorded
from projections.bots.rows import BotRow
from projections.bots.stories import Story
from tests.domain.test_bots import (
    AWAY,
    CLEARED,
    DEPLOYED,
    FLAT,
    LOST,
    NAME,
    RETURNED,
    RUNNING,
    STARTED,
    STOP,
    STOPPED,
    T0,
    TOLD,
)
from tests.domain.test_bots_life import FACTS


def recorded(position: int, event: Event) -> Recorded:
    """Return an event as the log gives it."""
    return Recorded(
        position=position,
        stream=bots.stream_of(NAME),
        version=position,
        type=type(event).__name__,
        schema_version=1,
        event=event,
        correlation_id=UUID(int=0),
        causation_id=None,
        command_id=UUID(int=0),
        actor="admin",
        recorded_at=T0,
    )


def stops(bot: Bot) -> bool:
    """Whether a stop is under way: what has ended, and is not put away, has nothing left to end."""
    if bot.stopping is None:
        return False
    ends = bot.wound_down is None and (bot.runs or bot.deployed is None)
    return bot.archiving or ends


def history(first: Event, *rest: Event) -> st.SearchStrategy[list[Event]]:
    """Return histories that begin with one event."""
    return st.lists(st.sampled_from(rest), max_size=12).map(lambda events: [first, *events])


@settings(max_examples=200, deadline=None)
@hypothesis.given(history(DEPLOYED, *FACTS) | history(RETURNED, RETURNED, LOST, STOP, TOLD, FLAT))
@hypothesis.example([*RUNNING, AWAY, TOLD, FLAT, STOPPED, STARTED])  # by hand, in the middle of its archive
@hypothesis.example([*RUNNING, AWAY, TOLD, FLAT, STOPPED, LOST, CLEARED])
def test_a_bot_is_shown_as_it_is_decided_on(facts):
    story, bot = Story(BotRow(instance=NAME, position=1)), NEW
    for position, fact in enumerate(facts, start=1):
        story.take(recorded(position, fact))
        bot = bots.evolve(bot, fact)
        shown = story.bot
        assert (shown.runs, shown.archiving, shown.lost, shown.cleared, shown.flat, shown.stopping) == (
            bot.runs,
            bot.archiving,
            bot.lost,
            bot.cleared,
            bot.wound_down is not None,
            stops(bot),
        )
