"""The scripts, controllers and configurations that new bots can have, each as it was saved last."""

from collections.abc import Mapping, Sequence

import msgspec

from domain.events import Recorded
from domain.strategies import (
    ConfigDeleted,
    ConfigSaved,
    ControllerDeleted,
    ControllerSaved,
    Kind,
    ScriptDeleted,
    ScriptSaved,
    controller_path,
    script_path,
)
from projections.view import Changes, Connection, View, text

_TABLES = """
    create table strategy_sources (
        path   text primary key,
        source text not null
    );
    create table strategy_configs (
        kind    text not null,
        name    text not null,
        yaml    text not null,
        content text not null,
        primary key (kind, name)
    );
"""


async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
    """Take events into the tables: `path` is below `bots/`, `content` a JSON object."""
    sources: dict[str, str | None] = {}
    configs: dict[tuple[str, str], ConfigSaved | None] = {}
    for recorded in events:
        match recorded.event:
            case ScriptSaved(name=name, source=source):
                sources[script_path(name)] = text(source)
            case ScriptDeleted(name=name):
                sources[script_path(name)] = None
            case ControllerSaved(type=type_, name=name, source=source):
                sources[controller_path(type_, name)] = text(source)
            case ControllerDeleted(type=type_, name=name):
                sources[controller_path(type_, name)] = None
            case ConfigSaved(kind=kind, name=name) as saved:
                configs[kind, name] = saved
            case ConfigDeleted(kind=kind, name=name):
                configs[kind, name] = None
    await changes.write("strategy_sources", "delete from strategy_sources where path = any(%s)", [list(sources)])
    await changes.put(
        "strategy_sources",
        [{"path": path, "source": source} for path, source in sources.items() if source is not None],
    )
    await changes.write(
        "strategy_configs",
        "delete from strategy_configs where (kind, name) in (select * from unnest(%s::text[], %s::text[]))",
        [[kind for kind, _ in configs], [name for _, name in configs]],
    )
    await changes.put(
        "strategy_configs",
        [
            {
                "kind": kind,
                "name": name,
                "yaml": text(saved.text),
                "content": msgspec.json.encode(saved.content).decode(),
            }
            for (kind, name), saved in configs.items()
            if saved is not None
        ],
    )


VIEW = View(
    name="strategies",
    bulky=True,
    tables=_TABLES,
    indexes="",
    handles=(ScriptSaved, ScriptDeleted, ControllerSaved, ControllerDeleted, ConfigSaved, ConfigDeleted),
    apply=apply,
)


async def paths(connection: Connection, folder: str) -> list[str]:
    """Return the paths of all sources in a folder (`scripts`, `controllers`), in order."""
    found = await connection.execute(
        'select path from strategy_sources where starts_with(path, %s) order by path collate "C"', [f"{folder}/"]
    )
    return [path for (path,) in await found.fetchall()]


async def sources(connection: Connection, paths: Sequence[str] | None = None) -> dict[str, str]:
    """Return path → source of those paths that are there, or of all."""
    found = await connection.execute(
        "select path, source from strategy_sources"
        ' where %(paths)s::text[] is null or path = any(%(paths)s) order by path collate "C"',
        {"paths": None if paths is None else list(paths)},
    )
    return dict(await found.fetchall())


async def configs(connection: Connection, kind: Kind, name: str | None = None) -> Mapping[str, str]:
    """Return name → content, a JSON object, of the configurations of a kind: of all, or of one if it is there."""
    found = await connection.execute(
        "select name, content from strategy_configs where kind = %(kind)s"
        ' and (%(name)s::text is null or name = %(name)s) order by name collate "C"',
        {"kind": kind, "name": name},
    )
    return dict(await found.fetchall())
