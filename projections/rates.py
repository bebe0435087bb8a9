"""Where prices for rates come from, and what values are shown in."""

from collections.abc import Sequence

import msgspec

from domain.events import Recorded
from domain.rates import NEW, GlobalTokenChanged, RateSettings, RateSourceChanged
from projections.view import Changes, Connection, View, text

_TABLES = """
    create table rate_settings (
        name  text primary key,
        value text not null
    );
"""


async def apply(changes: Changes, events: Sequence[Recorded]) -> None:
    """Take events into the table: each setting as it was set last; one that was never set has no row."""
    settings: dict[str, str | None] = {}
    for recorded in events:
        match recorded.event:
            case RateSourceChanged(source=source):
                settings["source"] = text(source)
            case GlobalTokenChanged(token=token, symbol=symbol):
                settings |= {"token": text(token), "symbol": text(symbol)}
    await changes.put(
        "rate_settings",
        [{"name": name, "value": value} for name, value in settings.items()],
        "on conflict (name) do update set value = excluded.value",
    )


VIEW = View(
    name="rates",
    tables=_TABLES,
    indexes="",
    handles=(RateSourceChanged, GlobalTokenChanged),
    apply=apply,
)


async def settings(connection: Connection) -> RateSettings:
    """Return the settings."""
    found = await connection.execute("select name, value from rate_settings")
    return msgspec.structs.replace(NEW, **dict(await found.fetchall()))
