"""Find an engine that answers, or start one."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_PROGRAMS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])

# Bots share the host's network, so the engine needs no bridge and no rules of its own. A proxy where nobody listens
# makes every registry but one on this machine unreachable at once, whatever the network.
_ARGUMENTS = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--log-level=warn")
_NOWHERE = "http://127.0.0.1:9"


class Engine:
    """An engine that answers. `own` is whether it was started for these tests, so that all in it may be touched."""

    def __init__(self, url: str, *, own: bool) -> None:
        self.url = url
        self.own = own

    def client(self) -> docker.DockerClient:
        """Return a new client of it."""
        return docker.DockerClient(base_url=self.url, timeout=60)


class OwnEngine(Engine):
    """An engine in a folder of its own, which a test may stop and start again; `namespace` is a network to be in."""

    def __init__(self, folder: Path, namespace: str | None = None) -> None:
        super().__init__(f"unix://{folder / 'docker.sock'}", own=True)
        self._folder = folder
        self._within = () if namespace is None else ("nsenter", f"--net=/var/run/netns/{namespace}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        folder = self._folder
        with (folder / "dockerd.log").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    # It must not outlive tests that are killed.
                    *("setpriv", "--pdeathsig", "TERM", *self._within, str(_dockerd())),
                    *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
                    *("--pidfile", str(folder / "dockerd.pid"), "--host", self.url, *_ARGUMENTS),
                ],
                env={**os.environ, "PATH": _PROGRAMS, "HTTP_PROXY": _NOWHERE, "HTTPS_PROXY": _NOWHERE},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + _START_SECONDS
        while not answers(self.url):
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                said = (folder / "dockerd.log").read_text()[-4000:]
                if "operation not permitted" in said.lower():
                    pytest.skip("no Docker engine answers, and none may be started here")
                pytest.fail(f"The engine did not start:\n{said}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it, and with it the containers that run."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _dockerd() -> Path | None:
    found = shutil.which("dockerd", path=_PROGRAMS)
    return None if found is None else Path(found)


def answers(url: str | None) -> bool:
    """Return whether an engine answers there; None stands for where the environment says one is."""
    where = url or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if where.startswith("unix://") and not _listens(where.removeprefix("unix://")):
        return False  # The client would leave a socket open.
    try:
        client = docker.from_env(timeout=10) if url is None else docker.DockerClient(base_url=url, timeout=10)
    except DockerException:
        return False
    client.close()
    return True


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


@contextmanager
def engine() -> Iterator[Engine]:
    """Give the engine that answers, else one of our own. Skips the test where neither can be."""
    if answers(None):
        yield Engine(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"), own=False)
    else:
        with own_engine() as started:
            yield started


@contextmanager
def own_engine(namespace: str | None = None) -> Iterator[OwnEngine]:
    """Start an engine in a folder of its own, which is gone afterwards with all that was in it."""
    if _dockerd() is None or os.geteuid() != 0:
        pytest.skip("no Docker engine answers, and one can be started only by root and where dockerd is installed")
    folder = Path(tempfile.mkdtemp(prefix="nectar-engine-"))  # pytest's own is too deep for the path of a socket
    made = OwnEngine(folder, namespace)
    try:
        made.start()
        for container in _leftovers(made):
            pytest.fail(f"A new engine has the container {container}")
        yield made
    finally:
        _clear(made)
        made.stop()
        for mounted in reversed(_mounted_below(folder)):
            subprocess.run(["umount", mounted], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _mounted_below(folder: Path) -> list[str]:
    """Return what an engine leaves mounted when it stops, in the order in which it was mounted."""
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    return [place for place in (line.split()[1] for line in mounts) if place.startswith(f"{folder}/")]


def _leftovers(made: Engine) -> list[str]:
    client = made.client()
    try:
        return [str(container.name) for container in client.containers.list(all=True)]
    finally:
        client.close()


def _clear(made: Engine) -> None:
    """End what runs in it, so that it need not wait for it."""
    if not answers(made.url):
        return
    client = made.client()
    try:
        if client.info()["Swarm"]["LocalNodeState"] == "active":
            client.swarm.leave(force=True)
        for container in client.containers.list(all=True):
            container.remove(force=True)
    finally:
        client.close()
