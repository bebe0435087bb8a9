"""What a bot's task in a Swarm is made of: its configs, its secrets, its volumes, and how it begins."""

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import docker
import msgspec
from docker.errors import APIError
from docker.types import (
    ConfigReference,
    ContainerSpec,
    DriverConfig,
    Mount,
    Placement,
    RestartPolicy,
    SecretReference,
    TaskTemplate,
)

from adapters.docker.bundles import contents, pack
from adapters.docker.connection import OWNER, labels
from adapters.docker.runtime import HOME, LOG_LIMITS, environment
from domain.bots import BotDeployed
from domain.errors import Invalid

SOURCES = "nectar.sources"
"""The label of configs that hold the strategies' sources, which all instances share."""

LARGEST_CONFIG = 1_023_999
LARGEST_SECRET = 511_999
"""In bytes; Docker 20.10 refuses one more."""

WRITTEN = ("data", "logs")
"""The folders that a bot writes into, and that outlive its task."""

_TAKEN = 409
_PLACE = "/run/nectar"
_NANOSECONDS = 1_000_000_000

# What Swarm keeps is unpacked into memory, and then the bot takes the shell's place.
_BEGIN = f"""
set -eu
umask 077
cd {HOME}
for bundle in {_PLACE}/*.tar.gz; do tar -xzf "$bundle"; done
CONFIG_PASSWORD="$(cat {_PLACE}/password)"
export CONFIG_PASSWORD
exec "$@"
"""

_SECRETS = re.compile(r"conf/(conf_client\.yml|\.password_verification|connectors/.*)|certs/.*")


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the services of all instances.

    `constraints` are Swarm's own (`node.labels.bots==true`); a `volume_driver` with its options is one whose volumes
    are there on every machine, None for volumes of the machine where the bot runs.
    """

    owner: str
    grace_seconds: float
    constraints: Sequence[str] = ()
    volume_driver: str | None = None
    volume_options: Mapping[str, str] = {}


def volume(owner: str, instance: str, folder: str) -> str:
    """Return the name of the volume for one of the folders that an instance writes into."""
    return f"{_name(owner, instance)}-{folder}"


def task(client: docker.APIClient, order: BotDeployed, bots: Path, password: str, terms: Terms) -> TaskTemplate:
    """Make the configs and secrets of an instance, and return its task. Raises `Invalid` for what is too large."""
    found = client.inspect_image(order.image)["Config"]
    program = [*(found.get("Entrypoint") or ()), *(found.get("Cmd") or ())]
    container = ContainerSpec(
        order.image,
        command=["/bin/sh", "-c", _BEGIN, "sh"],
        args=program,
        env=environment(order, None),
        labels=labels(terms.owner, order.instance),
        mounts=_mounts(order.instance, terms),
        configs=_configs(client, order.instance, bots, terms.owner),
        secrets=_secrets(client, order.instance, bots, password, terms.owner),
        tty=True,
        open_stdin=True,
        stop_grace_period=round(terms.grace_seconds * _NANOSECONDS),
    )
    return TaskTemplate(
        container,
        restart_policy=RestartPolicy(condition="none"),
        networks=[{"Target": "host"}],
        log_driver=DriverConfig("json-file", LOG_LIMITS),
        placement=Placement(constraints=list(terms.constraints)),
    )


def clear(client: docker.APIClient, owner: str, instance: str) -> None:
    """Remove the configs and secrets of an instance."""
    ours = {"label": [f"{name}={value}" for name, value in labels(owner, instance).items()]}
    for config in client.configs(filters=ours):
        client.remove_config(config["ID"])
    for secret in client.secrets(filters=ours):
        client.remove_secret(secret["ID"])


def clear_sources(client: docker.APIClient, owner: str, bots: Path) -> None:
    """Remove the configs of sources that are not the strategies' newest, and that no service uses."""
    newest = _sources(owner, bots)[0]
    for config in client.configs(filters={"label": [f"{OWNER}={owner}", SOURCES]}):
        if config["Spec"]["Name"] != newest:
            try:
                client.remove_config(config["ID"])
            except APIError:
                continue  # It is in use.


def _mounts(instance: str, terms: Terms) -> list[Mount]:
    driver = None if terms.volume_driver is None else DriverConfig(terms.volume_driver, dict(terms.volume_options))
    in_memory = [Mount(f"{HOME}/{name}", None, type="tmpfs") for name in ("conf", "certs", "scripts", "controllers")]
    kept = [
        Mount(
            f"{HOME}/{folder}",
            volume(terms.owner, instance, folder),
            type="volume",
            labels=labels(terms.owner, instance),
            driver_config=driver,
        )
        for folder in WRITTEN
    ]
    return [*in_memory, *kept]


def _configs(client: docker.APIClient, instance: str, bots: Path, owner: str) -> list[ConfigReference]:
    own = contents(bots / "instances" / instance, "conf", "certs")
    name, sources = _sources(owner, bots)
    conf = pack({path: content for path, content in own.items() if not _SECRETS.fullmatch(path)})
    _check(f"The settings of instance '{instance}'", conf, LARGEST_CONFIG)
    _check("The sources of all strategies", sources, LARGEST_CONFIG)
    config = _own_name(owner, instance, "conf")
    made = _create(client, "config", config, conf, labels(owner, instance))
    shared = _make_shared(client, name, sources, {OWNER: owner, SOURCES: ""})
    return [
        ConfigReference(made, config, filename=f"{_PLACE}/conf.tar.gz", mode=0o400),
        ConfigReference(shared, name, filename=f"{_PLACE}/sources.tar.gz", mode=0o400),
    ]


def _secrets(client: docker.APIClient, instance: str, bots: Path, password: str, owner: str) -> list[SecretReference]:
    own = contents(bots / "instances" / instance, "conf", "certs")
    keys = pack({path: content for path, content in own.items() if _SECRETS.fullmatch(path)})
    _check(f"The keys of instance '{instance}'", keys, LARGEST_SECRET)
    files = {"keys.tar.gz": keys, "password": password.encode()}
    references = []
    for file, content in files.items():
        name = _own_name(owner, instance, file.partition(".")[0])
        made = _create(client, "secret", name, content, labels(owner, instance))
        references.append(SecretReference(made, name, filename=f"{_PLACE}/{file}", mode=0o400))
    return references


def _sources(owner: str, bots: Path) -> tuple[str, bytes]:
    packed = pack(contents(bots, "scripts", "controllers"))
    return f"{_name(owner, hashlib.sha256(packed).hexdigest())}-sources", packed


def _make_shared(client: docker.APIClient, name: str, content: bytes, marks: Mapping[str, str]) -> str:
    """Make a config that is named after its content and return its id, or that of the one that is there."""
    try:
        return _create(client, "config", name, content, marks)
    except APIError as e:
        if e.status_code != _TAKEN:
            raise
    return str(client.inspect_config(name)["ID"])


def _create(client: docker.APIClient, kind: str, name: str, content: bytes, marks: Mapping[str, str]) -> str:
    create = client.create_config if kind == "config" else client.create_secret
    return str(create(name, content, labels=dict(marks))["ID"])


def _check(what: str, content: bytes, largest: int) -> None:
    if len(content) > largest:
        raise Invalid(f"{what} have {len(content)} bytes when packed; Docker Swarm takes at most {largest}")


def _own_name(owner: str, instance: str, what: str) -> str:
    # Of each try its own: two may be under way, and what Swarm has once taken cannot be changed.
    return f"{_name(owner, instance)}-{what}-{secrets.token_hex(4)}"


def _name(owner: str, what: str) -> str:
    # Names in a Swarm have 64 characters at most.
    return f"nectar-{hashlib.sha256(f'{owner}/{what}'.encode()).hexdigest()[:32]}"
