"""What a venue's answer says: which kind of no it is, in the venue's own words, without anything secret.

```
Unavailable            nobody knows what the venue did
└── NotSent            nothing was taken by the venue, and the same may be asked again
    └── Unmade         a request could not be made of what it was to say
Invalid
└── Refused            the venue's no
    ├── NotKnown       it does not know the order
    ├── WrongKeys      it does not take the credentials
    ├── Repeated       it has seen the client order id before
    └── Unchanged      it is as was asked for already
```
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from domain.errors import Invalid, Unavailable

# Numbers with a point stay the digits that the venue wrote; ccxt reads a text where it expects a number.
_exact = msgspec.json.Decoder(float_hook=str)

# Where the words of a refusal stand, the more special first, and the venue's number for it.
_INSIDE = (
    "data",
    "failureList",
    "response",
    "statuses",
    "error_response",
    "failure_response",
    "errors",
    "error",
    "result",
)
_WORDS = (
    "sMsg", "msg", "retMsg", "ret_msg", "message", "err-msg", "err_msg", "errorMessage", "error_description", "reason",
    "error", "detail", "description", "label",
)  # fmt: skip
_NUMBERS = ("sCode", "code", "retCode", "ret_code", "err-code", "err_code", "errorCode")
_LONGEST = 300
_SHORTEST_SECRET = 4
_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']*")
_SIGNED = re.compile(
    r"(?i)\b(signature|sign|api[-_]?key|access[-_]?key(?:id)?|listen[-_]?key|token|passphrase)=[^&\s\"']+"
)


class NotSent(Unavailable):
    """Say that nothing left this process, or that the venue turned it away unread and said to wait."""


class Unmade(NotSent):
    """Say that a request could not be made of what it was to say, keys that cannot sign among that."""


class Refused(Invalid):
    """Say no in the venue's own words."""


class NotKnown(Refused):
    """Say that the venue positively does not know the order."""


class WrongKeys(Refused):
    """Say that the venue does not take the credentials, or not for this."""


class Repeated(Refused):
    """Say that the venue has seen this client order id before."""


class Unchanged(Refused):
    """Say that the venue has nothing to change: it is as was asked for."""


def decoded(text: str | bytes) -> object:
    """Return what a JSON text says; a number with a point is the text of its digits. Raises `ValueError`."""
    return _exact.decode(text)


def secrets_of(config: object) -> frozenset[str]:
    """Return every text in an exchange's configuration that is long enough to hide."""
    if isinstance(config, Mapping):
        return frozenset().union(*(secrets_of(value) for value in config.values()))
    return frozenset({config}) if isinstance(config, str) and len(config) >= _SHORTEST_SECRET else frozenset()


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a text fit to be shown: on one line, short, with no credential, no signature and no query of a URL."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _SIGNED.sub(r"\1=***", _QUERY.sub(r"\1", text))
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def words(body: str) -> str | None:
    """Return what the venue says in its answer, with its number for it, None if it says nothing that can be read."""
    try:
        answer = decoded(body)
    except ValueError:
        return None
    return _said(answer)


def _said(answer: object) -> str | None:
    if isinstance(answer, str):
        return answer or None
    if isinstance(answer, Sequence):
        return next((said for part in answer if (said := _said_inside(part))), None)
    return _said_inside(answer)


def _said_inside(answer: object) -> str | None:
    if isinstance(answer, str):
        return answer or None
    if not isinstance(answer, Mapping):
        return None
    for key in _INSIDE:
        inside = answer.get(key)
        if isinstance(inside, (Mapping, list)) and (said := _said(inside)):
            return said
    said = next((answer[key] for key in _WORDS if isinstance(answer.get(key), str) and answer[key]), None)
    if said is None:
        return None
    number = next((answer[key] for key in _NUMBERS if isinstance(answer.get(key), (str, int)) and answer[key]), None)
    return said if number is None else f"{said} ({number})"
