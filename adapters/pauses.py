"""How long to wait before something is tried again."""

from collections.abc import Iterator


def pauses(first: float, longest: float) -> Iterator[float]:
    """Yield seconds to wait, for ever: twice as long each time, up to the longest."""
    pause = first
    while True:
        yield pause
        pause = min(pause * 2, longest)
