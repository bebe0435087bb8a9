"""Whether a bot is there: it is lost when it should run and nothing was heard of it for the heartbeat time-out."""

from datetime import datetime, timedelta

from domain.bots.life import Bot, BotLost, BotReturned
from domain.events import Event


def lose(
    bot: Bot, *, instance: str, last_heard_at: datetime, silent_since: datetime, patience: timedelta, at: datetime
) -> list[Event]:
    """Decide on a bot's silence.

    `silent_since` is when it was last heard, when we began to listen or when anything became of it, whichever came
    last. A bot that was only ever heard is missed as well; one that nobody has running is not.
    """
    expected = bot.runs or (bot.known and bot.deployed is None)
    if bot.lost or not expected or at - silent_since < patience:
        return []
    return [BotLost(instance=instance, last_heard_at=last_heard_at, lost_at=at)]


def hear(bot: Bot, *, instance: str, at: datetime) -> list[Event]:
    """Decide on a bot that was heard: one that was lost, or that nobody knew, has come back."""
    if bot.known and not bot.lost:
        return []
    return [BotReturned(instance=instance, returned_at=at)]
