"""What commands need of the outside to run bots: where they run, their files, the line to them, and the containers."""

from collections.abc import Collection, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from domain.bots import ArchivePlace, BotDeployed, Here
from domain.events import Event

State = Literal["running", "exited"]


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance as its runtime knows it. `exit_code` only where it has exited and the runtime can tell."""

    instance: str
    runtime_id: str
    state: State
    exit_code: int | None = None


class Runtime(Protocol):
    """Where bots run: Docker on this host, Docker Swarm, or processes. Knows only the instances that we made."""

    name: str
    """`docker`, `swarm` or `process`."""

    async def place(self) -> str:
        """Return which runtime this is: its name, and the id of its engine or Swarm where it has one that lasts.

        The same for every server that finds the same instances. Raises `Unavailable`.
        """
        ...

    async def check(self, image: str) -> None:
        """Make sure that instances of an image can be made, pulling it if need be.

        Raises `Invalid` naming an image that is neither here nor to be had, `Unavailable` when the runtime is away.
        """
        ...

    async def start(self, order: BotDeployed) -> Instance:
        """Make the instance from its files, once, and have it run; return it.

        What exists under its name already and is ours is only started if it does not run: however often this is
        called, one instance runs. Raises `Invalid` (no such image; the name is taken by something that is not ours),
        `Unavailable`.
        """
        ...

    async def stop(self, instance: str, grace_seconds: float) -> int | None:
        """Ask the instance to end, end it after `grace_seconds`, and return its exit code where it can be told.

        One that does not run, or is not there, is no error. Raises `Unavailable`.
        """
        ...

    async def collect(self, instance: str) -> None:
        """Bring what the instance wrote into its folder, where the runtime keeps it elsewhere. Raises `Unavailable`."""
        ...

    async def remove(self, instance: str) -> None:
        """Remove a stopped instance and all that the runtime keeps for it; what is not there is no error.

        Raises `Invalid` while it runs, `Unavailable`.
        """
        ...

    async def instances(self) -> Mapping[str, Instance]:
        """Return every instance of ours that is there, running or not. Raises `Unavailable`."""
        ...


class BotFiles(Protocol):
    """The files of bots, below `bots/`: instances, the strategies that they share, archives."""

    async def taken(self, instance: str) -> bool:
        """Whether there are files of that name, among the instances or the archives."""
        ...

    async def prepare(
        self,
        order: BotDeployed,
        credentials: Mapping[str, Mapping[str, object]],
        sources: Mapping[str, str],
    ) -> None:
        """Write all that the instance needs; what is there already is written again, what it wrote itself stays.

        `credentials` are connector → field → value, for the bot alone; `sources` are path below `bots/`
        (`scripts/x.py`, `controllers/generic/y.py`) → Python source, shared by all instances.
        """
        ...

    async def discard(self, instance: str) -> None:
        """Remove the instance's files, keys included; what is not there is no error."""
        ...

    async def shred(self, instance: str) -> None:
        """Remove the instance's keys and what opens them, and nothing else; what is not there is no error."""
        ...

    async def archive(self, instance: str, place: ArchivePlace, at: datetime) -> str:
        """Put the instance's files away, without its keys, and return where: `archived/<instance>` or `s3://…`.

        The instance's folder is gone only when all of it has arrived. Done again, it goes on where it was. Raises
        `Unavailable` when the place does not take it, `NotFound` when nothing of that name is here or there.
        """
        ...

    async def configs(self, instance: str) -> Mapping[str, str]:
        """Return controller → YAML of the controllers' configs that the instance has now. Raises `NotFound`."""
        ...

    async def write_config(self, instance: str, controller: str, text: str) -> None:
        """Change a controller's config under a running bot, which reads it within seconds. Raises `NotFound`."""
        ...


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """The broker and how we stand with it. `bots` are those that were heard, with when last."""

    host: str
    port: int
    username: str | None
    connected: bool
    why: str = ""  # Why not, in a few words.
    bots: Mapping[str, datetime] = {}


class BotSink(Protocol):
    """Takes in what bots tell; never blocks, and keeps the order of what one bot tells."""

    @property
    def full(self) -> bool:
        """Whether so much waits to be recorded that nothing more should be told until there is room."""
        ...

    def __call__(self, instance: str, events: Sequence[Event], size: int) -> None:
        """Take what one message of a bot told; `size` is the bytes that it came in."""
        ...

    async def room(self) -> None:
        """Return when it is not full."""
        ...


class Line(Protocol):
    """The line to the bots: commands go out on it and their answers come in."""

    async def command(
        self, instance: str, command: str, data: Mapping[str, object], *, timeout_seconds: float
    ) -> Mapping[str, object] | None:
        """Send a command once and return the bot's whole answer, `{"header": …, "data": {…}}`; None if none came.

        Raises `Unavailable` where there is no connection to the broker, so that nothing was sent.
        """
        ...

    def expect(self, instances: Collection[str]) -> None:
        """Name the bots that were deployed here: of others only so many are taken in, and the rest is not recorded."""
        ...

    def broker(self) -> Broker:
        """Return how things stand."""
        ...


class Engine(Protocol):
    """The containers of this host, as far as they may be touched."""

    async def check(self) -> None:
        """Raise `Unavailable` where no engine answers."""
        ...

    async def start(self, container: str) -> None:
        """Start a container. Raises `NotFound`, `Forbidden` for one that is not ours, `Unavailable` without engine.

        One that runs is left as it is. Raises `Invalid` in the engine's words where it cannot start.
        """
        ...

    async def stop(self, container: str) -> None:
        """Stop a container and wait until it has. Raises as `start`."""
        ...

    async def remove(self, container: str, *, force: bool) -> None:
        """Remove a container; one that runs only by `force` (else `Invalid`). Raises as `start`."""
        ...

    async def exited(self) -> Sequence[str]:
        """Return the names of those that have exited and may be touched. Raises `Unavailable`."""
        ...

    def pulling(self, image: str) -> datetime | None:
        """Return since when an image is being pulled, None where it is not."""
        ...

    def pull(self, image: str) -> Coroutine[object, object, int | None]:
        """Note at once that an image is being pulled, and return what pulls it and gives its bytes.

        Joins the pull that is under way. It raises `Invalid` in the registry's words, `Unavailable` without engine.
        """
        ...


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """All that running bots needs of the outside."""

    runtime: Runtime
    files: BotFiles
    line: Line
    engine: Engine
    heartbeat_seconds: float = 30.0
    """A bot that was not heard for so long is lost."""
    wind_down_seconds: float = 120.0
    """How long a bot may take to say that it is flat before its container is stopped all the same."""
    grace_seconds: float = 30.0
    """How long a container may take to end."""
    gone: frozenset[str] = frozenset()
    """Runtimes that are gone for good, as they were noted with what they had started."""

    async def here(self) -> Here:
        """Return where this server runs bots. Raises `Unavailable`."""
        return Here(runtime=await self.runtime.place(), gone=self.gone)
