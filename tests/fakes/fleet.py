"""All that running bots needs of the outside, in memory: it outlives the server that uses it."""

from collections.abc import Callable
from datetime import datetime

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

    def port(self) -> Fleet:
        """Return what a server is given of it."""
        return Fleet(runtime=self.runtime, files=self.files, line=self.line, engine=self.engine)
