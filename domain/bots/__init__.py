"""Bots: what becomes of each instance, from the wish to deploy it to its archive.

The stream `bot-<instance>` holds the life of one instance, and `bot_updates-<instance>` what the bot tells
(`domain/bots/updates.py`). Every step that reaches outside (files, container, archive) is an event of its own, so that
whoever goes on after a crash knows what is done. What bots get and do: hummingbot 20260922, hummingbot-api
`services/docker_service.py`, `services/bots_orchestrator.py`@ee7ce5c.
"""

from domain.bots.deciding import LONGEST_INSTANCE, LONGEST_NAME, Step, instance_name, next_step
from domain.bots.life import (
    LIFE_EVENTS,
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
    evolve,
    stream_of,
)
from domain.bots.updates import (
    RETENTION,
    UPDATE_EVENTS,
    BotEventTold,
    BotHeard,
    BotLogged,
    BotNotified,
    BotStatusReported,
    BotTalkedNonsense,
    ControllerReported,
    SealedRun,
    UpdatesDropped,
    updates_of,
)

EVENTS = (*LIFE_EVENTS, *UPDATE_EVENTS, UpdatesDropped)

__all__ = [
    "EVENTS",
    "LIFE_EVENTS",
    "LONGEST_INSTANCE",
    "LONGEST_NAME",
    "NEW",
    "RETENTION",
    "UPDATE_EVENTS",
    "ArchivePlace",
    "Bot",
    "BotArchived",
    "BotCleared",
    "BotDeployed",
    "BotEventTold",
    "BotFailed",
    "BotHeard",
    "BotLogged",
    "BotLost",
    "BotNotified",
    "BotPrepared",
    "BotReturned",
    "BotRunDeleted",
    "BotStartRequested",
    "BotStarted",
    "BotStatusReported",
    "BotStopRequested",
    "BotStopTold",
    "BotStopped",
    "BotTalkedNonsense",
    "BotWoundDown",
    "ControllerReported",
    "Here",
    "SealedRun",
    "Step",
    "UpdatesDropped",
    "evolve",
    "instance_name",
    "next_step",
    "stream_of",
    "updates_of",
]
