"""`nectar rebuild`: build views anew, with a bar that says how fast and how long."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from adapters.event_store import PostgresLog
from adapters.garbage import collect_rarely
from adapters.migrations import migrate
from domain.errors import NotFound
from projections.replay import rebuild
from projections.view import Stuck, View
from projections.views import VIEWS


class _Rate(ProgressColumn):
    """Events per second, as the rebuild itself counts them."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.fields['rate']:,.0f} events/s")


def chosen(name: str) -> list[View]:
    """Return the views that a name means, `all` for all of them. Raises `NotFound`."""
    views = [view for view in VIEWS if name in ("all", view.name)]
    if not views:
        raise NotFound(f"View '{name}' not found. Views: all, {', '.join(view.name for view in VIEWS)}")
    return views


async def rebuild_command(database_url: str, name: str) -> int:
    """Build a view anew, or all, while the old ones serve, and print how it goes. Goes on where one was cut off.

    Returns 1 when a view cannot take an event.
    """
    views = chosen(name)
    collect_rarely()
    console = Console()
    await migrate(database_url)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        _Rate(),
        TimeRemainingColumn(),
    )
    async with PostgresLog.open(database_url) as log:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("Rebuilding", total=None, rate=0.0)
            try:
                reached = await rebuild(
                    database_url,
                    log,
                    views,
                    told=lambda position, total, rate: bar.update(task, completed=position, total=total, rate=rate),
                )
            except Stuck as stuck:
                console.print(f"{stuck}. The old views serve on; a rebuild goes on from there.", soft_wrap=True)
                return 1
            seconds = bar.tasks[0].elapsed or 0.0
    rate = reached / seconds if seconds else 0.0
    built = ", ".join(view.name for view in views)
    console.print(f"Built {built} from {reached:,} events in {seconds:.1f} s ({rate:,.0f} events/s).")
    return 0
