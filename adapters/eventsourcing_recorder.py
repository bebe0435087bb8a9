"""The event log as a recorder of the eventsourcing library: its applications and projection runners work on our table.

The library names things differently: an *originator* is a stream, a *topic* is a type, a *notification id* a position.
A reader of ours stops at an event whose type is not in `domain/catalog.py`, so applications that save events of their
own belong in a database of their own.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.persistence import IntegrityError, Notification, StoredEvent, Subscription
from eventsourcing.postgres import (
    PostgresApplicationRecorder,
    PostgresDatastore,
    PostgresRecorder,
    PostgresSubscription,
)
from psycopg.conninfo import conninfo_to_dict

ACTOR = "<eventsourcing>"

_APPEND = """
select before, moved from log.append(
    streams => %s::text[], expected => %s::bigint[],
    event_streams => %s::text[], versions => %s::bigint[], types => %s::text[],
    schema_versions => array_fill(1::bigint, array[%s]),
    correlation_ids => array_fill(%s::uuid, array[%s]), causation_ids => array_fill(null::uuid, array[%s]),
    command_ids => array_fill(%s::uuid, array[%s]), actors => array_fill(%s::text, array[%s]), datas => %s::bytea[],
    key_actors => '{}', keys => '{}', requests => '{}', answers => '{}', key_events => '{}')
"""
_EVENTS = """
select stream, version, type, data from log.events
 where stream = %s and version > coalesce(%s::bigint, -1) and version <= coalesce(%s::bigint, 9223372036854775807)
"""
_NOTIFICATIONS = """
select position, stream, version, type, data from log.events
 where shard = 0 and position > %s and position <= coalesce(%s::bigint, 9223372036854775807)
   and (cardinality(%s::text[]) = 0 or type = any(%s::text[]))
 order by position limit %s
"""
_POSITION = "select max(position) as position from log.events where shard = 0"


def environment(database_url: str) -> dict[str, str]:
    """Return the settings that make an application of the library use the log in a database."""
    given = conninfo_to_dict(database_url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "APPLICATION_RECORDER_TOPIC": f"{__name__}:LogRecorder",
        "ORIGINATOR_ID_TYPE": "text",
        "POSTGRES_DBNAME": str(given.get("dbname", "postgres")),
        "POSTGRES_HOST": str(given.get("host", "localhost")),
        "POSTGRES_PORT": str(given.get("port", 5432)),
        "POSTGRES_USER": str(given.get("user", "postgres")),
        "POSTGRES_PASSWORD": str(given.get("password", "")),
    }


class LogRecorder(PostgresApplicationRecorder):
    """Stores through `log.append`, so positions stay gapless beside the log's other writers."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = "events") -> None:
        """Take the library's connections; the table's name is ours whatever an application calls it."""
        PostgresRecorder.__init__(self, datastore)
        self.events_table_name = events_table_name
        self.channel_name = "nectar_events"  # what the library's subscription listens to

    def create_table(self) -> None:
        """Do nothing: tables come from `migrations/`."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: object) -> Sequence[int] | None:
        """Append events, all or none, and return their positions.

        Raises `IntegrityError` where a version exists, or does not follow the stream's last one. A stream that the
        library begins at version 0 is checked from there on.
        """
        if not stored_events:
            return None
        begins: dict[str, int] = {}
        for event in stored_events:
            begins.setdefault(str(event.originator_id), event.originator_version)
        expected = {stream: version - 1 for stream, version in begins.items() if version > 0}
        count, command_id = len(stored_events), uuid4()
        values = (
            *(list(expected), list(expected.values())),
            [str(event.originator_id) for event in stored_events],
            [event.originator_version for event in stored_events],
            [event.topic for event in stored_events],
            *(count, command_id, count, count, command_id, count, ACTOR, count),
            [event.state for event in stored_events],
        )
        with self.datastore.get_connection() as connection:
            row = _only(connection.execute(_APPEND, values, prepare=True, binary=True).fetchall())
        if row["moved"]:
            moved = list(expected)[row["moved"][0] - 1]
            raise IntegrityError(f"Stream '{moved}' is not at version {expected[moved]}")
        return list(range(row["before"] + 1, row["before"] + 1 + count))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return the events of a stream, above one version and up to and with another."""
        query = f"{_EVENTS} order by version {'desc' if desc else 'asc'} limit %s"
        with self.datastore.get_connection() as connection:
            rows = connection.execute(query.encode(), (str(originator_id), gt, lte, limit), prepare=True, binary=True)
            return [
                StoredEvent(
                    originator_id=row["stream"],
                    originator_version=row["version"],
                    topic=row["type"],
                    state=row["data"],
                )
                for row in rows
            ]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Return events in position order from `start` (or above it) through `stop`, of all topics or those named."""
        above = 0 if start is None else start - 1 if inclusive_of_start else start
        with self.datastore.get_connection() as connection:
            values = (above, stop, list(topics), list(topics), limit)
            return [
                Notification(
                    id=row["position"],
                    originator_id=row["stream"],
                    originator_version=row["version"],
                    topic=row["type"],
                    state=row["data"],
                )
                for row in connection.execute(_NOTIFICATIONS, values, prepare=True, binary=True)
            ]

    def max_notification_id(self) -> int | None:
        """Return the log's last position, None for an empty log."""
        with self.datastore.get_connection() as connection:
            position: int | None = _only(connection.execute(_POSITION).fetchall())["position"]
            return position

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[PostgresApplicationRecorder]:
        """Return what comes above a position, of all topics or those named."""
        return _Subscription(recorder=self, gt=gt, topics=topics)


class _Subscription(PostgresSubscription):
    """The library's, which looks at the log before it listens; what is appended in between would ring for nobody."""

    def _listen(self) -> None:
        try:
            with self._recorder.datastore.get_connection() as connection:
                connection.execute(f"listen {self._recorder.channel_name}".encode())
                self._has_been_notified.set()
                while not self._has_been_stopped:
                    if list(connection.notifies(timeout=0.1, stop_after=1)):
                        self._has_been_notified.set()
        except Exception as error:  # noqa: BLE001 - it is raised to who iterates
            self._thread_error = self._thread_error or error
            self.stop()


def _only(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    [row] = rows
    return row
