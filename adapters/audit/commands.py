"""The commands `nectar audit verify`, `export` and `export-seals`: what they print, and their exit codes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from adapters.audit import files, ranges
from adapters.audit.exports import ForgedSeals, export, read
from adapters.audit.lines import Format
from adapters.audit.ranges import NotAsSealed, Place
from adapters.audit.verification import Report, verify
from adapters.seals import Seal, key_id

INTACT = 0
DAMAGED = 1


async def verify_command(
    database_url: str, console: Console, *, key: Ed25519PublicKey | None = None, file: Path | None = None
) -> int:
    """Verify the log against the seals in the database, or those in a file, and print what is wrong with it.

    Exit code 0 when nothing is, 1 when something is. The key is that of the vault; a file brings its own. Raises
    `WrongExport` for a file that cannot be read, `Unavailable`, and `ValueError` with neither a key nor a file.
    """
    seals: Iterator[Seal] = iter(())
    if file is not None:
        key, seals = read(file)
    if key is None:
        raise ValueError("A verification needs the key of the vault or a file of exported seals")
    with _progress(console) as bar:
        task = bar.add_task("Verifying", total=None)
        report = await verify(
            database_url, key, exported=seals, progress=lambda done, all_: bar.update(task, completed=done, total=all_)
        )
    _show(console, report, key)
    return DAMAGED if report.findings else INTACT


async def export_command(database_url: str, console: Console, *, key: Ed25519PublicKey, file: Path) -> int:
    """Write the seals to a file and print how far they reach. Exit code 1, and no file, when they are not whole."""
    try:
        last = await export(database_url, key, file)
    except ForgedSeals as e:
        console.print(f"[red]{escape(str(e))}[/]: nothing exported. Run nectar audit verify.", soft_wrap=True)
        return DAMAGED
    reach = "No event is sealed yet" if last is None else f"Sealed up to position {last.to_position:,}"
    console.print(
        f"{reach}. Signed with key {key_id(key)}. Keep {escape(str(file))} away from this machine.", soft_wrap=True
    )
    return INTACT


async def export_events_command(
    database_url: str,
    console: Console,
    *,
    key: Ed25519PrivateKey,
    file: Path,
    begin: Place,
    end: Place,
    format_: Format,
) -> int:
    """Write the events of a range to a file with their seals, and print which. Exit code 1 when they were changed.

    Raises `Invalid`, `Unavailable` and `OSError`; then, and with exit code 1, the file is as it was.
    """
    try:
        with _progress(console) as bar:
            task = bar.add_task("Exporting and verifying", total=None)
            exported = await ranges.export(
                database_url,
                key,
                file,
                begin=begin,
                end=end,
                format_=format_,
                progress=lambda done, all_: bar.update(task, completed=done, total=all_),
            )
    except NotAsSealed as e:
        console.print(f"[red]{escape(str(e))}[/]: nothing exported. Run nectar audit verify.", soft_wrap=True)
        return DAMAGED
    head = exported.head
    reach = f"positions {head.first:,} to {head.last:,}" if head.last >= head.first else "a range without events"
    console.print(
        f"{exported.events:,} events, {reach}, signed with key {key_id(key.public_key())}. They hold no secret: keys"
        " never enter the log. nectar audit verify proves the file anywhere.",
        soft_wrap=True,
    )
    if exported.unsealed:
        console.print(
            f"{exported.unsealed:,} events at the end of the range are not sealed yet and are not in the file. A server"
            " that runs seals them within a second.",
            soft_wrap=True,
        )
    return INTACT


async def verify_file_command(console: Console, file: Path) -> int:
    """Verify exported events by the seals in their file, and print what is wrong. Exit code 1 when something is.

    Raises `WrongExport` and `OSError`.
    """
    with _progress(console) as bar:
        task = bar.add_task("Verifying", total=None)
        report, key, head = await files.verify(file, lambda done, all_: bar.update(task, completed=done, total=all_))
    _show_findings(console, report)
    verdict = "[red]The file was changed[/]" if report.findings else "[green]The events are as they were sealed[/]"
    reach = f"positions {head.first:,} to {head.last:,}" if head.last >= head.first else "a range without events"
    console.print(
        f"{verdict}: {report.events:,} events, {reach}, {report.seals:,} seals of key {key_id(key)}. Compare that key"
        " with the one that the server's owner names: a file brings its own.",
        soft_wrap=True,
    )
    return DAMAGED if report.findings else INTACT


def place_of(given: str) -> Place:
    """Return a position, or a moment in ISO 8601, in UTC where it does not say. Raises `ValueError`."""
    if given.isdecimal():
        number = int(given)
        if not 0 < number < 2**63:
            raise ValueError(f"Position {given} is none: they count from 1")
        return number
    at = datetime.fromisoformat(given)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _show_findings(console: Console, report: Report) -> None:
    for found in report.findings:
        place = f"Event {found.first}" if found.first == found.last else f"Events {found.first} to {found.last}"
        console.print(f"[red]{place} {found.kind}[/]: {escape(found.message)}", soft_wrap=True)
    if report.more:
        console.print(f"[red]… and {report.more:,} more[/]")
    if report.dropped:
        console.print(f"{report.dropped:,} events were dropped by retention, as signed records say.", soft_wrap=True)


def _show(console: Console, report: Report, key: Ed25519PublicKey) -> None:
    _show_findings(console, report)
    verdict = "[red]The log was changed[/]" if report.findings else "[green]The log is as it was sealed[/]"
    console.print(
        f"{verdict}: {report.events:,} events read, {report.seals:,} seals of key {key_id(key)} up to position"
        f" {report.sealed_to:,}, {report.tail:,} events after it not sealed yet.",
        soft_wrap=True,
    )
