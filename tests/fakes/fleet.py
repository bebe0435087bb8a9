"""All that running bots needs of the outside, in memory: it outlives the server that uses it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from commands.ports.bots import Fleet
from tests.fakes.bot_files import FakeBotFiles
from tests.fakes.line import ScriptedLine
from tests.fakes.runtime import MemoryEngine, MemoryRuntime

BUCKET = "attic"


class MemoryFleet:
    """The four fakes, each for a test to reach."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.runtime = MemoryRuntime()
        self.files = FakeBotFiles(BUCKET)
        self.line = ScriptedLine(clock)
        self.engine = MemoryEngine()
        self.gone: frozenset[str] = frozenset()

    def port(self, through: Callable[[Any], Any] = lambda port: port) -> Fleet:
        """Return what a server is given of it, each port `through` what a test puts in between."""
        return Fleet(
            runtime=through(self.runtime),
            files=through(self.files),
            line=through(self.line),
            engine=through(self.engine),
            gone=self.gone,
        )
