"""Why there can be no private Postgres."""


class NoPostgres(Exception):
    """Say why the private Postgres cannot run, and what the operator can do about it."""


class AlreadyServed(NoPostgres):
    """Say that another server is at work on the data folder: its Postgres runs."""
