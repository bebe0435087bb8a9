"""Bots: what became of each, what it says of itself, its newest log lines, and its performance over time."""

# ruff: noqa: S608 - queries are put together from constants of this package

from collections.abc import Sequence
from typing import Any, LiteralString, TypeVar

import msgspec

from domain.bots import (
    LIFE_EVENTS,
    UPDATE_EVENTS,
    BotDeployed,
    BotLogged,
    BotStarted,
    BotStopped,
    BotWoundDown,
    ControllerReported,
)
from domain.events import Event, Recorded
from projections.bots.rows import BotRow, ControllerRow, LineRow, NewestRow, RunRow, newest
from projections.bots.stories import Story
from projections.bots.tables import INDEXES, TABLES
from projections.view import Changes, View, text

__all__ = ["VIEW"]

Row = TypeVar("Row", bound=msgspec.Struct)

_ENDING = (BotWoundDown, BotStopped)
_BOT: LiteralString = (
    "instance, position, changed, run_id, started, runs, stopping, archiving, flat, lost, cleared, heard_at,"
    " lines, errors"
)
_RUN: LiteralString = (
    "id, instance, account, image, strategy_type, strategy_name, config_name, deployment_config, deployment_status,"
    " run_status, deployed_at, stopped_at, error_message, final_status, deleted"
)


async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
    """Take events into the tables: each bot's row, its run, its controllers, its newest lines, and samples."""
    stories = await _load(changes, events)
    for recorded in events:
        stories[_instance(recorded)].take(recorded)
    told = list(stories.values())
    await changes.put("bots", [story.bot for story in told], _BOT_CHANGED)
    if runs := [run for story in told for run in story.runs.values()]:
        await changes.put("bot_runs", runs, _RUN_CHANGED)
    if controllers := [story.controllers[name] for story in told for name in sorted(story.spoken)]:
        await changes.put("bot_controllers", controllers, _CONTROLLER_CHANGED)
    if logged := _names(events, (BotLogged, BotDeployed)):
        await changes.put("bot_newest", [stories[name].newest for name in logged], _NEWEST_CHANGED)
    if lines := newest([row for story in told for row in story.lines]):
        await changes.put("bot_lines", lines, _LINE_CHANGED)
    if samples := [sample for story in told for sample in story.samples]:
        await changes.add("bot_performance", samples)


def _instance(recorded: Recorded) -> str:
    instance: str = recorded.event.instance  # type: ignore[attr-defined] # every event of this view has one
    return text(instance)


# What never changes is left out: where a bot begins is set by a deployment, what a run was made with stays.
_BOT_CHANGED: LiteralString = (
    "on conflict (instance) do update set position = excluded.position, changed = excluded.changed,"
    " run_id = excluded.run_id, started = excluded.started, runs = excluded.runs, stopping = excluded.stopping,"
    " archiving = excluded.archiving, flat = excluded.flat, lost = excluded.lost, cleared = excluded.cleared,"
    " heard_at = excluded.heard_at, lines = excluded.lines, errors = excluded.errors"
)
_RUN_CHANGED: LiteralString = (
    "on conflict (id) do update set deployment_status = excluded.deployment_status, run_status = excluded.run_status,"
    " stopped_at = excluded.stopped_at, error_message = excluded.error_message, final_status = excluded.final_status,"
    " deleted = excluded.deleted"
)
_CONTROLLER_CHANGED: LiteralString = (
    "on conflict (instance, controller) do update set state = excluded.state, heard_at = excluded.heard_at,"
    " sampled_at = excluded.sampled_at, reported_at = excluded.reported_at,"
    " report = coalesce(excluded.report, bot_controllers.report)"
)
_NEWEST_CHANGED: LiteralString = "on conflict (instance) do update set lines = excluded.lines, errors = excluded.errors"
_LINE_CHANGED: LiteralString = (
    "on conflict (instance, is_error, slot) do update set number = excluded.number, wire = excluded.wire"
)


async def _load(changes: Changes, events: Sequence[Recorded]) -> dict[str, Story]:
    """Return the stories of the bots that events are of, as far as events of these types need their rows."""
    begun = {_instance(recorded): recorded.position for recorded in reversed(events)}
    stories = {name: Story(BotRow(instance=name, position=begun[name])) for name in sorted(begun)}
    names = list(stories)
    for row in await changes.rows(f"select {_BOT} from bots where instance = any(%s)", [names]):
        stories[row[0]].bot = _struct(BotRow, row)
    spoken = _names(events, (ControllerReported, BotDeployed, BotLogged, BotStarted, *_ENDING))
    if spoken:
        # The reports themselves only where one may be wanted: they are long, and seldom looked at here.
        found = await changes.rows(
            "select instance, controller, position, state, heard_at, sampled_at, reported_at,"
            " case when instance = any(%s) then report end from bot_controllers where instance = any(%s)",
            [_names(events, _ENDING), spoken],
        )
        for row in found:
            controller = _struct(ControllerRow, row)
            stories[controller.instance].controllers[controller.controller] = controller
    if logged := _names(events, (BotLogged,)):
        for row in await changes.rows(
            "select instance, lines, errors from bot_newest where instance = any(%s)", [logged]
        ):
            stories[row[0]].newest = _struct(NewestRow, row)
    if ending := _names(events, _ENDING):
        found = await changes.rows(
            "select instance, is_error, slot, number, wire from bot_lines where instance = any(%s)", [ending]
        )
        for row in found:
            stories[row[0]].kept.append(_struct(LineRow, row))
    living = [name for name in _names(events, LIFE_EVENTS) if stories[name].bot.run_id is not None]
    if living:
        found = await changes.rows(
            f"select {_RUN} from bot_runs where id = any(%s)", [[stories[name].bot.run_id for name in living]]
        )
        for row in found:
            run = _struct(RunRow, row)
            stories[run.instance].runs[run.id] = run
    return stories


def _names(events: Sequence[Recorded], types: tuple[type[Event], ...]) -> list[str]:
    return sorted({_instance(recorded) for recorded in events if isinstance(recorded.event, types)})


def _struct(type_: type[Row], row: Sequence[Any]) -> Row:
    """Return a row of the struct's own columns, in their order."""
    return type_(**dict(zip(type_.__struct_fields__, row, strict=True)))


VIEW = View(
    name="bots",
    tables=TABLES,
    indexes=INDEXES,
    handles=(*LIFE_EVENTS, *UPDATE_EVENTS),
    apply=apply,
    revision=2,
)
