"""Who is missed, and who comes back."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.bots import NEW, BotLost, BotReturned, BotStarted, BotStopped, evolve
from domain.bots.hearing import hear, lose
from tests.domain.given import Given

T0 = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE = timedelta(seconds=30)
LATER = T0 + timedelta(seconds=100)
STARTED = BotStarted(instance="x", runtime_id="1", started_at=T0)
STOPPED = BotStopped(instance="x", exit_code=0, stopped_at=T0)
LOST = BotLost(instance="x", last_heard_at=T0, lost_at=LATER)
RETURNED = BotReturned(instance="x", returned_at=LATER)


def given(*events):
    return Given(NEW, evolve, events)


def missed(bot, silent_since=LATER - PATIENCE):
    return lose(bot, instance="x", last_heard_at=T0, silent_since=silent_since, patience=PATIENCE, at=LATER)


def heard(bot):
    return hear(bot, instance="x", at=LATER)


@pytest.mark.parametrize("history", [(STARTED,), (RETURNED,), (LOST, RETURNED)], ids=["runs", "was heard", "came back"])
def test_a_bot_that_should_be_there_is_lost_when_it_is_silent_for_long(history):
    given(*history).when(missed).then(LOST)


def test_a_bot_that_is_silent_for_less_is_not_lost():
    given(STARTED).when(lambda bot: missed(bot, LATER - PATIENCE + timedelta(microseconds=1))).then()


@pytest.mark.parametrize("history", [(), (STARTED, STOPPED), (STARTED, LOST)], ids=["nobody", "stopped", "lost before"])
def test_a_bot_that_nobody_expects_is_not_lost(history):
    given(*history).when(missed).then()


@pytest.mark.parametrize("history", [(), (STARTED, LOST)], ids=["nobody knew it", "was lost"])
def test_a_bot_that_is_heard_returns(history):
    given(*history).when(heard).then(RETURNED)


def test_a_bot_that_was_there_all_the_time_does_not_return():
    given(RETURNED).when(heard).then()
