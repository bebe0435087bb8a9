"""Archive to a bucket of S3: one object `<instance>.tar.gz`, compared with what was sent before the folder goes.

The credentials need `s3:ListBucket`, `s3:PutObject` and `s3:GetObject`. boto3 is an optional part (`nectar[s3]`) and is
imported by the first archive that needs it.
"""

import gzip
import hashlib
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from functools import cache, partial
from os import SEEK_END
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event, Lock
from typing import IO, TYPE_CHECKING, Any

import msgspec

from adapters.bot_files.archives import Stamp, go_on
from adapters.bot_files.paths import PRIVATE_FILE, PRIVATE_FOLDER, open_file, walk
from domain.errors import Unavailable

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.client import BaseClient

_PART_BYTES = 16 << 20
"""Of an object that is sent in parts: 10,000 of them are 160 GB, and one at a time is in memory."""
_STAMP = "nectar-archive"
_COMPRESSION = 6
_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 10, 60, 3


class S3(msgspec.Struct, frozen=True, kw_only=True):
    """How S3 is reached. Without keys boto3 looks for them where it always does (environment, profile, role)."""

    access_key: str | None = None
    secret_key: str | None = None
    region: str | None = None
    endpoint_url: str | None = None

    def __repr__(self) -> str:
        """Show where it is, never a key."""
        return f"S3(region={self.region!r}, endpoint_url={self.endpoint_url!r})"


class Bucket:
    """One bucket. Every method blocks and raises `Unavailable` in S3's own words."""

    def __init__(self, s3: S3, name: str) -> None:
        self._name = name
        self._secrets = [key for key in (s3.access_key, s3.secret_key) if key]
        try:
            with self._said("reached"):
                self._client = _client(s3)
        except ValueError as e:  # what is no URL
            raise Unavailable(f"Bucket '{name}' cannot be reached: {e}") from e

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def location(self, instance: str) -> str:
        """Return where an instance's archive lies."""
        return f"s3://{self._name}/{_key(instance)}"

    def has(self, instance: str) -> bool:
        """Whether there is an archive of an instance."""
        with self._said("asked"):
            # Unlike a question about the object itself, this one is refused in words, and tells a bucket from a key.
            found = self._client.list_objects_v2(Bucket=self._name, Prefix=_key(instance), MaxKeys=1)
        return any(each["Key"] == _key(instance) for each in found.get("Contents", ()))

    def send(self, folder: int, stamp: Stamp, *, beside: Path, stop: Event) -> None:
        """Send a folder as one object; `beside` is the folder that holds the archive while it is made."""
        there = self.has(stamp.instance)
        if there and self._head(stamp)["Metadata"].get(_STAMP) != stamp.archive_id:
            raise Unavailable(
                f"Bot '{stamp.instance}' cannot be archived: {self.location(stamp.instance)} is another archive."
                " Move that away first"
            )
        with TemporaryFile(dir=beside) as packed:
            pack(folder, stamp.instance, packed, stop)
            sent = _Sent(packed)
            if not (there and sent.is_like(self._head(stamp))):
                self._upload(packed, stamp, stop)
            if not sent.is_like(self._head(stamp)):
                raise Unavailable(
                    f"Bot '{stamp.instance}' is not archived: what lies at {self.location(stamp.instance)} is not what"
                    " was sent. Its folder stays"
                )

    def _upload(self, packed: IO[bytes], stamp: Stamp, stop: Event) -> None:
        from boto3.s3.transfer import TransferConfig  # noqa: PLC0415 - an optional part

        with self._said("written to"):
            self._client.upload_fileobj(
                packed,
                self._name,
                _key(stamp.instance),
                ExtraArgs={
                    "ContentType": "application/gzip",
                    "Metadata": {_STAMP: stamp.archive_id, "begun-at": stamp.begun_at.astimezone(UTC).isoformat()},
                },
                Callback=lambda _: go_on(stop),
                Config=TransferConfig(
                    multipart_threshold=_PART_BYTES,
                    multipart_chunksize=_PART_BYTES,
                    use_threads=False,
                    preferred_transfer_client="classic",
                ),
            )

    def _head(self, stamp: Stamp) -> dict[str, Any]:
        with self._said("read from"):
            head: dict[str, Any] = self._client.head_object(Bucket=self._name, Key=_key(stamp.instance))
        return head

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        try:
            from boto3.exceptions import Boto3Error  # noqa: PLC0415 - an optional part
            from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
        except ImportError as e:
            raise Unavailable("Archiving to S3 needs boto3: install nectar[s3]") from e
        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as e:
            # Not `from e`: whoever logs the chain would log words that were not looked through.
            raise Unavailable(self._without_keys(f"Bucket '{self._name}' cannot be {what}: {e}")) from None

    def _without_keys(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


class _Sent:
    """What is sent, as S3 will describe it."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._size = packed.seek(0, SEEK_END)
        packed.seek(0)
        parts = [_md5(part) for part in iter(partial(packed.read, _PART_BYTES), b"")]
        packed.seek(0)
        whole = self._size < _PART_BYTES
        self._etag = parts[0].hex() if whole else f"{_md5(b''.join(parts)).hex()}-{len(parts)}"

    def is_like(self, head: dict[str, Any]) -> bool:
        """Whether an object is what was sent: its size, and its digest where S3 tells one."""
        # Under a key of KMS an ETag is no digest; then TLS and the size have to do.
        told = head.get("ServerSideEncryption", "AES256") == "AES256"
        return head["ContentLength"] == self._size and (not told or head["ETag"].strip('"') == self._etag)


def pack(folder: int, name: str, into: IO[bytes], stop: Event) -> None:
    """Write a folder as tar.gz, a piece at a time; the same folder gives the same bytes."""
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=into, compresslevel=_COMPRESSION, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path, folders, files, at in walk(folder):
            for each in folders:
                entry = tarfile.TarInfo("/".join((name, *path, each)))
                entry.type, entry.mode = tarfile.DIRTYPE, PRIVATE_FOLDER
                tar.addfile(entry)
            for each in files:
                go_on(stop)
                with open_file(at, each) as file:
                    status = os.fstat(file.fileno())
                    entry = tarfile.TarInfo("/".join((name, *path, each)))
                    entry.size, entry.mtime, entry.mode = status.st_size, int(status.st_mtime), PRIVATE_FILE
                    tar.addfile(entry, file)


def _key(instance: str) -> str:
    return f"{instance}.tar.gz"


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


_making = Lock()


def _client(s3: S3) -> "BaseClient":
    from botocore.config import Config  # noqa: PLC0415 - an optional part

    with _making:  # a session is not for two threads at once
        return _session().client(
            "s3",
            aws_access_key_id=s3.access_key,
            aws_secret_access_key=s3.secret_key,
            region_name=s3.region,
            endpoint_url=s3.endpoint_url,
            config=Config(
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
                # Not every server that speaks S3 knows the newer checksums; what arrived is compared anyhow.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


@cache
def _session() -> "Session":
    import boto3  # noqa: PLC0415 - an optional part

    return boto3.session.Session()  # reading what S3 can takes a good part of a second
