"""Bots: how they stand, what they say, what became of them."""

from read_api.bots.performance import PerformanceReads
from read_api.bots.roster import Roster
from read_api.bots.runs import RunReads
from read_api.bots.status import BotReads

__all__ = ["BotReads", "PerformanceReads", "Roster", "RunReads"]
