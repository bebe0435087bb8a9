"""Archives in S3, against a server on loopback: what arrives, what refuses, and what a crash leaves behind."""

import gzip
import io
import os
import sys
import tarfile
import traceback
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from threading import Event

import boto3
import pytest
from moto.server import ThreadedMotoServer
from structlog.testing import capture_logs

from adapters.bot_files import S3, BotFolders
from adapters.bot_files import s3 as module
from adapters.bot_files.archives import Stopped
from domain.bots import ArchivePlace
from domain.errors import NotFound, Unavailable
from tests.bot_files import AT, KEYS, SOURCES, deployed, files_of, folders, holds_keys
from tests.crashing import Crash

BUCKET = "bots-of-ours"
THERE = ArchivePlace(bucket=BUCKET)
ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI-K7MDENG"
WRITTEN = {"data/alpha.sqlite": os.urandom(200_000), "logs/logs_alpha.log": b"line\n" * 1000, "data/deep/er/x": b""}


def serve() -> tuple[ThreadedMotoServer, S3]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    s3 = S3(access_key=ACCESS, secret_key=SECRET, region="us-east-1", endpoint_url=f"http://{host}:{port}")
    return server, s3


@pytest.fixture(scope="module")
def running() -> Iterator[S3]:
    server, s3 = serve()
    yield s3
    server.stop()


@pytest.fixture
def server(running: S3) -> str:
    return str(running.endpoint_url)


@pytest.fixture
def s3(running: S3, server: str) -> Iterator[S3]:
    post(server, "/moto-api/reset")
    yield running
    forget_refusals(server)


@pytest.fixture
def bucket(s3: S3):
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=s3.endpoint_url,
        region_name=s3.region,
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    client.close()


def post(server: str, path: str, body: str = "") -> None:
    connection = HTTPConnection(server.removeprefix("http://"), timeout=10)
    connection.request("POST", path, body, {"Content-Type": "text/plain"})
    assert connection.getresponse().status == 200
    connection.close()


def refuse_from(server: str, after: int) -> None:
    """Have the server check who asks, after so many more requests; nobody is known to it."""
    post(server, "/moto-api/reset-auth", str(after))


def forget_refusals(server: str) -> None:
    refuse_from(server, 10**9)


async def prepared(root: Path, s3: S3) -> BotFolders:
    files = folders(root, s3=s3)
    await files.prepare(deployed(), KEYS, SOURCES)
    for path, content in WRITTEN.items():
        (root / "instances/alpha" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "instances/alpha" / path).write_bytes(content)
    return files


def sent(bucket, key: str = "alpha.tar.gz") -> dict[str, bytes]:
    """Return path → content of what is in an archive."""
    body = bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
        return {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr]


def check(root: Path, bucket, tmp_path: Path) -> None:
    """Check that all of the folder is in the bucket, without keys, and nothing of it is left here."""
    archive = sent(bucket)
    assert {f"alpha/{path}": content for path, content in WRITTEN.items()}.items() <= archive.items()
    assert list((root / "instances").iterdir()) == []
    unpacked = tmp_path / "unpacked"
    for path, content in archive.items():
        (unpacked / path).parent.mkdir(parents=True, exist_ok=True)
        (unpacked / path).write_bytes(content)
    assert holds_keys(unpacked) == []
    assert [each["Key"] for each in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["alpha.tar.gz"]


async def test_all_of_the_folder_arrives_without_its_keys(tmp_path, s3, bucket):
    files = await prepared(tmp_path, s3)
    assert await files.archive("alpha", THERE, AT) == f"s3://{BUCKET}/alpha.tar.gz"
    check(tmp_path, bucket, tmp_path)
    head = bucket.head_object(Bucket=BUCKET, Key="alpha.tar.gz")
    assert head["Metadata"]["begun-at"] == "2026-11-22T12:00:00+00:00"
    assert await folders(tmp_path, s3=s3).archive("alpha", THERE, AT) == f"s3://{BUCKET}/alpha.tar.gz"


async def test_a_large_folder_is_sent_in_parts(tmp_path, s3, bucket, monkeypatch):
    monkeypatch.setattr(module, "_PART_BYTES", 5 << 20)  # the smallest that S3 takes
    files = await prepared(tmp_path, s3)
    large = os.urandom(12 << 20)
    (tmp_path / "instances/alpha/data/large").write_bytes(large)
    await files.archive("alpha", THERE, AT)
    check(tmp_path, bucket, tmp_path)
    assert sent(bucket)["alpha/data/large"] == large
    assert bucket.head_object(Bucket=BUCKET, Key="alpha.tar.gz")["ETag"].endswith('-3"')


async def test_the_same_folder_gives_the_same_bytes(tmp_path, s3):
    await prepared(tmp_path, s3)
    packed = []
    for _ in range(2):
        into = io.BytesIO()
        folder = os.open(tmp_path / "instances/alpha", os.O_RDONLY)
        module.pack(folder, "alpha", into, Event())
        os.close(folder)
        packed.append(into.getvalue())
    assert packed[0] == packed[1]
    assert gzip.decompress(packed[0])


async def test_a_bucket_that_is_not_there_leaves_the_folder(tmp_path, s3, bucket):
    files = await prepared(tmp_path, s3)
    with pytest.raises(Unavailable, match=r"'elsewhere' cannot be asked.*NoSuchBucket.*does not exist"):
        await files.archive("alpha", ArchivePlace(bucket="elsewhere"), AT)
    assert await files.configs("alpha")


@pytest.mark.parametrize("name", ["a", "A_b", "../x", "a b", ""], ids=range(5))
async def test_what_is_no_name_of_a_bucket_is_refused(tmp_path, s3, bucket, name):
    files = await prepared(tmp_path, s3)
    with pytest.raises(Unavailable):
        await files.archive("alpha", ArchivePlace(bucket=name), AT)
    assert await files.configs("alpha")


@pytest.mark.parametrize("after", range(3))
async def test_refused_access_is_said_in_s3s_words_and_without_a_key(tmp_path, s3, bucket, server, after):
    files = await prepared(tmp_path, s3)
    refuse_from(server, after)
    with capture_logs() as lines, pytest.raises(Unavailable) as refused:
        await files.archive("alpha", THERE, AT)
    assert f"Bucket '{BUCKET}' cannot be " in refused.value.message
    assert "InvalidAccessKeyId" in refused.value.message or "403" in refused.value.message
    said = "".join(traceback.format_exception(refused.value)) + str(lines) + repr(s3) + repr(files)
    assert [key for key in (ACCESS, SECRET) if key in said] == []
    assert await files.configs("alpha")
    forget_refusals(server)
    await files.archive("alpha", THERE, AT)
    check(tmp_path, bucket, tmp_path)


async def test_a_server_that_is_away_leaves_the_folder(tmp_path):
    files = await prepared(tmp_path, S3(access_key=ACCESS, secret_key=SECRET, endpoint_url="http://127.0.0.1:9"))
    with pytest.raises(Unavailable, match="Could not connect"):
        await files.archive("alpha", THERE, AT)
    assert await files.configs("alpha")


async def test_a_server_that_goes_away_in_the_middle_leaves_the_folder(tmp_path, monkeypatch):
    started, s3 = serve()
    post(str(s3.endpoint_url), "/moto-api/reset")
    files = await prepared(tmp_path, s3)
    real = module._client

    def client(given):
        made = real(given)
        upload = made.upload_fileobj

        def stopped_first(*args, **kwargs):
            started.stop()
            upload(*args, **kwargs)

        made.upload_fileobj = stopped_first
        made.create_bucket(Bucket=BUCKET)
        return made

    monkeypatch.setattr(module, "_client", client)
    with pytest.raises(Unavailable, match=r"cannot be written to: Could not connect|Connection was closed"):
        await files.archive("alpha", THERE, AT)
    assert await files.configs("alpha")
    assert [each.name for each in (tmp_path / "instances").iterdir()] == ["alpha"]


@pytest.mark.parametrize(
    "s3",
    [S3(access_key=ACCESS), S3(access_key=ACCESS, secret_key=SECRET, endpoint_url="nonsense"),
     S3(access_key=ACCESS, secret_key=SECRET, region="no such/region")],
    ids=["half a key", "no URL", "no region"],
)  # fmt: skip
async def test_settings_that_cannot_work_are_said_without_a_key(tmp_path, s3):
    files = await prepared(tmp_path, s3)
    with pytest.raises(Unavailable, match=BUCKET) as refused:
        await files.archive("alpha", THERE, AT)
    said = "".join(traceback.format_exception(refused.value))
    assert [key for key in (ACCESS, SECRET) if key in said] == []
    assert await files.configs("alpha")


async def test_boto3_is_missed_only_when_it_is_needed(tmp_path, s3, monkeypatch):
    files = await prepared(tmp_path, s3)
    for name in ("boto3", "boto3.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Unavailable, match="install nectar"):
        await files.archive("alpha", THERE, AT)
    assert await files.archive("alpha", ArchivePlace(), AT) == "archived/alpha"


async def test_no_access_is_said_as_such(tmp_path):
    files = folders(tmp_path)
    await files.prepare(deployed(), KEYS, SOURCES)
    with pytest.raises(Unavailable, match="no access to S3 is configured"):
        await files.archive("alpha", THERE, AT)
    assert holds_keys(tmp_path / "instances") != []  # nothing was begun


async def test_an_object_of_that_name_is_not_written_over(tmp_path, s3, bucket):
    bucket.put_object(Bucket=BUCKET, Key="alpha.tar.gz", Body=b"old")
    files = await prepared(tmp_path, s3)
    with pytest.raises(Unavailable, match=f"s3://{BUCKET}/alpha.tar.gz is another archive"):
        await files.archive("alpha", THERE, AT)
    assert bucket.get_object(Bucket=BUCKET, Key="alpha.tar.gz")["Body"].read() == b"old"
    assert await files.configs("alpha")


async def test_an_archive_of_a_name_that_begins_alike_is_none(tmp_path, s3, bucket):
    bucket.put_object(Bucket=BUCKET, Key="alpha.tar.gz.old", Body=b"old")
    with pytest.raises(NotFound):
        await folders(tmp_path, s3=s3).archive("alpha", THERE, AT)


CALLS = ("list_objects_v2", "upload_fileobj", "head_object")


def crashing(monkeypatch, call: str, *, before: bool) -> None:
    """Have the process end before or after a call of S3's client."""
    real = module._client

    def client(s3):
        made = real(s3)
        method = getattr(made, call)

        def crash(*args, **kwargs):
            if not before:
                method(*args, **kwargs)
            raise Crash

        setattr(made, call, crash)
        return made

    monkeypatch.setattr(module, "_client", client)


@pytest.mark.parametrize("cut", [(call, before) for call in CALLS for before in (True, False)], ids=str)
async def test_it_resumes_at_every_call(tmp_path, s3, bucket, monkeypatch, cut):
    files = await prepared(tmp_path, s3)
    crashing(monkeypatch, cut[0], before=cut[1])
    with pytest.raises(Crash):
        await files.archive("alpha", THERE, AT)
    monkeypatch.undo()
    assert (tmp_path / "instances/alpha").exists()
    await folders(tmp_path, s3=s3).archive("alpha", THERE, AT)
    check(tmp_path, bucket, tmp_path)


async def test_half_a_removed_folder_is_never_sent_over_the_whole_one(tmp_path, s3, bucket, monkeypatch):
    files = await prepared(tmp_path, s3)
    real, removed = os.unlink, 0

    def unlink(*args, **kwargs):
        nonlocal removed
        if (tmp_path / "instances/.alpha.archived").exists():
            if removed == 2:
                raise Crash
            removed += 1
        real(*args, **kwargs)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(Crash):
        await files.archive("alpha", THERE, AT)
    monkeypatch.undo()
    assert files_of(tmp_path / "instances")
    assert await folders(tmp_path, s3=s3).taken("alpha")
    await folders(tmp_path, s3=s3).archive("alpha", THERE, AT)
    check(tmp_path, bucket, tmp_path)


async def test_what_did_not_arrive_as_it_was_sent_leaves_the_folder(tmp_path, s3, bucket, monkeypatch):
    files = await prepared(tmp_path, s3)
    real = module._client

    def client(given):
        made = real(given)
        upload = made.upload_fileobj
        made.upload_fileobj = lambda file, *args, **kwargs: upload(io.BytesIO(file.read()[:-1]), *args, **kwargs)
        return made

    monkeypatch.setattr(module, "_client", client)
    with pytest.raises(Unavailable, match="not what was sent"):
        await files.archive("alpha", THERE, AT)
    monkeypatch.undo()
    assert await files.configs("alpha")
    await files.archive("alpha", THERE, AT)
    check(tmp_path, bucket, tmp_path)


class EndsLater(Event):
    """Is set from the n-th time that somebody asks."""

    def __init__(self, asked: int) -> None:
        super().__init__()
        self._left = asked

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


async def test_an_archive_that_nobody_waits_for_any_more_ends_and_can_be_done_again(tmp_path, s3, bucket):
    files = await prepared(tmp_path, s3)
    for asked in range(100):
        try:
            files._archive("alpha", BUCKET, AT, EndsLater(asked))
        except Stopped:
            assert await files.configs("alpha")
        else:
            break
    assert asked > len(WRITTEN)
    check(tmp_path, bucket, tmp_path)


def test_settings_show_no_key():
    assert repr(S3(access_key=ACCESS, secret_key=SECRET)) == "S3(region=None, endpoint_url=None)"
