"""The commands `nectar audit verify` and `nectar audit export-seals`: what they print, and their exit codes."""

from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from adapters.audit.exports import ForgedSeals, export, read
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


def _show(console: Console, report: Report, key: Ed25519PublicKey) -> None:
    for found in report.findings:
        place = f"Event {found.first}" if found.first == found.last else f"Events {found.first} to {found.last}"
        console.print(f"[red]{place} {found.kind}[/]: {escape(found.message)}", soft_wrap=True)
    if report.more:
        console.print(f"[red]… and {report.more:,} more[/]")
    if report.dropped:
        console.print(f"{report.dropped:,} events were dropped by retention, as signed records say.", soft_wrap=True)
    verdict = "[red]The log was changed[/]" if report.findings else "[green]The log is as it was sealed[/]"
    console.print(
        f"{verdict}: {report.events:,} events read, {report.seals:,} seals of key {key_id(key)} up to position"
        f" {report.sealed_to:,}, {report.tail:,} events after it not sealed yet.",
        soft_wrap=True,
    )
