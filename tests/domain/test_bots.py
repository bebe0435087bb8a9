"""What may become of a bot: decisions, given-when-then."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import pytest

from domain.accounts import AccountAdded
from domain.bots import (
    NEW,
    ArchivePlace,
    Bot,
    BotArchived,
    BotCleared,
    BotDeployed,
    BotFailed,
    BotLost,
    BotPrepared,
    BotReturned,
    BotRunDeleted,
    BotStarted,
    BotStartRequested,
    BotStopped,
    BotStopRequested,
    BotStopTold,
    BotWoundDown,
    Here,
    Step,
    deciding,
    evolve,
    next_step,
)
from domain.errors import Conflict, Invalid, NotFound
from domain.events import Event
from tests.domain.given import Given

T0 = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
NAME = "grid-20260301-123000"
WANTED: dict[str, Any] = {
    "name": "grid",
    "account": "main",
    "image": "hummingbot/hummingbot:latest",
    "strategy_type": "controller",
    "strategy_name": "v2_with_controllers",
    "script_config": f"{NAME}.yml",
    "configs": {f"scripts/{NAME}.yml": "script_file_name: v2_with_controllers.py\n"},
    "headless": True,
    "request": {"instance_name": NAME},
    "at": T0,
}
HERE, BUCKET = ArchivePlace(), ArchivePlace(bucket="attic")
DEPLOYED = deciding.deploy(NEW, **WANTED)[0]
PREPARED = BotPrepared(instance=NAME, prepared_at=T0)
PLACE = "docker:6f1c"
STARTED = BotStarted(instance=NAME, runtime=PLACE, runtime_id="c1", started_at=T0)
FAILED = BotFailed(instance=NAME, reason="no image", failed_at=T0)
START = BotStartRequested(instance=NAME, requested_at=T0)
STOP = BotStopRequested(instance=NAME, requested_at=T0)
AWAY = BotStopRequested(instance=NAME, archive=HERE, requested_at=T0)
TOLD = BotStopTold(instance=NAME, status=200, told_at=T0)
FLAT = BotWoundDown(instance=NAME, by_itself=True, wound_down_at=T0)
STOPPED = BotStopped(instance=NAME, exit_code=0, stopped_at=T0)
CRASHED = BotStopped(instance=NAME, exit_code=1, asked_for=False, stopped_at=T0)
ARCHIVED = BotArchived(instance=NAME, location=f"archived/{NAME}", archived_at=T0)
CLEARED = BotCleared(instance=NAME, cleared_at=T0)
DELETED = BotRunDeleted(instance=NAME)
LOST = BotLost(instance=NAME, last_heard_at=T0, lost_at=T0)
RETURNED = BotReturned(instance=NAME, returned_at=T0)
RUNNING = (DEPLOYED, PREPARED, STARTED)


def here(*gone: str, runtime: str = PLACE) -> Here:
    return Here(runtime=runtime, gone=frozenset(gone))


def given(*events: Event) -> Given[Bot]:
    return Given(NEW, evolve, events)


def stop(bot: Bot, archive: ArchivePlace | None = None) -> list[Event]:
    return deciding.request_stop(
        bot, instance=NAME, skip_order_cancellation=False, archive=archive, at_once=False, here=here(), at=T0
    )


def put_away(bot: Bot) -> list[Event]:
    return stop(bot, HERE)


def start(bot: Bot) -> list[Event]:
    return deciding.request_start(bot, instance=NAME, here=here(), at=T0)


def delete(bot: Bot) -> list[Event]:
    return deciding.delete_run(bot, run=7)


def test_an_instance_is_named_after_the_second_it_was_wanted_in():
    assert isinstance(DEPLOYED, BotDeployed)
    assert DEPLOYED.instance == NAME
    east = datetime(2026, 3, 1, 17, 30, tzinfo=UTC) - timedelta(hours=5)
    assert deciding.instance_name("grid", east) == NAME


@pytest.mark.parametrize("name", ["", "../evil", "a b", "a.b", "x" * 48, "grid\n"])
def test_a_bad_name_is_refused(name):
    given().when(lambda bot: deciding.deploy(bot, **{**WANTED, "name": name})).then_refused(
        Invalid, "Invalid instance name"
    )


@pytest.mark.parametrize(
    "events", [(DEPLOYED,), (DEPLOYED, FAILED, CLEARED), (RETURNED,)], ids=["made", "failed", "heard"]
)
def test_a_name_that_was_used_is_taken(events):
    given(*events).when(lambda bot: deciding.deploy(bot, **WANTED)).then_refused(Conflict, f"'{NAME}' is taken")


@pytest.mark.parametrize(
    ("events", "step"),
    [
        ((), None),
        ((RETURNED,), None),
        ((DEPLOYED,), Step.PREPARE),
        ((DEPLOYED, PREPARED), Step.START),
        (RUNNING, None),
        ((DEPLOYED, FAILED), Step.UNDO),
        ((DEPLOYED, FAILED, CLEARED), None),
        ((*RUNNING, STOP), Step.TELL),
        ((*RUNNING, STOP, TOLD), Step.WIND_DOWN),
        ((*RUNNING, STOP, TOLD, FLAT), None),
        ((*RUNNING, STOP, STOPPED), None),
        ((*RUNNING, STOP, TOLD, FLAT, START), Step.STOP),
        ((*RUNNING, STOP, TOLD, FLAT, START, STOPPED), Step.START),
        ((*RUNNING, STOP, TOLD, FLAT, START, STOPPED, STARTED), None),
        ((*RUNNING, STOP, TOLD, FLAT, START, FAILED), None),
        ((*RUNNING, CRASHED, START), Step.START),
        ((*RUNNING, CRASHED, START, FAILED), None),
        ((*RUNNING, STOP, TOLD, FLAT, AWAY), Step.STOP),
        ((*RUNNING, AWAY), Step.TELL),
        ((*RUNNING, AWAY, TOLD, FLAT), Step.STOP),
        ((*RUNNING, AWAY, TOLD, FLAT, STOPPED), Step.ARCHIVE),
        ((*RUNNING, AWAY, TOLD, FLAT, STOPPED, FAILED), Step.ARCHIVE),
        ((*RUNNING, AWAY, TOLD, FLAT, STOPPED, ARCHIVED), Step.CLEAR),
        ((*RUNNING, AWAY, TOLD, FLAT, STOPPED, ARCHIVED, CLEARED), None),
        ((*RUNNING, CRASHED, AWAY), Step.ARCHIVE),
        ((*RUNNING, AWAY, TOLD, FLAT, STOPPED, STARTED), Step.TELL),
        ((RETURNED, STOP), Step.TELL),
        ((RETURNED, STOP, TOLD, FLAT), None),
        ((RETURNED, STOP, TOLD, FLAT, STOP), Step.TELL),
    ],
    ids=lambda value: "-".join(type(event).__name__ for event in value[3:]) if isinstance(value, tuple) else str(value),
)
def test_the_next_step_follows_from_what_is_recorded(events, step):
    assert next_step(given(*events).state) is step


def test_a_bot_that_runs_is_stopped_once():
    given(*RUNNING).when(stop).then(STOP)
    given(*RUNNING, STOP).when(stop).then()
    given(*RUNNING, STOP, TOLD, FLAT).when(stop).then()
    given(*RUNNING, CRASHED).when(stop).then()


def test_a_bot_that_is_stopping_or_stopped_can_be_put_away_once():
    for before in (RUNNING, (*RUNNING, STOP), (*RUNNING, STOP, TOLD, FLAT), (*RUNNING, CRASHED)):
        given(*before).when(put_away).then(AWAY)
        given(*before, AWAY).when(put_away).then()
        given(*before, AWAY).when(stop).then()


def test_an_archive_may_go_elsewhere_until_it_is_taken():
    elsewhere = BotStopRequested(instance=NAME, archive=BUCKET, requested_at=T0)
    given(*RUNNING, AWAY, TOLD, FLAT, STOPPED, FAILED).when(lambda bot: stop(bot, BUCKET)).then(elsewhere)
    given(*RUNNING, AWAY, TOLD, FLAT, STOPPED, ARCHIVED).when(lambda bot: stop(bot, BUCKET)).then()
    assert next_step(given(*RUNNING, AWAY, TOLD, FLAT, STOPPED, FAILED, elsewhere).state) is Step.ARCHIVE


def test_a_bot_that_was_only_heard_can_be_stopped_and_no_more():
    given(RETURNED).when(stop).then(STOP)
    given(RETURNED, STOP).when(stop).then()
    given(RETURNED, STOP, TOLD, FLAT).when(stop).then(STOP)
    given(RETURNED).when(put_away).then_refused(Invalid, "not deployed by this server")
    given(RETURNED).when(start).then_refused(Invalid, "not deployed by this server")


def test_nobody_stops_or_starts_what_is_not_there():
    for want in (stop, put_away, start):
        given().when(want).then_refused(NotFound, f"Bot {NAME} not found")
        given(DEPLOYED, FAILED).when(want).then_refused(Invalid, "failed to deploy: no image")
        given(DEPLOYED, FAILED, CLEARED).when(want).then_refused(Invalid, "failed to deploy: no image")
        given(*RUNNING, AWAY, TOLD, FLAT, STOPPED, ARCHIVED, CLEARED).when(want).then_refused(Invalid, "is archived")


def test_a_bot_that_does_not_run_yet_is_not_stopped():
    for want in (stop, put_away):
        given(DEPLOYED).when(want).then_refused(Invalid, "is still starting")
        given(*RUNNING, CRASHED, START).when(want).then_refused(Invalid, "is still starting")


def test_a_bot_that_has_stopped_or_crashed_is_started_again():
    given(*RUNNING, STOP, TOLD, FLAT).when(start).then(START)
    given(*RUNNING, CRASHED).when(start).then(START)
    given(*RUNNING, CRASHED, START, FAILED).when(start).then(START)
    given(*RUNNING, STOP, TOLD, FLAT, START, FAILED).when(start).then(START)


@pytest.mark.parametrize("events", [RUNNING, (DEPLOYED,), (*RUNNING, CRASHED, START)], ids=["runs", "new", "starts"])
def test_a_bot_that_runs_or_is_about_to_is_not_started_again(events):
    given(*events).when(start).then()


def test_a_bot_that_is_stopping_is_not_started():
    given(*RUNNING, STOP, TOLD).when(start).then_refused(Invalid, "is still stopping")
    given(*RUNNING, AWAY, TOLD, FLAT).when(start).then_refused(Invalid, "is being archived")


def test_a_run_is_deleted_once_and_only_when_it_is_over():
    given(*RUNNING, CRASHED).when(delete).then(DELETED)
    given(DEPLOYED, FAILED, CLEARED).when(delete).then(DELETED)
    given(*RUNNING, CRASHED, DELETED).when(delete).then_refused(NotFound, "Bot run 7 not found")
    given(RETURNED).when(delete).then_refused(NotFound, "Bot run 7 not found")
    for before in (RUNNING, (DEPLOYED,), (DEPLOYED, FAILED), (*RUNNING, AWAY, TOLD, FLAT, STOPPED)):
        given(*before).when(delete).then_refused(Invalid, "Bot run 7 is not over")


def test_only_an_answer_after_the_end_is_a_sign_of_it():
    def flat(*events: Event) -> bool:
        return deciding.says_it_is_flat(given(*RUNNING, *events).state)

    assert flat(AWAY, TOLD)
    assert not flat(AWAY)
    assert flat(AWAY, BotStopTold(instance=NAME, status=200, again=True, told_at=T0))
    assert not flat(AWAY, BotStopTold(instance=NAME, status=400, message="timed out", told_at=T0))
    assert not flat(BotStopRequested(instance=NAME, at_once=True, requested_at=T0), TOLD)


def test_what_is_found_outside_is_recorded_where_it_is_news():
    def exited(bot: Bot) -> list[Event]:
        return deciding.observed_exit(bot, instance=NAME, exit_code=1, at=T0)

    def running(bot: Bot) -> list[Event]:
        return deciding.observed_running(bot, instance=NAME, runtime=PLACE, runtime_id="c1", at=T0)

    given(*RUNNING).when(exited).then(CRASHED)
    given(*RUNNING, STOP).when(exited).then(BotStopped(instance=NAME, exit_code=1, stopped_at=T0))
    given(DEPLOYED, PREPARED).when(exited).then()
    given(*RUNNING, CRASHED).when(running).then(STARTED)
    given(*RUNNING, STOP, STOPPED).when(running).then(STARTED)
    for before in ((DEPLOYED, PREPARED), RUNNING, (DEPLOYED, FAILED), (*RUNNING, CRASHED, START)):
        given(*before).when(running).then()


def test_the_same_failure_again_is_no_news():
    def fail(bot: Bot) -> list[Event]:
        return deciding.failed(bot, instance=NAME, reason="no image", at=T0)

    given(DEPLOYED).when(fail).then(FAILED)
    given(DEPLOYED, FAILED).when(fail).then()


def test_a_bot_whose_files_are_gone_is_put_away_no_more():
    def without(kept):
        return lambda bot: deciding.without_files(bot, instance=NAME, reason="no image", kept=kept, at=T0)

    withdrawn = BotStopRequested(instance=NAME, requested_at=T0)
    given(*RUNNING, STOPPED, AWAY).when(without(kept=True)).then(FAILED, withdrawn)
    given(*RUNNING, STOPPED, AWAY).when(without(kept=False)).then(FAILED, CLEARED)
    given(*RUNNING, STOPPED, AWAY, ARCHIVED).when(without(kept=False)).then()
    assert next_step(given(*RUNNING, STOPPED, AWAY, FAILED, withdrawn).state) is None
    given(*RUNNING, STOPPED, AWAY, FAILED, withdrawn).when(lambda bot: stop(bot, HERE)).then(AWAY)
    with pytest.raises(Invalid, match=f"Bot {NAME} is gone: no image"):
        stop(given(*RUNNING, STOPPED, AWAY, FAILED, CLEARED).state, HERE)


@pytest.mark.parametrize(
    ("configs", "source", "named"),
    [
        ({"a.yml": "connector_name: binance_perpetual\n"}, "", ["binance_perpetual"]),
        ({"a.yml": "markets:\n  kucoin:\n  - BTC-USDT\n", "b.yml": "x: 'binance'"}, "", ["binance", "kucoin"]),
        ({"a.yml": "connector_name: binance_paper_trade\n"}, "", []),
        ({"a.yml": "id: a\n"}, "markets = {'kucoin': {'BTC-USDT'}}", []),
        ({}, "markets = {'kucoin': {'BTC-USDT'}}", ["kucoin"]),
        ({}, "", []),
    ],
    ids=["perpetual", "keys-and-values", "paper", "configs-go-first", "script", "nothing"],
)
def test_a_bot_gets_the_keys_that_its_configs_name(configs, source, named):
    assert deciding.connectors_named(["binance", "binance_perpetual", "kucoin"], configs, source) == named


def test_a_fact_of_another_area_changes_nothing():
    assert evolve(NEW, AccountAdded(account="a")) == NEW


def test_a_step_that_is_not_the_next_one_is_not_noted():
    running = reduce(evolve, RUNNING, NEW)
    assert deciding.started(running, instance=NAME, runtime=PLACE, runtime_id="c2", at=T0) == []
    assert deciding.told(running, instance=NAME, status=200, message="", again=False, at=T0) == []
    assert deciding.wound_down(running, instance=NAME, by_itself=True, at=T0) == []
    assert deciding.cleared(running, instance=NAME, at=T0) == []


def test_a_bot_of_another_runtime_is_neither_started_nor_put_away_here():
    def start_there(bot: Bot) -> list[Event]:
        return deciding.request_start(bot, instance=NAME, here=here(runtime="process"), at=T0)

    def put_away_there(bot: Bot, *gone: str) -> list[Event]:
        return deciding.request_stop(
            bot,
            instance=NAME,
            skip_order_cancellation=False,
            archive=HERE,
            at_once=False,
            here=here(*gone, runtime="process"),
            at=T0,
        )

    why = f"Bot {NAME} was started by the runtime '{PLACE}', and this server runs 'process'"
    for wish in (start_there, put_away_there):
        given(*RUNNING).when(wish).then_refused(Conflict, why)
        given(*RUNNING, STOPPED).when(wish).then_refused(Conflict, why)
    given(*RUNNING).when(lambda bot: put_away_there(bot, PLACE)).then(AWAY)
    before_it_was_noted = BotStarted(instance=NAME, runtime_id="c1", started_at=T0)
    given(DEPLOYED, PREPARED, before_it_was_noted).when(put_away_there).then(AWAY)
