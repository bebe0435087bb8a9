"""What bots say is recorded once and in order, whichever of two servers works, and whatever was away meanwhile."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from domain.bots import updates_of
from tests.broker import NEEDS_MOSQUITTO, Mosquitto, client, mosquitto
from tests.cluster import Cluster, cluster
from tests.contract.serving import Nectar, until
from tests.faults.conftest import Make
from tests.faults.test_standing_by import stands_by

pytestmark = NEEDS_MOSQUITTO

BOT = "bot-20261122-070417"


@pytest.fixture
def postgres() -> Iterator[Cluster]:
    """A Postgres of the test's own."""
    with cluster() as started:
        yield started


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with mosquitto("max_queued_messages 0") as broker:
        yield broker


def say(broker: Mosquitto, lines: range) -> None:
    """Have the bot log lines with these numbers."""

    async def publish() -> None:
        async with client(broker.port) as bot:
            for n in lines:
                await bot.publish(f"hbot/{BOT}/log", b'{"msg":"%d"}' % n)

    asyncio.run(publish())


def recorded(postgres: Cluster) -> list[int]:
    """Return the numbers of the lines in the log, in their order."""
    query = "select convert_from(data, 'UTF8')::json ->> 'message' from log.events where stream = %s order by version"
    with psycopg.connect(postgres.url()) as connection:
        return [int(number) for (number,) in connection.execute(query, [updates_of(BOT)])]


def connected(server: Nectar) -> bool:
    with server.client() as client:
        state = client.get("/bot-orchestration/mqtt").json()["data"]
    assert state["mqtt_connected"] is (state["problem"] is None)
    return bool(state["mqtt_connected"])


def until_recorded(postgres: Cluster, lines: range) -> None:
    """Wait until so many lines are recorded, and see that they are these, each once and in order."""
    until(lambda: len(recorded(postgres)) >= len(lines))
    assert recorded(postgres) == list(lines)


def test_of_two_servers_one_hears_the_bots_and_the_other_takes_over(nectar: Make, postgres: Cluster, broker: Mosquitto):
    environment = {"DATABASE_URL": postgres.url(), "BROKER_PORT": str(broker.port)}
    first = nectar("first", **environment).start()
    second = nectar("second", **environment).launch()
    until(lambda: stands_by(second))
    until(lambda: connected(first))
    say(broker, range(500))
    until_recorded(postgres, range(500))
    first.kill()
    until(second.is_ready)
    until(lambda: connected(second))
    say(broker, range(500, 1000))
    until_recorded(postgres, range(1000))


def test_what_is_said_while_the_log_is_away_is_recorded_when_it_is_back(
    nectar: Make, postgres: Cluster, broker: Mosquitto
):
    server = nectar(DATABASE_URL=postgres.url(), BROKER_PORT=str(broker.port)).start()
    until(lambda: connected(server))
    say(broker, range(100))
    until_recorded(postgres, range(100))
    postgres.stop()
    say(broker, range(100, 600))
    postgres.start()
    until_recorded(postgres, range(600))


def test_a_broker_that_was_away_is_missed_by_name_and_found_again(nectar: Make, postgres: Cluster, broker: Mosquitto):
    server = nectar(DATABASE_URL=postgres.url(), BROKER_PORT=str(broker.port)).start()
    until(lambda: connected(server))
    broker.kill()
    until(lambda: not connected(server))
    with server.client() as client:
        answer = client.get(f"/bot-orchestration/{BOT}/history")
        assert answer.status_code == 404  # Nobody has heard of it, with a broker or without.
    broker.start()
    until(lambda: connected(server))
    say(broker, range(10))
    until_recorded(postgres, range(10))
