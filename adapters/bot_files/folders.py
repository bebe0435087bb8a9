"""The files of bots below `bots/`, as `commands.ports.bots.BotFiles`. Everything that blocks runs in threads."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import TypeVar
from weakref import WeakValueDictionary

import structlog

from adapters.bot_files import conf
from adapters.bot_files.archives import ARCHIVED, arrived, finish, put_away_by, put_away_here
from adapters.bot_files.conf import BrokerAddress, FieldsOf
from adapters.bot_files.instance import INSTANCES, check_configs, fill, gateway_certs, shred
from adapters.bot_files.keyfiles import ROUNDS, WORD, Keyfiles
from adapters.bot_files.paths import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    file_name,
    inside,
    instance_name,
    is_file,
    is_there,
    opened,
    read,
    remove,
    sync,
    write,
)
from adapters.bot_files.s3 import S3, Bucket
from adapters.bot_files.sources import share
from domain.bots import ArchivePlace, BotDeployed
from domain.errors import Invalid, NotFound, Unavailable

_CONTROLLERS = ("conf", "controllers")
_ARCHIVES_AT_ONCE = 2
_TURN_SECONDS = 5.0

Answer = TypeVar("Answer")

logger = structlog.get_logger(__name__)


class BotFolders:
    """The tree at `bots_path`, which is the folder `bots` itself.

    `fields_of` tells which fields of a connector's credentials are secret.
    """

    def __init__(
        self,
        bots_path: Path,
        *,
        broker: BrokerAddress,
        config_password: str,
        fields_of: FieldsOf,
        s3: S3 | None = None,
        keyfile_rounds: int = ROUNDS,
    ) -> None:
        self._root = bots_path
        self._broker = broker
        self._keys = Keyfiles(config_password, rounds=keyfile_rounds)
        self._fields_of = fields_of
        self._s3 = s3
        self._turns = WeakValueDictionary[str, _Turn]()
        self._archiving = asyncio.Semaphore(_ARCHIVES_AT_ONCE)
        self._sharing = Lock()
        self._unknown: set[str] = set()

    async def taken(self, instance: str) -> bool:
        """Whether there are files of that name, among the instances or the archives."""
        return await self._in_thread(instance, "looked for", self._taken, alone=False)

    async def prepare(
        self, order: BotDeployed, credentials: Mapping[str, Mapping[str, object]], sources: Mapping[str, str]
    ) -> None:
        """Write all that the instance needs; what is there already is written again, what it wrote itself stays.

        The sources are those of all strategies. Raises `Invalid` for names that lead elsewhere, `Unavailable`.
        """
        await self._in_thread(
            order.instance,
            "written",
            lambda instance: self._prepare(instance, order.configs, credentials, sources),
        )

    async def discard(self, instance: str) -> None:
        """Remove the instance's files, keys first; what is not there is no error."""
        await self._in_thread(instance, "removed", self._discard)

    async def shred(self, instance: str) -> None:
        """Remove the instance's keys, what opens them and the broker's password; what is not there is no error."""
        await self._in_thread(instance, "shredded", self._shred)

    async def archive(self, instance: str, place: ArchivePlace, at: datetime) -> str:
        """Put the instance's files away, without its keys, and return where: `archived/<instance>` or `s3://…`.

        The folder is gone only when all of it has arrived. Done again, it goes on where it was. Raises `NotFound` when
        there is nothing of that name anywhere, `Unavailable`.
        """
        stop = Event()
        async with self._archiving:
            try:
                return await self._in_thread(
                    instance, "archived", lambda name: self._archive(name, place.bucket, at, stop)
                )
            finally:
                stop.set()  # cancelled: the thread is to end as well

    async def configs(self, instance: str) -> Mapping[str, str]:
        """Return controller → YAML of the controllers' configs that the instance has now. Raises `NotFound`."""
        return await self._in_thread(instance, "read", self._configs, alone=False)

    async def write_config(self, instance: str, controller: str, text: str) -> None:
        """Change a controller's config under a running bot, which reads it within seconds. Raises `NotFound`."""
        await self._in_thread(instance, "written", lambda name: self._write_config(name, controller, text))

    async def _in_thread(
        self, instance: str, what: str, work: Callable[[str], Answer], *, alone: bool = True
    ) -> Answer:
        """Do work in a thread. Who only reads does not wait for his turn: what is written is there as a whole or not.

        Threads are few, and an archive may take hours: whoever waited for it in one would keep all others waiting.
        """
        name = instance_name(instance)
        turn = self._turns.setdefault(name, _Turn()) if alone else _Turn()
        return await asyncio.to_thread(_in_turn, turn, name, what, work)

    def _taken(self, instance: str) -> bool:
        for folder, names in ((INSTANCES, (instance, arrived(instance))), (ARCHIVED, (instance,))):
            try:
                with opened(self._root, folder) as among:
                    if any(is_there(among, name) for name in names):
                        return True
            except FileNotFoundError:
                continue
        return False

    def _prepare(
        self,
        instance: str,
        configs: Mapping[str, str],
        credentials: Mapping[str, Mapping[str, object]],
        sources: Mapping[str, str],
    ) -> None:
        checked = check_configs(configs)
        connectors = {}
        for name, values in credentials.items():
            # The paper venue has no keys, and Hummingbot does not know it.
            if values:
                connectors[f"{file_name(name)}.yml"] = conf.connector(name, values, self._fields_of(name), self._keys)
        self._share(sources)
        certs = gateway_certs(self._root)
        settings = {
            conf.CLIENT: conf.client(instance, self._broker, gateway=bool(certs)),
            conf.FEES: conf.fees(),
            conf.LOGS: conf.logs(),
            conf.PASSWORD: self._keys.encrypt(WORD).encode(),
        }
        with opened(self._root, INSTANCES, instance, make=PRIVATE_FOLDER) as folder:
            fill(folder, settings, connectors, checked, certs)

    def _share(self, sources: Mapping[str, str]) -> None:
        with self._sharing:
            unknown = [path for path in share(self._root, sources) if path not in self._unknown]
            self._unknown.update(unknown)
        if unknown:
            logger.warning("unknown_sources", paths=unknown)

    def _discard(self, instance: str) -> None:
        with self._instances() as instances:
            if is_there(instances, instance):
                with inside(instances, instance) as folder:
                    shred(folder, self._bare(instance))
                remove(instances, instance)
            remove(instances, arrived(instance))
            sync(instances)

    def _shred(self, instance: str) -> None:
        with self._instances() as instances:
            if is_there(instances, instance):
                with inside(instances, instance) as folder:
                    shred(folder, self._bare(instance))

    def _bare(self, instance: str) -> bytes:
        return conf.client(instance, self._broker.without_password(), gateway=False)

    def _instances(self) -> AbstractContextManager[int]:
        return opened(self._root, INSTANCES, make=PRIVATE_FOLDER)

    def _archive(self, instance: str, bucket_name: str | None, at: datetime, stop: Event) -> str:
        finish(self._root, instance)
        if bucket_name is None:
            return put_away_here(self._root, instance, self._bare(instance), at, stop)
        if self._s3 is None:
            raise Unavailable(f"Bucket '{bucket_name}' cannot be reached: no access to S3 is configured")
        with closing(Bucket(self._s3, bucket_name)) as bucket:
            send = partial(bucket.send, beside=self._root / INSTANCES, stop=stop)
            is_sent = partial(bucket.has, instance)
            put_away_by(self._root, instance, self._bare(instance), at, send, is_sent=is_sent)
            return bucket.location(instance)

    def _configs(self, instance: str) -> dict[str, str]:
        try:
            with opened(self._root, INSTANCES, instance, *_CONTROLLERS) as folder:
                contents = {name: read(folder, name) for name in sorted(os.listdir(folder))}
        except FileNotFoundError as e:
            raise _no_instance(instance) from e
        found = {}
        for name, content in contents.items():
            controller, ending = os.path.splitext(name)
            if content is not None and ending == ".yml" and not controller.startswith("."):
                try:
                    found[controller] = content.decode()
                except UnicodeDecodeError as e:
                    raise Invalid(f"Config '{controller}' of bot '{instance}' is not UTF-8 text") from e
        return found

    def _write_config(self, instance: str, controller: str, text: str) -> None:
        name = file_name(f"{controller}.yml")
        try:
            with opened(self._root, INSTANCES, instance, *_CONTROLLERS) as folder:
                if not is_file(folder, name):
                    raise NotFound(f"Bot '{instance}' has no config '{controller}'")
                write(folder, name, text.encode(), PRIVATE_FILE)
                sync(folder)
        except FileNotFoundError as e:
            raise _no_instance(instance) from e


class _Turn:
    """One at a time for an instance. A thread holds it, who goes on when whoever waited for it was cancelled."""

    def __init__(self) -> None:
        self.lock = Lock()


def _in_turn(turn: _Turn, instance: str, what: str, work: Callable[[str], Answer]) -> Answer:
    if not turn.lock.acquire(timeout=_TURN_SECONDS):
        raise Unavailable(f"The files of bot '{instance}' cannot be {what} now: something else is being done with them")
    try:
        with _said(instance, what):
            return work(instance)
    finally:
        turn.lock.release()


def _no_instance(instance: str) -> NotFound:
    return NotFound(f"Bot instance '{instance}' not found")


@contextmanager
def _said(instance: str, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        where = f": {e.filename}" if isinstance(e.filename, str) else ""
        raise Unavailable(f"The files of bot '{instance}' cannot be {what}: {e.strerror or e}{where}") from e
