"""Where bots run, each with what a test needs around it: instances that behave as told, names that others have."""

import io
import json
import socket
import sys
import tarfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from docker.errors import APIError
from docker.types import ContainerSpec, RestartPolicy, ServiceMode, TaskTemplate

from adapters.docker import Connection, DockerRuntime, Images, SwarmRuntime
from adapters.local_process import ProcessRuntime
from commands.ports.bots import Runtime
from domain.bots import BotDeployed
from domain.errors import Invalid
from tests.engine import Engine, obedient_image
from tests.engine.images import OBEDIENT
from tests.fakes.runtime import BOT_IMAGE, MemoryRuntime

AT = datetime(2026, 1, 1, tzinfo=UTC)
PASSWORD = "correct horse"
SCRIPT = "obey.yml"


def order(instance: str, image: str = BOT_IMAGE, *, headless: bool = True) -> BotDeployed:
    """Return the wish for an instance."""
    return BotDeployed(
        instance=instance,
        account="master_account",
        image=image,
        strategy_type="script",
        strategy_name="obey",
        script_config=SCRIPT,
        headless=headless,
        deployed_at=AT,
    )


class Place(Protocol):
    """A runtime with its surroundings."""

    image: str

    @property
    def runtime(self) -> Runtime:
        """The runtime."""
        ...

    def prepare(self, instance: str, *, crash: int | None = None, stubborn: bool = False) -> BotDeployed:
        """Write an instance's files, and return the wish for it."""
        ...

    async def starts(self, instance: str) -> list[dict[str, Any]]:
        """Return what the instance says of each of its starts, as soon as the last one has."""
        ...

    def take(self, name: str) -> None:
        """Have somebody else use a name."""
        ...

    def again(self) -> Runtime:
        """Return the runtime as another server on the same data, or this one after a restart, has it."""
        ...

    def away(self) -> Runtime:
        """Return the runtime while what it needs does not answer."""
        ...

    def clear(self) -> None:
        """Remove what tests left."""
        ...


class MemoryPlace:
    """The fake."""

    image = BOT_IMAGE

    def __init__(self) -> None:
        self.runtime = MemoryRuntime()

    def prepare(self, instance: str, *, crash: int | None = None, stubborn: bool = False) -> BotDeployed:
        if crash is not None:
            self.runtime.failing[instance] = crash
        if stubborn:
            self.runtime.stubborn.add(instance)
        return order(instance)

    async def starts(self, instance: str) -> list[dict[str, Any]]:
        return [{}] * self.runtime.starts.get(instance, 0)

    def take(self, name: str) -> None:
        self.runtime.foreign.add(name)

    def again(self) -> Runtime:
        return self.runtime

    def away(self) -> Runtime:
        self.runtime.reachable = False
        return self.runtime

    def clear(self) -> None:
        pass


class FolderPlace:
    """A runtime that takes its files from the folder `bots`."""

    def __init__(self, folder: Path) -> None:
        self.bots = folder / "bots"
        for name in ("scripts", "controllers"):
            (self.bots / name).mkdir(parents=True)
        (self.bots / "scripts" / "obey.py").write_text("# the script\n")
        self.image = BOT_IMAGE

    def prepare(self, instance: str, *, crash: int | None = None, stubborn: bool = False) -> BotDeployed:
        folder = self.bots / "instances" / instance
        for name in ("conf/scripts", "conf/controllers", "conf/connectors", "data", "logs"):
            (folder / name).mkdir(parents=True)
        key = folder / "conf" / "connectors" / "binance.yml"
        key.write_text("binance_api_key: encrypted\n")
        key.chmod(0o600)
        wishes = [f"crash: {crash}\n"] if crash is not None else []
        wishes += ["stubborn: true\n"] if stubborn else []
        (folder / "conf" / "scripts" / SCRIPT).write_text("".join(wishes))
        return order(instance, self.image)

    def read_starts(self, instance: str) -> list[dict[str, Any]]:
        try:
            told = (self.bots / "instances" / instance / "data" / "started.jsonl").read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in told.splitlines() if line.endswith("}")]

    async def starts(self, instance: str) -> list[dict[str, Any]]:
        return self.read_starts(instance)


class ProcessPlace(FolderPlace):
    """Processes of this machine."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder = folder
        self.runtime: Runtime = self.again()

    def again(self) -> Runtime:
        return self._made(self._folder / "records")

    def _made(self, records: Path) -> ProcessRuntime:
        return ProcessRuntime(
            command=[sys.executable, str(OBEDIENT)],
            bots=self.bots,
            records=records,
            config_password=PASSWORD,
            environment={"PATH": "/usr/bin:/bin", "DATABASE_URL": "a secret of the server"},
        )

    def take(self, name: str) -> None:
        raise NotImplementedError("a process has no name that others could take")

    def away(self) -> Runtime:
        unusable = self._folder / "a file"
        unusable.touch()
        return self._made(unusable)

    def clear(self) -> None:
        pass


class DockerPlace(FolderPlace):
    """Containers of an engine."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        super().__init__(folder)
        self.engine = engine
        self.image = obedient_image(engine)
        self.owner = f"test-{uuid4()}"
        self.client = engine.client()
        self.connections: list[Connection] = []
        self.foreign: list[Callable[[], None]] = []
        self.runtime: Runtime = self.again()

    def connection(self, url: str | None = None) -> Connection:
        self.connections.append(Connection(url or self.engine.url))
        return self.connections[-1]

    def again(self) -> Runtime:
        return self.made(self.connection())

    def away(self) -> Runtime:
        return self.made(self.connection("unix:///nowhere/docker.sock"))

    def made(self, connection: Connection) -> Runtime:
        return DockerRuntime(
            connection,
            Images(connection, clock=lambda: AT),
            owner=self.owner,
            bots=self.bots,
            config_password=PASSWORD,
        )

    def take(self, name: str) -> None:
        taken = self.client.containers.create(self.image, name=name, network_mode="host")
        self.foreign.append(lambda: taken.remove(force=True))

    def clear(self) -> None:
        for container in self.client.containers.list(all=True, filters={"label": f"nectar.owner={self.owner}"}):
            with suppress(APIError):
                container.remove(force=True)
        for remove in self.foreign:
            remove()
        self.client.close()
        for connection in self.connections:
            connection.close()


class SwarmPlace(DockerPlace):
    """Services of a Swarm of one machine."""

    def __init__(
        self, folder: Path, engine: Engine, constraint: str = "node.role==manager", volume_driver: str | None = None
    ) -> None:
        self.constraint = constraint
        self.volume_driver = volume_driver
        super().__init__(folder, engine)
        if self.client.info()["Swarm"]["LocalNodeState"] != "active":
            self.join()

    def join(self) -> None:
        """Make a Swarm of the engine."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.client.swarm.init(advertise_addr="127.0.0.1", listen_addr=f"127.0.0.1:{port}")

    def made(self, connection: Connection) -> SwarmRuntime:
        return SwarmRuntime(
            connection,
            Images(connection, clock=lambda: AT),
            owner=self.owner,
            bots=self.bots,
            config_password=PASSWORD,
            grace_seconds=2,
            constraints=[self.constraint],
            volume_driver=self.volume_driver,
            volume_options={} if self.volume_driver is None else {"share": "bots"},
        )

    def take(self, name: str) -> None:
        task = TaskTemplate(ContainerSpec(self.image), restart_policy=RestartPolicy(condition="none"))
        made = self.client.api.create_service(task, name=name, mode=ServiceMode("replicated", replicas=0))
        self.foreign.append(lambda: self.client.api.remove_service(made["ID"]))

    async def starts(self, instance: str) -> list[dict[str, Any]]:
        """Read what it wrote where it is: it may be running."""
        found = self.client.containers.list(all=True, filters={"label": f"nectar.instance={instance}"})
        for container in found:
            try:
                pieces, _ = container.get_archive("/home/hummingbot/data/started.jsonl")
            except APIError:
                continue
            with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
                file = tar.extractfile("started.jsonl")
                assert file is not None
                return [json.loads(line) for line in file.read().decode().splitlines() if line.endswith("}")]
        return []

    def clear(self) -> None:
        ours = {"label": f"nectar.owner={self.owner}"}
        for service in self.client.services.list(filters=ours):
            service.remove()
        super().clear()


async def end_all(runtime: Runtime) -> None:
    """Stop and remove all that a runtime knows."""
    for instance in await runtime.instances():
        await runtime.stop(instance, 0)
        with suppress(Invalid):
            await runtime.remove(instance)
