"""Take controllers and scripts into the log: out of a bot image, or a folder that is laid out as Hummingbot's."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

import msgspec
from rich.console import Console

from adapters.docker import Connection, Images
from adapters.docker.copies import files_of
from adapters.event_store import PostgresLog
from commands.deciding import decide
from commands.ports import Log
from domain import strategies
from domain.errors import Invalid
from domain.events import Event, Origin
from domain.strategies import NEW_SOURCE, SOURCE_BYTES, TYPES, ControllerType, Source, evolve_source

FOLDERS = ("controllers", "scripts")
ROOT = "/home/hummingbot"
"""Where Hummingbot's images have these folders."""

ACTOR = "<import>"

_MOST = SOURCE_BYTES + 1  # of each file, so that one that is too long is known as such


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is one. `type` is None for a script."""

    path: str
    type: ControllerType | None
    name: str
    source: str


class Sorted(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: strategies, and path → why it is none of those files that look like one."""

    strategies: Sequence[Strategy]
    skipped: Mapping[str, str]


def wanted(path: str) -> bool:
    """Whether a file may be a strategy, so that its content is worth having."""
    return path.endswith(".py") and not path.endswith("/__init__.py")


def files_in(folder: Path) -> Mapping[str, bytes | None]:
    """Return path below a folder → content of its Python files, None for one that a link leads out of the folder to.

    Raises `Invalid` where there is nothing to look at.
    """
    there = [name for name in FOLDERS if (folder / name).is_dir()]
    if not there:
        raise Invalid(f"'{folder}' has neither a folder 'controllers' nor a folder 'scripts'")
    files = sorted(file for name in there for file in (folder / name).rglob("*.py"))
    root = folder.resolve()
    found: dict[str, bytes | None] = {}
    for file in files:
        path = file.relative_to(folder).as_posix()
        if not wanted(path):
            continue
        if not file.resolve().is_relative_to(root):
            found[path] = None
        elif file.is_file():
            with file.open("rb") as content:
                found[path] = content.read(_MOST)
    return found


async def files_in_image(image: str, console: Console) -> Mapping[str, bytes | None]:
    """Return path → content of the Python files in an image's folders. Raises `Invalid`, `Unavailable`."""
    connection = Connection()
    images = Images(connection, clock=lambda: datetime.now(UTC))
    try:
        if not await images.is_here(image):
            console.print(f"Pulling {image}", soft_wrap=True)
        return await files_of(connection, images, image, root=ROOT, folders=FOLDERS, wanted=wanted, most=_MOST)
    finally:
        images.close()
        connection.close()


def sort(files: Mapping[str, bytes | None]) -> Sorted:
    """Return which files are strategies, in order of their paths, and why the others are none."""
    found: dict[str, Strategy] = {}
    skipped: dict[str, str] = {}
    for path, content in sorted(files.items()):
        try:
            strategy = _strategy(path, content)
        except UnicodeDecodeError:
            skipped[path] = "is not UTF-8 text"
        except Invalid as refusal:
            skipped[path] = refusal.message
        else:
            found[path] = strategy
    return Sorted(strategies=list(found.values()), skipped=skipped)


def _strategy(path: str, content: bytes | None) -> Strategy:
    """Return the strategy that a file is. Raises `Invalid` for one that is none, `UnicodeDecodeError`."""
    if content is None:
        raise Invalid("is a link that leads out of the folder")
    if len(content) > SOURCE_BYTES:
        raise Invalid(f"has more than {SOURCE_BYTES} bytes")
    source = content.decode()
    match path.removesuffix(".py").split("/"):
        case ["scripts", name]:
            return Strategy(path=path, type=None, name=name, source=source)
        case ["controllers", type_, name] | ["controllers", type_, name, _] if type_ not in TYPES:
            raise Invalid(f"'{type_}' is no type of controllers: those are {', '.join(TYPES)}")
        case ["controllers", type_, name]:
            return Strategy(path=path, type=_type(type_), name=name, source=source)
        case ["controllers", type_, package, name] if package == name:
            # A controller in a folder of its own: Hummingbot finds the file under the folder's name.
            return Strategy(path=path, type=_type(type_), name=name, source=source)
        case _:
            raise Invalid("is not where strategies are: scripts/<name>.py, controllers/<type>/<name>.py")


def _type(name: str) -> ControllerType:
    return next(type_ for type_ in TYPES if type_ == name)


async def keep(log: Log, found: Sequence[Strategy]) -> tuple[dict[str, str], dict[str, str]]:
    """Save strategies. Return path → what became of it (`new`, `changed`, `unchanged`), and path → why it was refused.

    All have one correlation id: they are one story.
    """
    story = uuid4()
    became: dict[str, str] = {}
    refused: dict[str, str] = {}
    for strategy in found:
        origin = Origin(correlation_id=story, command_id=uuid4(), actor=ACTOR)
        stream, decision = _saving(strategy)
        try:
            decided = await decide(log, origin, stream=stream, new=NEW_SOURCE, evolve=evolve_source, decision=decision)
        except Invalid as refusal:
            refused[strategy.path] = refusal.message
        else:
            known = "new" if decided.state.source is None else "changed"
            became[strategy.path] = known if decided.events else "unchanged"
    return became, refused


def _saving(strategy: Strategy) -> tuple[str, Callable[[Source], list[Event]]]:
    name, source = strategy.name, strategy.source
    if strategy.type is None:
        return strategies.script_stream(name), partial(strategies.save_script, name=name, source=source)
    return (
        strategies.controller_stream(strategy.type, name),
        partial(strategies.save_controller, type_=strategy.type, name=name, source=source),
    )


async def import_command(database_url: str, files: Mapping[str, bytes | None], console: Console) -> int:
    """Save what is found in files, print what became of each, and return the exit code: 1 where there is nothing."""
    found = sort(files)
    async with PostgresLog.open(database_url) as log:
        became, refused = await keep(log, found.strategies)
    for word in ("new", "changed"):
        for path in (path for path, what in became.items() if what == word):
            console.print(f"{word:9} {path}", soft_wrap=True, markup=False, highlight=False)
    for path, why in sorted({**found.skipped, **refused}.items()):
        console.print(f"skipped   {path}: {why}", soft_wrap=True, markup=False, highlight=False)
    counts = [f"{list(became.values()).count(word)} {word}" for word in ("new", "changed", "unchanged")]
    console.print(f"{', '.join(counts)}, {len(found.skipped) + len(refused)} skipped", highlight=False)
    return 0 if became else 1
