import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from amqtt.client import MQTTClient
from structlog.testing import capture_logs

from adapters.private_broker import HOST, NoBroker, free_ports, private_broker

MOSQUITTO = shutil.which("mosquitto", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"]))
HAS_MOSQUITTO = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


@pytest.fixture(params=[pytest.param("mosquitto", marks=HAS_MOSQUITTO), "embedded"])
def kind(request, monkeypatch):
    if request.param == "embedded":
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setattr("adapters.private_broker._SYSTEM_FOLDERS", "/nowhere")
    return request.param


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def heard(port: int, message: bytes) -> bytes:
    client = MQTTClient(config={"auto_reconnect": False})
    await client.connect(f"mqtt://{HOST}:{port}/")
    await client.subscribe([("hbot/x/status_updates", 1)])
    await client.publish("hbot/x/status_updates", message, qos=1)
    delivered = await client.deliver_message(timeout_duration=5)
    assert delivered is not None
    await client.disconnect()
    return bytes(delivered.data)


async def test_a_message_goes_through(kind, port, tmp_path):
    async with private_broker(tmp_path, port) as broker:
        assert (broker.host, broker.port, broker.kind) == (HOST, port, kind)
        assert await heard(broker.port, b"here") == b"here"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, port)


async def test_a_taken_port_is_left_to_who_has_it(kind, port, tmp_path):
    with socket.create_server((HOST, port)):
        async with private_broker(tmp_path, port) as broker:
            assert broker.port > port
            assert broker.kind == kind
            assert await heard(broker.port, b"next door") == b"next door"


def test_no_free_port_is_said():
    with socket.create_server((HOST, 65535)), pytest.raises(NoBroker, match="BROKER_PORT"):
        free_ports(65535)


def test_amqtt_is_not_imported_where_it_is_not_needed():
    code = "import sys, adapters.private_broker; sys.exit('amqtt' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@HAS_MOSQUITTO
async def test_a_broker_that_dies_is_noticed(port, tmp_path):
    with capture_logs() as lines:
        async with private_broker(tmp_path, port):
            os.kill(int((tmp_path / "mosquitto" / "mosquitto.pid").read_text()), signal.SIGKILL)
            while not any(line["event"] == "private_broker_ended" for line in lines):
                await asyncio.sleep(0)
    assert [line["exit_code"] for line in lines if line["event"] == "private_broker_ended"] == [-signal.SIGKILL]


@HAS_MOSQUITTO
async def test_a_broker_that_outlived_its_server_gives_its_port_back(port, tmp_path):
    code = (
        "import asyncio, os, sys; from pathlib import Path; from adapters.private_broker import private_broker\n"
        "async def main():\n"
        "    async with private_broker(Path(sys.argv[1]), int(sys.argv[2])): os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path, str(port)], check=False, cwd=Path(__file__).parents[2])
    socket.create_connection((HOST, port)).close()
    async with private_broker(tmp_path, port) as broker:
        assert broker.port == port


@HAS_MOSQUITTO
async def test_another_program_with_the_old_number_is_left_alone(port, tmp_path):
    (tmp_path / "mosquitto").mkdir()
    (tmp_path / "mosquitto" / "mosquitto.pid").write_text(f"{os.getpid()}\n")
    async with private_broker(tmp_path, port) as broker:
        assert broker.port == port


async def test_a_mosquitto_that_cannot_start_says_why(port, tmp_path, monkeypatch):
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho no room left; exit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(NoBroker, match=r"no room left.*BROKER_HOST"):
        async with private_broker(tmp_path / "data", port):
            pass


@HAS_MOSQUITTO
@pytest.mark.parametrize("left", ["", "\0\0\0\0", "x\n"])
async def test_what_a_power_cut_left_of_the_process_id_keeps_nothing_from_starting(left, port, tmp_path):
    (tmp_path / "mosquitto").mkdir()
    (tmp_path / "mosquitto" / "mosquitto.pid").write_text(left)
    async with private_broker(tmp_path, port) as broker:
        assert broker.kind == "mosquitto"


@HAS_MOSQUITTO
async def test_a_broker_comes_back_where_bots_know_it_though_its_usual_port_is_free_again(port, tmp_path):
    with socket.create_server((HOST, port)):
        async with private_broker(tmp_path, port) as first:
            assert first.port != port
    async with private_broker(tmp_path, port) as second:
        assert second.port == first.port
