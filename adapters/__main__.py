"""The command line: `nectar serve`, and what keeps its data in order."""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import uvloop

from adapters.audit.exports import WrongExport
from adapters.candles.store import DamagedCandles
from adapters.logging import configure
from adapters.migrations import WrongMigration
from adapters.private_broker import NoBroker
from adapters.private_postgres import NoPostgres
from adapters.settings import Settings, WrongSetting, read_env_file
from adapters.turn import TurnLost
from adapters.vault import DamagedVault, WrongPassword
from domain.errors import DomainError

REFUSED = 2
MOST_DAYS = 36_500
_LAST = 2**63 - 1
_PLACE = "a position, or a time as 2026-11-22T08:00:00Z"
REFUSALS = (
    DamagedCandles,
    DamagedVault,
    DomainError,
    NoBroker,
    NoPostgres,
    OSError,
    TurnLost,
    WrongExport,
    WrongMigration,
    WrongPassword,
    WrongSetting,
)
"""What ends a command with a message for the user; anything else is a fault of ours and shows where."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 something is wrong with the data, 2 it could not be done."""
    wanted = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environment({**read_env_file(Path(".env")), **os.environ})
        configure(settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code: int = runner.run(wanted.run(wanted, settings))
            return code
    except KeyboardInterrupt:
        return 130
    except REFUSALS as refusal:
        return _refused([refusal])
    except BaseExceptionGroup as group:
        refusals, faults = group.split(REFUSALS)
        if faults is not None or refusals is None:
            raise
        return _refused(list(_leaves(refusals)))


def _refused(refusals: Iterable[BaseException]) -> int:
    for message in dict.fromkeys(map(str, refusals)):
        sys.stderr.write(f"nectar: {message}\n")
    return REFUSED


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nectar", description="An event-sourced trading backend for Hummingbot.")
    parser.add_argument("--version", action="version", version=f"nectar {version('nectar')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("serve", help="run the server")
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    command.add_argument("--port", type=int, default=8000, help="port to listen on, 0 for a free one (default: 8000)")
    command.set_defaults(run=_serve)

    command = commands.add_parser("migrate", help="bring the database's tables to this version")
    command.set_defaults(run=_migrate)

    _add_views(commands)

    candles = commands.add_parser("candles", help="keep candles").add_subparsers(required=True, metavar="COMMAND")
    command = candles.add_parser("import", help="take candles from a file: CSV, also gzip or zip, or Parquet")
    command.add_argument("file", type=Path)
    command.add_argument("--connector", required=True, help="whose they are, as binance")
    command.add_argument("--pair", required=True, help="of what, as BTC-USDT")
    command.add_argument("--interval", required=True, help="how long each lasts, as 1m")
    command.set_defaults(run=_import_candles)

    strategies = commands.add_parser("strategies", help="keep strategies").add_subparsers(
        required=True, metavar="COMMAND"
    )
    command = strategies.add_parser("import", help="take controllers and scripts out of a bot image, or a folder")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--image", help="as hummingbot/hummingbot:latest; it is pulled if need be, and never run")
    source.add_argument("--folder", type=Path, help="with the folders 'controllers' and 'scripts' in it")
    command.set_defaults(run=_import_strategies)

    vault = commands.add_parser("vault", help="keep the vault").add_subparsers(required=True, metavar="COMMAND")
    command = vault.add_parser("change-password", help="from CONFIG_PASSWORD to NEW_CONFIG_PASSWORD")
    command.set_defaults(run=_change_password)

    audit = commands.add_parser("audit", help="check the log against its seals").add_subparsers(
        required=True, metavar="COMMAND"
    )
    command = audit.add_parser("verify", help="name every event that was altered, removed or moved")
    command.add_argument("file", type=Path, nargs="?", metavar="FILE", help="exported events, in place of the log")
    command.add_argument("--seals", type=Path, metavar="FILE", help="check the log against exported seals")
    command.set_defaults(run=_verify)
    command = audit.add_parser("export", help="write events to a file that proves that none was altered")
    command.add_argument("--from", dest="begin", type=_place, default=1, metavar="PLACE", help=_PLACE)
    command.add_argument("--to", dest="end", type=_place, default=_LAST, metavar="PLACE", help="as --from")
    command.add_argument("--format", choices=("jsonl", "csv", "parquet"), default="jsonl")
    command.add_argument("file", type=Path)
    command.set_defaults(run=_export_events)
    command = audit.add_parser("export-seals", help="write the seals to a file, to be kept elsewhere")
    command.add_argument("file", type=Path)
    command.set_defaults(run=_export_seals)

    retention = commands.add_parser("retention", help="drop what is old").add_subparsers(
        required=True, metavar="COMMAND"
    )
    command = retention.add_parser("apply", help="drop what bots told long ago, and keep proof of that")
    command.add_argument(
        "--older-than-days", type=_days, metavar="DAYS", help="how long ago (default: BOT_UPDATES_KEEP_DAYS)"
    )
    command.set_defaults(run=_apply_retention)
    return parser


def _add_views(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("rebuild", help="build views anew from the log; the old ones serve meanwhile")
    command.add_argument("view", help="the view's name, 'all', or 'changed' for those of another definition")
    command.set_defaults(run=_rebuild)

    command = commands.add_parser("skip", help="have a view go on without the event that it has stopped at")
    command.add_argument("view", help="the view's name")
    command.add_argument("position", type=_position, help="the event's position, as /ready names it")
    command.add_argument("--reason", required=True, help="why; it is recorded for ever")
    command.add_argument("--by", metavar="NAME", help="who decided that (default: USERNAME)")
    command.set_defaults(run=_skip)

    command = commands.add_parser("as-of", help="build the views as they were, to be asked with SQL; or list those")
    command.add_argument("moment", type=_place, nargs="?", metavar="MOMENT", help=f"{_PLACE}; none lists what is built")
    command.add_argument("--drop", action="store_true", help="drop what was built of the moment, or all of it")
    command.set_defaults(run=_as_of)


def _place(given: str) -> int | datetime:
    from adapters.audit.commands import place_of

    try:
        return place_of(given)
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"{given[:40]!r} is no position and no time as 2026-11-22T08:00:00Z") from e


def _position(given: str) -> int:
    if not given.isdecimal() or not 1 <= int(given) <= _LAST:
        raise argparse.ArgumentTypeError(f"{given[:40]!r} is no position of the log, a whole number from 1")
    return int(given)


def _days(given: str) -> int:
    if not given.isdecimal() or not 1 <= int(given) <= MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{given!r} is no number of days from 1 to {MOST_DAYS}")
    return int(given)


# Each command imports what it needs when it runs: `nectar --help` should not wait for a web server.


async def _serve(wanted: argparse.Namespace, settings: Settings) -> int:
    from adapters.serve import serve

    return await serve(settings, wanted.host, wanted.port)


async def _migrate(_: argparse.Namespace, settings: Settings) -> int:
    from adapters import database
    from adapters.migrations import migrate

    async with database.reached(settings) as url:
        for name in await migrate(url):
            sys.stdout.write(f"{name}\n")
    return 0


async def _rebuild(wanted: argparse.Namespace, settings: Settings) -> int:
    from adapters import database
    from adapters.rebuild import rebuild_command

    async with database.reached(settings) as url:
        return await rebuild_command(url, wanted.view)


async def _skip(wanted: argparse.Namespace, settings: Settings) -> int:
    from rich.console import Console

    from adapters import database
    from adapters.skip import skip_command

    async with database.reached(settings) as url:
        return await skip_command(
            url,
            Console(),
            name=wanted.view,
            position=wanted.position,
            reason=wanted.reason,
            actor=wanted.by or settings.username,
        )


async def _as_of(wanted: argparse.Namespace, settings: Settings) -> int:
    from rich.console import Console

    from adapters import as_of, database

    async with database.reached(settings) as url:
        if wanted.drop:
            return await as_of.drop_command(url, Console(), wanted.moment)
        if wanted.moment is None:
            return await as_of.list_command(url, Console())
        return await as_of.build_command(url, Console(), wanted.moment)


async def _import_candles(wanted: argparse.Namespace, settings: Settings) -> int:
    from rich.console import Console

    from adapters.candles.imports import import_command
    from adapters.candles.table import FOLDER

    return await asyncio.to_thread(
        import_command,
        settings.data / FOLDER,
        wanted.file,
        connector=wanted.connector,
        trading_pair=wanted.pair,
        interval_name=wanted.interval,
        console=Console(),
    )


async def _import_strategies(wanted: argparse.Namespace, settings: Settings) -> int:
    from rich.console import Console

    from adapters import database, migrations, strategy_imports

    console = Console()
    if wanted.folder is not None:
        files = await asyncio.to_thread(strategy_imports.files_in, wanted.folder)
    else:
        files = await strategy_imports.files_in_image(wanted.image, console)
    async with database.reached(settings) as url:
        is_new = await migrations.migrate(url) == list(migrations.found())
        where = f"{database.described(settings)}{', which is new' if is_new else ''}"
        console.print(f"Importing into {where}", soft_wrap=True, markup=False, highlight=False)
        return await strategy_imports.import_command(url, files, console)


async def _verify(wanted: argparse.Namespace, settings: Settings) -> int:
    from rich.console import Console

    from adapters import database
    from adapters.audit.commands import verify_command, verify_file_command
    from adapters.vault import Vault

    if wanted.file is not None:  # it brings its seals and their key: no database is asked
        return await verify_file_command(Console(), wanted.file)
    async with database.reached(settings) as url:
        if wanted.seals is not None:  # exported seals bring their key: whoever checks them needs no password
            return await verify_command(url, Console(), file=wanted.seals)
        vault = await Vault.open(url, settings.config_password)
        return await verify_command(url, Console(), key=vault.signing_key.public_key())


async def _export_events(wanted: argparse.Namespace, settings: Settings) -> int:
    from rich.console import Console

    from adapters import database
    from adapters.audit.commands import export_events_command
    from adapters.vault import Vault

    async with database.reached(settings) as url:
        vault = await Vault.open(url, settings.config_password)
        return await export_events_command(
            url,
            Console(),
            key=vault.signing_key,
            file=wanted.file,
            begin=wanted.begin,
            end=wanted.end,
            format_=wanted.format,
        )


async def _export_seals(wanted: argparse.Namespace, settings: Settings) -> int:
    from rich.console import Console

    from adapters import database
    from adapters.audit.commands import export_command
    from adapters.vault import Vault

    async with database.reached(settings) as url:
        vault = await Vault.open(url, settings.config_password)
        return await export_command(url, Console(), key=vault.signing_key.public_key(), file=wanted.file)


async def _apply_retention(wanted: argparse.Namespace, settings: Settings) -> int:
    from rich.console import Console

    from adapters import database
    from adapters.retention import apply_command
    from adapters.vault import Vault

    days = wanted.older_than_days or settings.bot_updates_keep_days
    async with database.reached(settings) as url:
        vault = await Vault.open(url, settings.config_password)
        return await apply_command(url, Console(), key=vault.signing_key, older_than_days=days)


async def _change_password(_: argparse.Namespace, settings: Settings) -> int:
    from adapters import database
    from adapters.vault import Vault

    new = os.environ.get("NEW_CONFIG_PASSWORD", "")
    if not new:
        raise WrongSetting(
            "NEW_CONFIG_PASSWORD", "", "must hold the new password; CONFIG_PASSWORD holds the present one"
        )
    async with database.reached(settings) as url:
        vault = await Vault.open(url, settings.config_password)
        await vault.change_password(new)
    sys.stdout.write("The vault opens with the new password. Set CONFIG_PASSWORD to it before the next start.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
