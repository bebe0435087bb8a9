"""A driver of volumes that every machine has: a plugin of Docker whose volumes are folders of this machine.

All engines here find it, those with a network of their own too: it is a socket in the place where Docker looks.
"""

import json
import shutil
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from uuid import uuid4

_PLUGINS = Path("/run/docker/plugins")


class SharedVolumes(socketserver.ThreadingUnixStreamServer):
    """The driver. `made` is volume → the options that it was made with."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.name = f"nectar-test-{uuid4().hex[:8]}"
        self.folder = folder
        self.made: dict[str, Mapping[str, str]] = {}
        _PLUGINS.mkdir(parents=True, exist_ok=True)
        super().__init__(str(_PLUGINS / f"{self.name}.sock"), _Answers)

    def answer(self, what: str, volume: str, options: Mapping[str, str]) -> Mapping[str, object]:
        """Return the answer to what an engine asks, in Docker's own words."""
        there = {"Name": volume, "Mountpoint": str(self.folder / volume)}
        match what:
            case "/Plugin.Activate":
                return {"Implements": ["VolumeDriver"]}
            case "/VolumeDriver.Capabilities":
                return {"Capabilities": {"Scope": "global"}}
            case "/VolumeDriver.List":
                return {"Volumes": [{"Name": name} for name in self.made]}
            case "/VolumeDriver.Create":
                self.made.setdefault(volume, options)
                (self.folder / volume).mkdir(parents=True, exist_ok=True)
            case _ if volume not in self.made:
                return {"Err": f"there is no volume {volume}"}
            case "/VolumeDriver.Remove":
                del self.made[volume]
                shutil.rmtree(self.folder / volume)
            case "/VolumeDriver.Get":
                return {"Volume": there}
        return there


class _Answers(BaseHTTPRequestHandler):
    server: SharedVolumes

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        answer = self.server.answer(self.path, asked.get("Name", ""), asked.get("Opts") or {})
        body = json.dumps({"Err": "", **answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.plugins.v1.1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def shared_volumes(folder: Path) -> Iterator[SharedVolumes]:
    """Run the driver, with its volumes in a folder."""
    server = SharedVolumes(folder)
    serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    serving.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
        (_PLUGINS / f"{server.name}.sock").unlink()
