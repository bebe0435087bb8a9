"""The one tree of errors that this system raises on purpose.

```
DomainError
├── Malformed    422  the request's schema alone refuses it
├── Invalid      400  state or rules refuse it
├── Forbidden    403
├── NotFound     404
├── Conflict     409
│   └── StreamMoved   the stream's version is not the expected one: load again, decide again
├── Gone         410  it was there, and was deleted on purpose
└── Unavailable  503  something outside (log, venue, broker) does not answer; nothing is known to have changed
```

Messages are for the user: they name the thing, the value and the bound. `adapters/http/errors.py` maps the tree to
answers.
"""


class DomainError(Exception):
    """Refuse with a message that a user can act on."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Malformed(DomainError):
    """Refuse what the request's schema alone can refuse.

    `location` is the path to the value, outermost first (`("body", "amount")`), `kind` the name of the rule that
    refused it in the wire contract (`greater_than`), `given` the value as it came, `bounds` the rule's own numbers
    (`{"gt": 0}`).
    """

    def __init__(
        self,
        message: str,
        *,
        location: tuple[str | int, ...],
        kind: str = "value_error",
        given: object = None,
        bounds: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.location = location
        self.kind = kind
        self.given = given
        self.bounds = bounds


class Invalid(DomainError):
    """Refuse what state or trading rules do not allow."""


class Forbidden(DomainError):
    """Refuse what this caller may not do."""


class NotFound(DomainError):
    """Say that the named thing does not exist."""


class Conflict(DomainError):
    """Refuse because another change came first."""


class StreamMoved(Conflict):
    """Say that a stream is not at the expected version; the decision has to be made again on the new state."""

    def __init__(self, stream: str, expected: int) -> None:
        super().__init__(f"Stream '{stream}' has moved past version {expected}")
        self.stream = stream
        self.expected = expected


class Gone(DomainError):
    """Say that what is asked for was there once, and was deleted on purpose."""


class Unavailable(DomainError):
    """Say that something outside does not answer; whether it acted may be unknown.

    `retry_after_seconds` is after how long it is worth asking again, where that is known.
    """

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
