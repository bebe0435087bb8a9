"""What takes its time on an engine keeps nothing else waiting. The engine is one of ours that ends no container.

The number in a comment is that of a defect of the reference.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from adapters.docker import Connection, DockerEngine, DockerRuntime, Images
from adapters.docker.connection import _LONG, _SHORT
from tests.engine.places import AT

OWNER = "the data"
RUNNING = {"Status": "running", "Running": True, "ExitCode": 0}


class SlowEngine(ThreadingHTTPServer):
    """Says that every container runs and is ours, and lets none of them end before `release` is set."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.release = threading.Event()
        self.held = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SlowEngine

    def do_GET(self) -> None:
        *_, kind, name, last = ("", "", *self.path.partition("?")[0].split("/"))
        if last == "version":
            return self._answer({"ApiVersion": "1.41"})
        if kind == "containers" and last == "json":
            config = {"Image": "any", "Labels": {"nectar.owner": OWNER, "nectar.instance": name}}
            return self._answer({"Id": name, "Name": f"/{name}", "Config": config, "State": RUNNING})
        return self._answer([])

    def do_POST(self) -> None:
        with self.server.lock:
            self.server.held += 1
        self.server.release.wait(30)
        self._answer({})

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def slow() -> Iterator[SlowEngine]:
    server = SlowEngine()
    serving = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    serving.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()
    serving.join()


# 29
async def test_however_many_containers_are_being_stopped_everything_else_is_answered(slow, tmp_path):
    connection = Connection(slow.url)
    images = Images(connection, clock=lambda: AT)
    runtime = DockerRuntime(connection, images, owner=OWNER, bots=tmp_path, config_password="a")
    engine = DockerEngine(connection, images, owner=OWNER)
    many = 2 * _SHORT
    assert many < _LONG
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for number in range(0, many, 2):
            tasks.create_task(runtime.stop(f"bot-{number}", 30))
            tasks.create_task(engine.stop(f"bot-{number + 1}"))
        while slow.held < many:
            await asyncio.sleep(0.01)
        assert await runtime.instances() == {}
        assert (await engine.status("bot-1")).status == "running"
        slow.release.set()
    connection.close()
