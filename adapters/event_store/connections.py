"""How the event log connects to its server, and what it says when it cannot."""

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from domain.errors import Unavailable

# A server that vanished without a word is noticed after about fifteen seconds.
_DEFAULTS: dict[str, str | int] = {
    "application_name": "nectar",
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}


def parameters(database_url: str) -> str:
    """Return how to connect: what the URL says, and where it says nothing, what suits a log."""
    given = conninfo_to_dict(database_url)
    return make_conninfo(database_url, **{name: value for name, value in _DEFAULTS.items() if name not in given})


def unreachable(why: psycopg.Error) -> Unavailable:
    """Return the error for a server that does not answer."""
    return Unavailable(f"The event log cannot be reached: {str(why).strip().partition(chr(10))[0]}")
