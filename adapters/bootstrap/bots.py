"""What runs bots, put together from the settings: the line to them, their files, and where they run."""

import hashlib
import os
from collections.abc import Callable, Mapping

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from adapters.bootstrap.clock import now
from adapters.bot_files import S3, BotFolders, BrokerAddress
from adapters.docker import Connection, DockerEngine, DockerRuntime, Images
from adapters.mqtt import MqttLine
from adapters.settings import Settings
from commands.bots.updates import BotIntake
from commands.ports import NewId
from commands.ports.bots import Fleet, Runtime
from domain.connectors import ConfigField

FOLDER = "bots"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker listens."""

    host: str
    port: int


class Bots(msgspec.Struct, frozen=True, kw_only=True):
    """All that this server has of bots. `line` and `heard` have to run in the server that works."""

    fleet: Fleet
    line: MqttLine
    files: BotFolders
    heard: BotIntake
    containers: DockerEngine
    images: Images
    docker: Connection


def bots(
    settings: Settings,
    *,
    broker: Address,
    owner: str,
    new_id: NewId,
    fields_of: Callable[[str], Mapping[str, ConfigField]],
) -> Bots:
    """Return what runs bots, connected to nothing before it is asked; `owner` tells our containers from others'."""
    folder = settings.bots_path / FOLDER
    docker = Connection()
    images = Images(docker, clock=now)
    engine = DockerEngine(docker, images, owner=owner, all_containers=settings.docker_all)
    heard = BotIntake(new_id)
    line = MqttLine(
        broker.host,
        broker.port,
        settings.broker_username,
        settings.broker_password,
        clock=now,
        new_id=new_id,
        sink=heard,
    )
    files = BotFolders(
        folder,
        broker=BrokerAddress(
            host=settings.bot_broker_host or broker.host,
            port=settings.bot_broker_port or broker.port,
            username=settings.broker_username,
            password=settings.broker_password,
        ),
        config_password=settings.config_password,
        fields_of=fields_of,
        s3=S3(
            access_key=settings.aws_api_key,
            secret_key=settings.aws_secret_key,
            region=settings.aws_region,
            endpoint_url=settings.aws_endpoint_url,
        ),
    )
    fleet = Fleet(
        runtime=_runtime(settings, docker, images, owner=owner),
        files=files,
        line=line,
        engine=engine,
        heartbeat_seconds=float(settings.bot_heartbeat_timeout),
        wind_down_seconds=float(settings.bot_stop_timeout),
        gone=settings.bot_runtimes_gone,
    )
    return Bots(fleet=fleet, line=line, files=files, heard=heard, containers=engine, images=images, docker=docker)


def _runtime(settings: Settings, docker: Connection, images: Images, *, owner: str) -> Runtime:
    folder = settings.bots_path / FOLDER
    if settings.bot_runtime == "process":
        from adapters.local_process import ProcessRuntime

        return ProcessRuntime(
            command=settings.bot_command,
            bots=folder,
            records=settings.data / "processes",
            config_password=settings.config_password,
            environment={name: os.environ[name] for name in ("PATH", "LANG", "TZ", "HOME") if name in os.environ},
        )
    if settings.bot_runtime == "swarm":
        from adapters.docker.swarm import SwarmRuntime

        return SwarmRuntime(
            docker,
            images,
            owner=owner,
            bots=folder,
            config_password=settings.config_password,
            constraints=settings.bot_swarm_constraints,
            volume_driver=settings.bot_swarm_volume_driver,
            volume_options=settings.bot_swarm_volume_options,
        )
    return DockerRuntime(docker, images, owner=owner, bots=folder, config_password=settings.config_password)


def owner_of(key: Ed25519PublicKey) -> str:
    """Return a short name of the data that a key seals: the same for every server on it, and for no other data."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]
