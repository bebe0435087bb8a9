"""The library's own test cases for a recorder, and its application and projection runner, over our log."""

from collections.abc import Iterator
from datetime import datetime
from uuid import uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import BaseAggregate, CanInitAggregate, CanMutateAggregate, MetaDomainEvent, event
from eventsourcing.persistence import IntegrityError, StoredEvent, Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.tests import persistence
from psycopg.conninfo import conninfo_to_dict

from adapters.event_store import PostgresLog
from adapters.eventsourcing_recorder import ACTOR, LogRecorder, environment
from commands.ports import Write
from domain.accounts import AccountAdded
from domain.errors import StreamMoved
from domain.events import Origin

CONNECTIONS = {"POSTGRES_POOL_SIZE": "2", "POSTGRES_MAX_OVERFLOW": "10"}


@pytest.fixture
def datastore(database_url: str) -> Iterator[PostgresDatastore]:
    given = conninfo_to_dict(database_url)
    with PostgresDatastore(
        dbname=str(given["dbname"]),
        host=str(given["host"]),
        port=str(given.get("port", "5432")),
        user=str(given["user"]),
        password="",
        pool_size=2,
        max_overflow=20,
        originator_id_type="text",
    ) as opened:
        yield opened


class OnOurLog:
    """What the library's test cases are told of the recorder."""

    @pytest.fixture(autouse=True)
    def _take(self, datastore: PostgresDatastore) -> None:
        self.datastore = datastore

    def new_originator_id(self) -> str:
        return f"thing-{uuid4()}"

    def create_recorder(self) -> LogRecorder:
        return LogRecorder(self.datastore)


class TestApplicationRecorder(OnOurLog, persistence.ApplicationRecorderTestCase[LogRecorder]):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestOrderOfPositions(OnOurLog, persistence.NonInterleavingNotificationIDsBaseCase):
    pass


class Happened(CanMutateAggregate[str], metaclass=MetaDomainEvent):
    originator_id: str
    originator_version: int
    timestamp: datetime


class Lamp(BaseAggregate[str]):
    """A lamp that counts how often it was switched."""

    class Event(Happened):
        pass

    class Created(Event, CanInitAggregate[str]):
        originator_topic: str
        name: str

    def __init__(self, name: str) -> None:
        self.name = name
        self.switched = 0

    @staticmethod
    def create_id(name: str) -> str:
        return f"lamp-{name}"

    @event("Switched")
    def switch(self) -> None:
        self.switched += 1


class Lamps(Application[str]):
    """All lamps."""


class Switches(PostgresTrackingRecorder):
    """Counts events, and how far it has counted."""

    count = 0

    def add(self, tracking: Tracking) -> None:
        self.insert_tracking(tracking)
        self.count += 1


class Counting(Projection[Switches]):
    """Counts what happened to lamps."""

    @singledispatchmethod
    def process_event(self, domain_event: object, tracking: Tracking) -> None:
        self.view.add(tracking)


def test_an_application_saves_and_finds_its_aggregates(database_url: str):
    with Lamps(env=environment(database_url) | CONNECTIONS) as lamps:
        lamp = Lamp("hall")
        lamp.switch()
        lamp.switch()
        lamps.save(lamp)
        found: Lamp = lamps.repository.get("lamp-hall")
        assert (found.name, found.switched, found.version) == ("hall", 2, 3)
        before: Lamp = lamps.repository.get("lamp-hall", version=2)
        assert before.switched == 1
        assert [n.id for n in lamps.notification_log.select(start=1, limit=10)] == [1, 2, 3]


def test_two_savers_of_one_aggregate_conflict(database_url: str):
    with Lamps(env=environment(database_url) | CONNECTIONS) as lamps:
        lamps.save(Lamp("hall"))
        one: Lamp = lamps.repository.get("lamp-hall")
        other: Lamp = lamps.repository.get("lamp-hall")
        one.switch()
        other.switch()
        lamps.save(one)
        with pytest.raises(IntegrityError):
            lamps.save(other)


def test_a_projection_runner_follows(database_url: str):
    env = environment(database_url) | CONNECTIONS
    with ProjectionRunner(application_class=Lamps, projection_class=Counting, view_class=Switches, env=env) as runner:
        lamp = Lamp("hall")
        lamp.switch()
        saved = runner.app.save(lamp)
        runner.wait(saved[-1].notification.id, timeout=10)
        assert runner.projection.view.count == 2


async def test_both_ways_of_writing_share_streams_and_positions(
    log: PostgresLog, database_url: str, datastore: PostgresDatastore
):
    recorder = LogRecorder(datastore)
    origin = Origin(correlation_id=uuid4(), command_id=uuid4(), actor="anna")
    await log.append([Write(stream="account-x", expected_version=0, events=[AccountAdded(account="x")])], origin)
    [ours] = recorder.select_events("account-x")
    assert (ours.topic, ours.originator_version, ours.state) == ("AccountAdded", 1, b'{"account":"x"}')
    again = StoredEvent(originator_id="account-x", originator_version=2, topic=ours.topic, state=ours.state)
    assert recorder.insert_events([again]) == [2]
    with pytest.raises(StreamMoved):
        await log.append([Write(stream="account-x", expected_version=1, events=[AccountAdded(account="x")])], origin)
    theirs = (await log.last(["account-x"]))["account-x"]
    assert theirs is not None
    assert (theirs.position, theirs.actor, theirs.event) == (2, ACTOR, AccountAdded(account="x"))
    assert theirs.command_id == theirs.correlation_id


def test_a_hole_in_a_stream_is_refused(datastore: PostgresDatastore):
    late = StoredEvent(originator_id="lamp-hall", originator_version=3, topic="Switched", state=b"{}")
    with pytest.raises(IntegrityError, match="Stream 'lamp-hall' is not at version 2"):
        LogRecorder(datastore).insert_events([late])


def test_nothing_to_insert_is_nothing_done(datastore: PostgresDatastore):
    recorder = LogRecorder(datastore)
    assert recorder.insert_events([]) is None
    assert recorder.max_notification_id() is None
