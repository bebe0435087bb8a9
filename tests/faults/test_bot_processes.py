"""The server is killed whenever it has recorded something of a bot that is a process: it goes on, starting it once."""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.broker import NEEDS_MOSQUITTO, mosquitto
from tests.contract.bots import save_strategies, settings
from tests.contract.serving import Nectar, until
from tests.faults.conftest import Make

LIMIT_SECONDS = 3
"""Seconds that a bot may take to say that it is flat; those that may have been told twice take all of them."""
DEPLOY = {"instance_name": "grid", "credentials_profile": "master_account", "controllers_config": ["pmm"]}
MADE = ["BotDeployed", "BotPrepared", "BotStarted"]
PUT_AWAY = ["BotStopRequested", "BotStopTold", "BotWoundDown", "BotStopped", "BotArchived", "BotCleared"]

pytestmark = NEEDS_MOSQUITTO


@pytest.fixture
def server(nectar: Make, database_url: str) -> Iterator[Nectar]:
    """A server with a strategy, whose bots are processes."""
    with mosquitto() as broker:
        server = nectar(DATABASE_URL=database_url, **settings(broker, limit_seconds=LIMIT_SECONDS)).start()
        save_strategies(server)
        yield server


def life(server: Nectar) -> list[str]:
    """Return the kinds of the events of the one bot that there is, but for whether it was heard."""
    with psycopg.connect(server.environment["DATABASE_URL"]) as connection:
        found = connection.execute(
            "select type from log.events where stream like 'bot-%%' and type not in ('BotLost', 'BotReturned')"
            " order by position"
        ).fetchall()
    return [type_ for (type_,) in found]


def ask(server: Nectar, path: str, body: Mapping[str, object] | None = None) -> threading.Thread:
    """Ask for something, whether or not the server lives to answer."""

    def send() -> None:
        with server.client() as client:
            try:
                client.post(path, headers={"Idempotency-Key": path}, json=body)
            except httpx.TransportError:
                return

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def kill_at_each(server: Nectar, wished: threading.Thread, kinds: list[str]) -> None:
    """Kill the server as soon as it has recorded what it had not before, again and again, until all is recorded."""
    while True:
        seen = life(server)
        if set(kinds) <= set(seen):
            break
        until(partial(has_moved, server, seen), 40)
        server.kill()
        wished.join()
        server.start()


def has_moved(server: Nectar, seen: list[str]) -> bool:
    return life(server) != seen


def processes_in(folder: Path) -> list[str]:
    """Return the processes that work in a folder or below."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = (process / "cwd").resolve()
        except OSError:
            continue
        if where.is_relative_to(folder):
            found.append(process.name)
    return found


def test_a_bot_lives_through_a_kill_at_every_step(server: Nectar) -> None:
    kill_at_each(server, ask(server, "/bot-orchestration/deploy-v2-controllers", DEPLOY), MADE)
    with server.client() as client:
        again = client.post(
            "/bot-orchestration/deploy-v2-controllers",
            json=DEPLOY,
            headers={"Idempotency-Key": "/bot-orchestration/deploy-v2-controllers"},
        ).raise_for_status()
    instance = again.json()["unique_instance_name"]
    assert life(server) == MADE
    bots = server.data / "bots"
    running = processes_in(bots / "instances" / instance)
    assert running
    kill_at_each(server, ask(server, f"/bot-orchestration/stop-and-archive-bot/{instance}"), PUT_AWAY)
    assert life(server) == [*MADE, *PUT_AWAY]
    assert processes_in(bots) == []
    assert list((bots / "instances").iterdir()) == []
    archived = bots / "archived" / instance
    assert not (archived / "conf" / "connectors").exists() or not list((archived / "conf" / "connectors").iterdir())
    assert not (archived / "conf" / ".password_verification").exists()
    (database,) = (archived / "data").glob("*.sqlite")
    with sqlite3.connect(database) as connection:
        starts = connection.execute('select count(*) from "Controllers"').fetchone()
    assert starts == (1,)
