"""Whatever is done to the folders of bots, in any order and however it is cut off: none is lost, no key is left."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.bots import ArchivePlace
from domain.errors import NotFound
from tests.bot_files import AT, KEYS, SOURCES, deployed, files_of, folders, holds_keys
from tests.crashing import Crash, crashing_at

NAMES = st.sampled_from(["alpha", "beta"])
STEPS = st.one_of(st.none(), st.integers(0, 60))


class BotFilesLife(RuleBasedStateMachine):
    """`here` and `archived` are what each bot wrote that has to be there; `begun` is what was cut off and is owed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "bots"
        self.runner = asyncio.Runner()
        self.here: dict[str, bytes] = {}
        self.archived: dict[str, bytes] = {}
        self.begun: tuple[str, str] | None = None

    @initialize()
    def start(self) -> None:
        self.restart()

    @rule()
    def restart(self) -> None:
        self.files = folders(self.root)

    @rule(name=NAMES, step=STEPS)
    @precondition(lambda self: self.begun is None)
    def prepare(self, name: str, step: int | None) -> None:
        if name not in self.archived:
            self.do("prepare", name, step)

    @rule(name=NAMES, content=st.binary(max_size=20))
    def trade(self, name: str, content: bytes) -> None:
        if name in self.here and self.begun is None:
            (self.root / "instances" / name / "data" / "trades").write_bytes(content)
            self.here[name] = content

    @rule(name=NAMES, step=STEPS)
    @precondition(lambda self: self.begun is None)
    def shred(self, name: str, step: int | None) -> None:
        self.do("shred", name, step)

    @rule(name=NAMES, step=STEPS)
    @precondition(lambda self: self.begun is None)
    def discard(self, name: str, step: int | None) -> None:
        self.do("discard", name, step)

    @rule(name=NAMES, step=STEPS)
    @precondition(lambda self: self.begun is None)
    def archive(self, name: str, step: int | None) -> None:
        self.do("archive", name, step)

    @rule(step=STEPS)
    @precondition(lambda self: self.begun is not None)
    def go_on(self, step: int | None) -> None:
        assert self.begun is not None
        self.restart()
        self.do(*self.begun, step)

    def do(self, what: str, name: str, step: int | None) -> None:
        """Do it; after a crash it is owed, for a process goes on with what it had begun."""
        calls = {
            "prepare": lambda: self.files.prepare(deployed(name), KEYS, SOURCES),
            "shred": lambda: self.files.shred(name),
            "discard": lambda: self.files.discard(name),
            "archive": lambda: self.files.archive(name, ArchivePlace(), AT),
        }
        self.begun = (what, name)
        try:
            with crashing_at(step):
                self.runner.run(calls[what]())
        except Crash:
            return
        except NotFound:
            assert what == "archive"
            assert name not in self.here
            assert name not in self.archived
        self.begun = None
        match what:
            case "prepare":
                self.here.setdefault(name, b"")
            case "discard":
                self.here.pop(name, None)
            case "archive" if name in self.here:
                self.archived[name] = self.here.pop(name)

    def keys_of(self, name: str) -> list[str]:
        return holds_keys(self.root / "instances" / name)

    @invariant()
    def nothing_is_lost(self) -> None:
        for name, content in self.here.items():
            if self.begun is None or self.begun[1] != name:
                assert files_of(self.root / "instances" / name).get("data/trades", b"") == content
            elif self.begun[0] == "archive":
                places = [self.root / "instances" / name, self.root / "archived" / name]
                assert content in [files_of(place).get("data/trades", b"") for place in places if place.exists()]
        for name, content in self.archived.items():
            assert files_of(self.root / "archived" / name).get("data/trades", b"") == content

    @invariant()
    def no_key_is_in_an_archive(self) -> None:
        assert holds_keys(self.root / "archived") == []

    @invariant()
    def what_is_done_is_done(self) -> None:
        if self.begun is None:
            for name in ("alpha", "beta"):
                taken = self.runner.run(self.files.taken(name))
                assert taken == (name in self.here or name in self.archived)
            folder = self.root / "instances"
            left = {each.name for each in folder.iterdir()} if folder.exists() else set()
            assert left == set(self.here)

    def teardown(self) -> None:
        self.runner.close()
        self.folder.cleanup()


TestBotFilesLife = BotFilesLife.TestCase
TestBotFilesLife.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
