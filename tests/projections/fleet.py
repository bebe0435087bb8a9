"""A story of bots, told in events."""

import json
from datetime import datetime, timedelta

import msgspec

from domain.bots import (
    ArchivePlace,
    BotArchived,
    BotCleared,
    BotDeployed,
    BotEventTold,
    BotFailed,
    BotHeard,
    BotLogged,
    BotLost,
    BotNotified,
    BotPrepared,
    BotReturned,
    BotRunDeleted,
    BotStarted,
    BotStartRequested,
    BotStatusReported,
    BotStopped,
    BotStopRequested,
    BotStopTold,
    BotTalkedNonsense,
    BotWoundDown,
    ControllerReported,
    stream_of,
    updates_of,
)
from domain.events import Event
from tests.projections.given import AT, Told


def at(seconds: float) -> datetime:
    """Return a time so long after the story began."""
    return AT + timedelta(seconds=seconds)


def lived(event: Event) -> Told:
    """Return an event of a bot's life, in its stream."""
    return stream_of(event.instance), event  # type: ignore[attr-defined]


def deployed(bot: str, seconds: float = 0, **changes: object) -> Told:
    """Return that somebody wanted a bot: grid_strike on BTC, unless changed."""
    facts: dict[str, object] = {
        "instance": bot,
        "account": "master_account",
        "image": "hummingbot/hummingbot:latest",
        "strategy_type": "controller",
        "strategy_name": "v2_with_controllers",
        "script_config": f"{bot}.yml",
        "configs": {"controllers/grid.yml": "id: grid\n"},
        "request": {"instance_name": bot, "controllers_config": ["grid"], "max_global_drawdown_quote": 500.0},
        "deployed_at": at(seconds),
    }
    return lived(BotDeployed(**(facts | changes)))  # type: ignore[arg-type]


def prepared(bot: str, seconds: float = 0.5) -> Told:
    return lived(BotPrepared(instance=bot, prepared_at=at(seconds)))


def started(bot: str, seconds: float = 1) -> Told:
    return lived(BotStarted(instance=bot, runtime_id=f"c-{bot}", started_at=at(seconds)))


def running(bot: str, seconds: float = 0, **changes: object) -> list[Told]:
    """Return that a bot was deployed and started, a second later."""
    return [deployed(bot, seconds, **changes), prepared(bot, seconds + 0.5), started(bot, seconds + 1)]


def failed(bot: str, reason: str = "No such image\0", seconds: float = 1) -> Told:
    return lived(BotFailed(instance=bot, reason=reason, failed_at=at(seconds)))


def start_requested(bot: str, seconds: float = 60) -> Told:
    return lived(BotStartRequested(instance=bot, requested_at=at(seconds)))


def stop_requested(bot: str, seconds: float = 50, *, archive: ArchivePlace | None = None) -> Told:
    return lived(BotStopRequested(instance=bot, archive=archive, requested_at=at(seconds)))


def stop_told(bot: str, seconds: float = 51, *, status: int | None = 200) -> Told:
    return lived(BotStopTold(instance=bot, status=status, told_at=at(seconds)))


def wound_down(bot: str, seconds: float = 70, *, by_itself: bool = True) -> Told:
    return lived(BotWoundDown(instance=bot, by_itself=by_itself, wound_down_at=at(seconds)))


def stopped(bot: str, seconds: float = 80, *, exit_code: int | None = 0, asked_for: bool = True) -> Told:
    return lived(BotStopped(instance=bot, exit_code=exit_code, asked_for=asked_for, stopped_at=at(seconds)))


def archived(bot: str, seconds: float = 81) -> Told:
    return lived(BotArchived(instance=bot, location=f"archived/{bot}", archived_at=at(seconds)))


def cleared(bot: str, seconds: float = 82) -> Told:
    return lived(BotCleared(instance=bot, cleared_at=at(seconds)))


def run_deleted(bot: str) -> Told:
    return lived(BotRunDeleted(instance=bot))


def lost(bot: str, seconds: float = 40) -> Told:
    return lived(BotLost(instance=bot, last_heard_at=at(seconds - 30), lost_at=at(seconds)))


def returned(bot: str, seconds: float = 45) -> Told:
    return lived(BotReturned(instance=bot, returned_at=at(seconds)))


def heard(bot: str, seconds: float = 2) -> Told:
    return updates_of(bot), BotHeard(instance=bot, heard_at=at(seconds))


def logged(bot: str, message: str, seconds: float = 2, *, level: int = 20) -> Told:
    """Return a line of a bot's log; the bot's clock is a quarter of a second ahead."""
    return updates_of(bot), BotLogged(
        instance=bot,
        level=level,
        level_name={20: "INFO", 30: "WARNING", 40: "ERROR"}[level],
        logger="hummingbot.strategy",
        message=message,
        sent_at=at(seconds + 0.25),
        heard_at=at(seconds),
    )


def reported(bot: str, controller: str, pnl: float | None, seconds: float = 2, **custom: object) -> Told:
    """Return how a controller did; `pnl` None is the bot's sign that the strategy has ended."""
    performance = {} if pnl is None else {"global_pnl_quote": pnl, "close_type_counts": {}}
    return updates_of(bot), ControllerReported(
        instance=bot,
        controller=controller,
        performance=msgspec.Raw(json.dumps(performance).encode()),
        custom_info=msgspec.Raw(json.dumps(custom).encode()),
        heard_at=at(seconds),
    )


def told_else(bot: str, seconds: float = 2) -> list[Told]:
    """Return what a bot may tell that no view shows, but that it was heard."""
    return [
        (updates_of(bot), event)
        for event in (
            BotStatusReported(instance=bot, kind="availability", message="online", heard_at=at(seconds)),
            BotNotified(instance=bot, message="Bought", heard_at=at(seconds)),
            BotEventTold(instance=bot, kind="OrderFilled", data=msgspec.Raw(b'{"price":null}'), heard_at=at(seconds)),
            BotTalkedNonsense(
                instance=bot, topic="hbot/x", reason="no JSON", length=1, beginning="{", heard_at=at(seconds)
            ),
        )
    ]


FLEET: list[Told] = [
    *running("grid"),
    reported("grid", "grid_btc", 1.5, odd="a\tb\n\0{}'\\"),
    reported("grid", "grid_eth", -0.5),
    logged("grid", "odd \0 \\ \" ' \u2028"),
    *[logged("grid", f"line {n}", 3 + n / 100) for n in range(104)],
    *[logged("grid", f"error {n}", 5, level=40) for n in range(15)],
    *told_else("grid", 6),
    *running("maker", 10, strategy_type="script", script_config=None),
    heard("maker", 12),
    lost("maker"),
    returned("maker"),
    deployed("broken", 11, image="nowhere"),
    failed("broken", seconds=12),
    cleared("broken", 13),
    returned("stranger", 14),
    reported("stranger", "c\0", 3, 14),
    *[reported("grid", "grid_btc", n / 10, 15 + 97 * n) for n in range(16)],
    reported("grid", "grid_btc", 9, 20),
    stop_requested("grid", 4000, archive=ArchivePlace()),
    logged("grid", "winding down", 4001),
    stop_told("grid", 4001),
    reported("grid", "grid_btc", None, 4010),
    reported("grid", "grid_eth", None, 4010),
    wound_down("grid", 4011),
    stopped("grid", 4012),
    failed("grid", "The bucket is away", 4013),
    archived("grid", 4020),
    cleared("grid", 4021),
    stop_requested("maker", 4030),
    stop_told("maker", 4031, status=None),
    wound_down("maker", 4100, by_itself=False),
    stopped("maker", 4101, exit_code=137, asked_for=False),
    start_requested("maker", 4102),
    started("maker", 4103),
    deployed("grid", 5000),
    logged("grid", "anew", 5003),
    started("grid", 5001),
    run_deleted("broken"),
]
"""Everything that may happen to bots."""
