"""One instance's folder: what is written into it before it starts, and its keys taken out when it has ended.

```
conf/                  0700
  conf_client.yml      0600, holds the broker's password
  conf_fee_overrides.yml  hummingbot_logs.yml  .password_verification
  connectors/<connector>.yml
  scripts/<config>.yml
  controllers/<config>.yml
certs/                 only where there is a Gateway: its CA's certificate, and the client's with its key
data/  logs/           written by the bot
```
"""

import os
from collections.abc import Mapping
from pathlib import Path

import structlog

from adapters.bot_files import conf
from adapters.bot_files.paths import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    file_name,
    inside,
    is_file,
    is_folder,
    is_there,
    make_folder,
    opened,
    read,
    remove,
    sync,
    unfinished,
    walk,
    write,
)
from domain.errors import Invalid

INSTANCES = "instances"
_CONF, _CONNECTORS, _CERTS = "conf", "connectors", "certs"
_CONFIGS = ("scripts", "controllers")
_OWN = ("data", "logs")
_GATEWAY_CERTS = ("gateway-files", "certs")
_FOR_CLIENTS = ("ca_cert.pem", "client_cert.pem", "client_key.pem")

logger = structlog.get_logger(__name__)


def check_configs(configs: Mapping[str, str]) -> dict[str, dict[str, bytes]]:
    """Return folder → name → content of configs that are named by their paths below `conf`. Raises `Invalid`."""
    checked: dict[str, dict[str, bytes]] = {folder: {} for folder in _CONFIGS}
    for path, text in configs.items():
        folder, _, name = path.partition("/")
        if folder not in checked or not name.endswith((".yml", ".yaml")):
            raise Invalid(
                f"Invalid path of a config: '{path[:120]}'. It has to be scripts/<name>.yml or controllers/<name>.yml"
            )
        checked[folder][file_name(name)] = text.encode()
    return checked


def gateway_certs(root: Path) -> dict[str, bytes]:
    """Return the files that a client of the Gateway needs, none where there is no Gateway."""
    try:
        with opened(root, *_GATEWAY_CERTS) as certs:
            found = {name: read(certs, name) for name in _FOR_CLIENTS}
    except FileNotFoundError:
        return {}
    contents = {name: content for name, content in found.items() if content is not None}
    return contents if len(contents) == len(_FOR_CLIENTS) else {}


def fill(
    folder: int,
    settings: Mapping[str, bytes],
    connectors: Mapping[str, bytes],
    configs: Mapping[str, Mapping[str, bytes]],
    certs: Mapping[str, bytes],
) -> None:
    """Write all that the instance needs into its folder; what it wrote itself stays, keys of another time do not."""
    os.fchmod(folder, PRIVATE_FOLDER)
    for name in (_CONF, *_OWN):
        make_folder(folder, name, PRIVATE_FOLDER)
    with inside(folder, _CONF) as within:
        os.fchmod(within, PRIVATE_FOLDER)
        _write_all(within, settings)
        for name, contents in {_CONNECTORS: connectors, **configs}.items():
            _fill(within, name, contents, alone=name == _CONNECTORS)
    if certs:
        _fill(folder, _CERTS, certs, alone=True)
    else:
        remove(folder, _CERTS)
    sync(folder)


def _fill(folder: int, name: str, contents: Mapping[str, bytes], *, alone: bool) -> None:
    make_folder(folder, name, PRIVATE_FOLDER)
    with inside(folder, name) as within:
        os.fchmod(within, PRIVATE_FOLDER)
        if alone:
            for other in set(os.listdir(within)) - set(contents):
                remove(within, other)
        _write_all(within, contents)


def _write_all(folder: int, contents: Mapping[str, bytes]) -> None:
    for name in unfinished(folder):
        remove(folder, name)
    for name, content in contents.items():
        write(folder, name, content, PRIVATE_FILE)
    sync(folder)


def shred(folder: int, settings: bytes) -> None:
    """Remove the instance's keys and what opens them, and put `settings`, without a password, in place of its own.

    Its own are not looked through: a bot may have written anything there. The folder of the keys stays, empty.
    """
    remove(folder, _CERTS)
    sync(folder)
    if not is_folder(folder, _CONF):
        remove(folder, _CONF)
        return
    with inside(folder, _CONF) as within:
        for name in (conf.PASSWORD, *unfinished(within)):
            remove(within, name)
        _empty(within, _CONNECTORS)
        if is_there(within, conf.CLIENT) and read(within, conf.CLIENT) != settings:
            if is_folder(within, conf.CLIENT):
                remove(within, conf.CLIENT)
            write(within, conf.CLIENT, settings, PRIVATE_FILE)
        sync(within)


def _empty(folder: int, name: str) -> None:
    if not is_folder(folder, name):
        remove(folder, name)
        return
    with inside(folder, name) as within:
        for key in os.listdir(within):
            remove(within, key)
        sync(within)


def sweep(folder: int, instance: str) -> None:
    """Remove what is neither file nor folder, and what writing left behind when it was cut off.

    A link that a bot made must not lead whoever reads its archive astray.
    """
    for path, _, files, at in walk(folder):
        for name in unfinished(at):
            remove(at, name)
            files.remove(name)
        for name in [name for name in files if not is_file(at, name)]:
            os.unlink(name, dir_fd=at)
            files.remove(name)
            logger.warning("bot_link_removed", bot=instance, path="/".join((*path, name)))
