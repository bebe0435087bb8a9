"""The table that a bench prints: each figure, and beside it the limit that it has to keep."""

from collections.abc import Callable
from operator import ge, le

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `limit` None: nothing depends on it."""

    name: str
    figure: float
    unit: str = ""
    limit: float | None = None
    kept: Callable[[float, float], bool] = ge

    @property
    def met(self) -> bool:
        """Whether the figure keeps its limit."""
        return self.limit is None or self.kept(self.figure, self.limit)


def at_least(name: str, figure: float, limit: float, unit: str = "") -> Row:
    """Return a row whose figure must not be below its limit."""
    return Row(name=name, figure=figure, unit=unit, limit=limit, kept=ge)


def at_most(name: str, figure: float, limit: float, unit: str = "") -> Row:
    """Return a row whose figure must not be above its limit."""
    return Row(name=name, figure=figure, unit=unit, limit=limit, kept=le)


def show(title: str, rows: list[Row]) -> bool:
    """Print the rows under a title, and return whether all limits were kept."""
    width = max(len(row.name) for row in rows)
    print(f"\n{title}")
    for row in rows:
        line = f"  {row.name:<{width}}  {_number(row.figure):>10} {row.unit:<4}"
        if row.limit is not None:
            sign = ">=" if row.kept is ge else "<="
            line += f"  {sign} {_number(row.limit):<8} {'met' if row.met else 'MISSED'}"
        print(line.rstrip(), flush=True)
    return all(row.met for row in rows)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"
