"""The eventsourcing library's own recorder on its own table, as a measure for ours: every save is a commit."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from uuid import uuid4

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict


def library_recorder(database_url: str, connections: int) -> PostgresApplicationRecorder:
    """Return the library's recorder with its table made. The caller closes its `datastore`."""
    given = conninfo_to_dict(database_url)
    datastore = PostgresDatastore(
        dbname=str(given["dbname"]),
        host=str(given["host"]),
        port=str(given.get("port", 5432)),
        user=str(given["user"]),
        password=str(given.get("password", "")),
        pool_size=connections,
        originator_id_type="text",
    )
    recorder = PostgresApplicationRecorder(datastore, events_table_name="library_events")
    recorder.create_table()
    return recorder


def library_rate(database_url: str, states: Sequence[bytes], *, threads: int) -> float:
    """Return the commits per second when each of `states` is saved as the one event of a new stream."""
    recorder = library_recorder(database_url, threads)

    def save(state: bytes) -> None:
        event = StoredEvent(originator_id=f"order-{uuid4()}", originator_version=1, topic="OrderPlaced", state=state)
        recorder.insert_events([event])

    with recorder.datastore, ThreadPoolExecutor(threads) as pool:
        list(pool.map(save, states[:threads]))  # connections are made, statements prepared
        started = perf_counter()
        list(pool.map(save, states))
        return len(states) / (perf_counter() - started)
