"""What cannot be served is refused at once: exit code 2, and a message that names the thing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.serving import Nectar
from tests.faults.conftest import Make


def refused(server: Nectar, *arguments: str) -> str:
    """Return the last line that a server prints which refuses to start."""
    server.launch(*arguments)
    assert server.process is not None
    code = server.process.wait(30)
    said = server.output()
    assert code == 2, said
    assert "Traceback" not in said
    return said.strip().splitlines()[-1]


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_data_that_are_in_use_or_made_with_another_password_are_refused(nectar: Make):
    first = nectar(CONFIG_PASSWORD="right").start()
    second = Nectar(first.data, {**first.environment, "CONFIG_PASSWORD": "wrong"})
    message = refused(second)
    assert "Another server (process" in message
    assert str(first.data) in message
    assert first.is_ready()
    first.stop()
    assert "CONFIG_PASSWORD does not open the vault" in refused(second)


def test_a_recorded_market_that_cannot_be_used_is_refused_at_the_start(nectar: Make, tmp_path: Path):
    feed = tmp_path / "BTC-USDT.csv"
    feed.write_text("timestamp,price\n2026-01-01,100\n", encoding="utf-8")
    said = refused(nectar(PAPER_FEED=str(feed)))
    assert "PAPER_FEED file 'BTC-USDT.csv', line 1: columns timestamp, price are" in said


def test_a_taken_port_is_refused_before_anything_is_started(nectar: Make):
    server = nectar()
    with taken_port() as server.port:
        assert f"127.0.0.1:{server.port}' cannot be listened on" in refused(server)
    assert not (server.data / "postgres").exists()


@pytest.mark.parametrize(
    ("environment", "arguments", "message"),
    [
        (
            {"ACCOUNT_UPDATE_INTERVAL": "soon"},
            (),
            "Wrong setting ACCOUNT_UPDATE_INTERVAL: 'soon' is not a whole number",
        ),
        ({"BROKER_PORT": "70000"}, (), "Wrong setting BROKER_PORT: '70000' is not between 1 and 65535"),
        ({"DATABASE_URL": "mysql://x"}, (), "Wrong setting DATABASE_URL: the value given is not a URL of the form"),
        ({}, ("--host", "0.0.0.0"), "Wrong setting PASSWORD: the value given is the default"),
        ({}, ("--host", "no.such.host.invalid"), "is the default, which is accepted on a loopback address only"),
        ({"PASSWORD": "s3cret"}, ("--host", "no.such.host.invalid"), "'no.such.host.invalid:0' cannot be listened on"),
        ({}, ("--port", "65536"), "Wrong setting --port: '65536' is not between 0 and 65535"),
        (
            {"DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/x"},
            (),
            "The database cannot be reached: connection failed",
        ),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    nectar: Make, environment: dict[str, str], arguments: tuple[str, ...], message: str
):
    said = refused(nectar(**environment), *(arguments or ()), *(() if "--port" in arguments else ("--port", "0")))
    assert message in said
    assert "hidden" not in said
