"""Given these events, when this is decided, then those events follow."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Generic, TypeVar

import pytest

from domain.errors import DomainError
from domain.events import Event

S = TypeVar("S")


class When(Generic[S]):
    """A decision that was made on a state, or refused."""

    def __init__(self, decide: Callable[[], list[Event]]) -> None:
        self._decide = decide

    def then(self, *events: Event) -> None:
        assert self._decide() == list(events)

    def then_refused(self, error: type[DomainError], match: str | None = None) -> None:
        with pytest.raises(error, match=match):
            self._decide()


class Given(Generic[S]):
    """A history, folded."""

    def __init__(self, new: S, evolve: Callable[[S, Event], S], events: Sequence[Event]) -> None:
        self.state = reduce(evolve, events, new)

    def when(self, decision: Callable[[S], list[Event]]) -> When[S]:
        return When(lambda: decision(self.state))
