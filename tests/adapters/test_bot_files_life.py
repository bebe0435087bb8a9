"""Whatever is done to the folders of bots, in any order and however it is cut off: none is lost, no key is left."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adapters.bot_files import BotFolders
from domain.bots import ArchivePlace
from domain.errors import NotFound
from tests.bot_files import AT, KEYS, SOURCES, deployed, files_of, folders, holds_keys
from tests.crashing import Crash, crashing_at

NAMES = st.sampled_from(["alpha", "beta"])
CRASHES = st.lists(st.integers(0, 60), max_size=2)


class BotFilesLife(RuleBasedStateMachine):
    """`here` and `archived` are what each bot wrote that has to be there. What a crash cut off is done again."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "bots"
        self.runner = asyncio.Runner()
        self.here: dict[str, bytes] = {}
        self.archived: dict[str, bytes] = {}

    @rule(name=NAMES, crashes=CRASHES)
    def prepare(self, name: str, crashes: list[int]) -> None:
        if name not in self.archived:
            self.do(lambda files: files.prepare(deployed(name), KEYS, SOURCES), crashes)
            self.here.setdefault(name, b"")
            assert len(holds_keys(self.root / "instances" / name)) == 4

    @rule(name=NAMES, content=st.binary(max_size=20))
    def trade(self, name: str, content: bytes) -> None:
        if name in self.here:
            (self.root / "instances" / name / "data" / "trades").write_bytes(content)
            self.here[name] = content

    @rule(name=NAMES, crashes=CRASHES)
    def shred(self, name: str, crashes: list[int]) -> None:
        self.do(lambda files: files.shred(name), crashes)
        assert holds_keys(self.root / "instances" / name) == []

    @rule(name=NAMES, crashes=CRASHES)
    def discard(self, name: str, crashes: list[int]) -> None:
        content = self.here.pop(name, None)
        self.do(lambda files: files.discard(name), crashes)
        assert content is None or not (self.root / "instances" / name).exists()

    @rule(name=NAMES, crashes=CRASHES)
    def archive(self, name: str, crashes: list[int]) -> None:
        content = self.here.pop(name, None)
        known = content is not None or name in self.archived

        def whole() -> None:
            places = [self.root / place / name for place in ("instances", "archived")]
            kept = [files_of(place).get("data/trades", b"") for place in places if place.exists()]
            assert content is None or content in kept

        try:
            self.do(lambda files: files.archive(name, ArchivePlace(), AT), crashes, whole)
        except NotFound:
            assert not known
        if content is not None:
            self.archived[name] = content

    def do(
        self,
        work: Callable[[BotFolders], Coroutine[None, None, object]],
        crashes: list[int],
        after_crash: Callable[[], None] = lambda: None,
    ) -> None:
        """Do it with a new process after each crash, until it is done."""
        for step in (*crashes, None):
            with crashing_at(step), suppress(Crash):
                self.runner.run(work(folders(self.root)))
                return
            after_crash()
            self.nothing_is_lost()
            self.no_key_is_in_an_archive()

    @invariant()
    def nothing_is_lost(self) -> None:
        for place, kept in (("instances", self.here), ("archived", self.archived)):
            for name, content in kept.items():
                assert files_of(self.root / place / name).get("data/trades", b"") == content

    @invariant()
    def no_key_is_in_an_archive(self) -> None:
        assert holds_keys(self.root / "archived") == []

    @invariant()
    def what_is_done_is_done(self) -> None:
        for name in ("alpha", "beta"):
            taken = self.runner.run(folders(self.root).taken(name))
            assert taken == (name in self.here or name in self.archived)
        folder = self.root / "instances"
        assert {each.name for each in folder.glob("*")} == set(self.here)

    def teardown(self) -> None:
        self.runner.close()
        self.folder.cleanup()


TestBotFilesLife = BotFilesLife.TestCase
TestBotFilesLife.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
