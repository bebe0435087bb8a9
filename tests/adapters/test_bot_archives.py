"""Archives on disk: whatever step a crash cuts off, again brings all of the folder there, once, without keys."""

import asyncio
import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import pytest
from structlog.testing import capture_logs

from adapters.bot_files import BotFolders, archives
from adapters.bot_files import folders as bot_folders
from domain.bots import ArchivePlace
from domain.errors import Unavailable
from tests.bot_files import AT, KEYS, SOURCES, deployed, files_of, folders, holds_keys
from tests.crashing import Crash, crashing_at

HERE = ArchivePlace()
STAMP = ".archive.json"
NOBODY = 65534


@contextmanager
def on_another_disk() -> Iterator[None]:
    """Have renames into `archived` and out of it fail as between file systems."""
    real = os.rename

    def is_archive(folder: int) -> bool:
        return "archived" in Path(f"/proc/self/fd/{folder}").readlink().parts

    def rename(source, target, *, src_dir_fd, dst_dir_fd):
        if is_archive(src_dir_fd) != is_archive(dst_dir_fd):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", rename)
        yield


@contextmanager
def on_this_disk() -> Iterator[None]:
    yield


DISKS = pytest.mark.parametrize("disk", [on_this_disk, on_another_disk], ids=["this disk", "another disk"])


def traded(root: Path) -> dict[str, bytes]:
    """Have the bot write what bots write; return what has to be in its archive of that."""
    folder = root / "instances" / "alpha"
    written = {"data/alpha.sqlite": b"trades" * 2_000, "logs/logs_alpha.log": b"line\n", "data/deep/er/x": b""}
    for path, content in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return written


async def prepared(root: Path) -> tuple[BotFolders, dict[str, bytes]]:
    files = folders(root)
    await files.prepare(deployed(), KEYS, SOURCES)
    return files, traded(root)


def check(root: Path, written: dict[str, bytes]) -> None:
    """Check that all of the folder is in the archive, without keys, and nothing of it anywhere else."""
    archive = files_of(root / "archived" / "alpha")
    assert written.items() <= archive.items()
    assert set(archive) - set(written) == {
        STAMP, "conf/conf_client.yml", "conf/conf_fee_overrides.yml", "conf/hummingbot_logs.yml",
        "conf/controllers/pmm_1.yml", "conf/scripts/alpha.yml",
    }  # fmt: skip
    assert {path.parts[0] for path in map(Path, files_of(root / "archived"))} == {"alpha"}
    assert list((root / "instances").iterdir()) == []
    assert holds_keys(root / "archived") == []


@DISKS
async def test_all_of_the_folder_arrives_without_its_keys(tmp_path, disk):
    files, written = await prepared(tmp_path)
    with disk():
        assert await files.archive("alpha", HERE, AT) == "archived/alpha"
    check(tmp_path, written)
    assert json.loads((tmp_path / "archived/alpha" / STAMP).read_bytes())["begun_at"] == "2026-11-22T12:00:00Z"


@DISKS
async def test_it_resumes_at_every_step(tmp_path, disk):
    _, written = await prepared(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "count")
    with disk(), crashing_at(None) as steps:
        await folders(tmp_path / "count").archive("alpha", HERE, AT)
    assert len(steps) > 20
    for step in range(len(steps)):
        root = tmp_path / f"{step}"
        shutil.copytree(tmp_path / "first", root)
        with disk(), crashing_at(step), pytest.raises(Crash):
            await folders(root).archive("alpha", HERE, AT)
        assert_nothing_lost(root, written)
        with disk(), crashing_at(None):
            assert await folders(root).archive("alpha", HERE, AT) == "archived/alpha"
        check(root, written)


def assert_nothing_lost(root: Path, written: dict[str, bytes]) -> None:
    """Check that one of both has it all, and that no key was ever on its way."""
    here, there = root / "instances" / "alpha", root / "archived" / "alpha"
    assert any(written.items() <= files_of(folder).items() for folder in (here, there) if folder.exists())
    if (root / "archived").exists():
        assert holds_keys(root / "archived") == []


@DISKS
async def test_it_resumes_after_many_crashes(tmp_path, disk):
    _, written = await prepared(tmp_path)
    for step in range(1, 200):
        with disk(), crashing_at(step), suppress(Crash):
            await folders(tmp_path).archive("alpha", HERE, AT)
            break
        assert_nothing_lost(tmp_path, written)
    check(tmp_path, written)


async def test_an_archive_that_nobody_waits_for_any_more_ends_before_the_next_begins(tmp_path):
    files, written = await prepared(tmp_path)
    real, copying, cancelled = os.fsync, Event(), Event()

    def fsync(file):
        if any((tmp_path / "archived/.arriving").glob("alpha/*")):
            copying.set()
            assert cancelled.wait(10)
        real(file)

    with on_another_disk():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            archiving = asyncio.create_task(files.archive("alpha", HERE, AT))
            assert await asyncio.to_thread(copying.wait, 10)
            archiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await archiving
            cancelled.set()
            assert await files.taken("alpha")  # when its turn has come, the other one has ended
        assert (tmp_path / "instances/alpha").exists()
        assert not (tmp_path / "archived/alpha").exists()
        await files.archive("alpha", HERE, AT)
    check(tmp_path, written)


@DISKS
async def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path, disk, monkeypatch):
    files, written = await prepared(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with disk(), pytest.raises(Unavailable, match=r"alpha.*No space left"):
        await files.archive("alpha", HERE, AT)
    monkeypatch.undo()
    assert_nothing_lost(tmp_path, written)
    with disk():
        await files.archive("alpha", HERE, AT)
    check(tmp_path, written)


@DISKS
async def test_another_archive_of_that_name_is_left_alone(tmp_path, disk):
    files, written = await prepared(tmp_path)
    (tmp_path / "archived/alpha").mkdir(parents=True)
    (tmp_path / "archived/alpha/old.sqlite").write_text("old")
    with disk(), pytest.raises(Unavailable, match="archived/alpha is another archive"):
        await files.archive("alpha", HERE, AT)
    assert files_of(tmp_path / "archived") == {"alpha/old.sqlite": b"old"}
    assert written.items() <= files_of(tmp_path / "instances/alpha").items()


@DISKS
async def test_links_and_pipes_of_a_bot_do_not_travel(tmp_path, disk):
    files, written = await prepared(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    data = tmp_path / "instances/alpha/data"
    (data / "folder").symlink_to(outside, target_is_directory=True)
    (data / "file.sqlite").symlink_to(outside / "secret")
    (data / "dangling").symlink_to("/nowhere")
    os.mkfifo(data / "deep" / "pipe")
    with disk(), capture_logs() as lines:
        await files.archive("alpha", HERE, AT)
    check(tmp_path, written)
    assert files_of(outside) == {"secret": b"secret"}
    assert [line["path"] for line in lines if line["event"] == "bot_link_removed"] == [
        "data/dangling", "data/file.sqlite", "data/folder", "data/deep/pipe",
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["conf", "conf/connectors", "conf/.password_verification", "conf/conf_client.yml"])
async def test_a_link_in_place_of_the_keys_is_not_followed(tmp_path, place):
    files, _ = await prepared(tmp_path)
    outside = tmp_path / "outside"
    (tmp_path / "instances/alpha" / place).rename(outside)
    (tmp_path / "instances/alpha" / place).symlink_to(outside)
    before = outside.stat().st_mtime_ns
    await files.archive("alpha", HERE, AT)
    assert holds_keys(tmp_path / "archived") == []
    assert outside.stat().st_mtime_ns == before
    assert not any(path.is_symlink() for path in (tmp_path / "archived").rglob("*"))


async def test_a_folder_in_place_of_the_settings_goes(tmp_path):
    files, written = await prepared(tmp_path)
    for name in ("conf_client.yml", ".password_verification"):
        (tmp_path / "instances/alpha/conf" / name).unlink()
        (tmp_path / "instances/alpha/conf" / name / "deep").mkdir(parents=True)
    await files.archive("alpha", HERE, AT)
    check(tmp_path, written)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of another user")
@DISKS
async def test_what_a_container_wrote_as_root_travels_with_the_folder(disk):
    with TemporaryDirectory() as place:  # pytest's own folders can be entered by their user alone
        root = Path(place)
        files, written = await prepared(root)
        for path in (root, *root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        (root / "instances/alpha/logs/logs_alpha.log").chmod(0o644)
        os.chown(root / "instances/alpha/logs/logs_alpha.log", 0, 0)
        with disk(), as_user(NOBODY):
            await files.archive("alpha", HERE, AT)
        check(root, written)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of another user")
async def test_what_cannot_be_read_is_named_and_stays():
    with TemporaryDirectory() as place:
        root = Path(place)
        files, _ = await prepared(root)
        for path in (root, *root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        deep = root / "instances/alpha/data/deep"
        os.chown(deep, 0, 0)
        deep.chmod(0o700)
        with on_another_disk(), as_user(NOBODY), pytest.raises(Unavailable, match="Permission denied: data/deep"):
            await files.archive("alpha", HERE, AT)
        assert await files.configs("alpha")
        assert not (root / "archived/alpha").exists()


@contextmanager
def as_user(uid: int) -> Iterator[None]:
    """Act as another user, threads included."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_half_a_copy_is_nowhere_where_archives_are_looked_for(tmp_path):
    files, _ = await prepared(tmp_path)
    seen: set[Path] = set()
    real = os.fsync

    def fsync(file):
        seen.update(path.relative_to(tmp_path) for path in tmp_path.glob("archived/*/data/*"))
        real(file)

    with on_another_disk(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        await files.archive("alpha", HERE, AT)
    assert {path.parts[1] for path in seen} <= {"alpha"}
    assert list((tmp_path / "archived/.arriving").iterdir()) == []


async def test_a_copy_keeps_times_and_modes(tmp_path):
    files, _ = await prepared(tmp_path)
    log = tmp_path / "instances/alpha/logs/logs_alpha.log"
    log.chmod(0o640)
    os.utime(log, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    with on_another_disk():
        await files.archive("alpha", HERE, AT)
    copied = (tmp_path / "archived/alpha/logs/logs_alpha.log").stat()
    assert (copied.st_mtime_ns, copied.st_mode & 0o777) == (1_700_000_000_123_456_789, 0o640)


async def test_a_discarded_instance_is_gone_whatever_step_was_cut_off(tmp_path):
    await prepared(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "count")
    with crashing_at(None) as steps:
        await folders(tmp_path / "count").discard("alpha")
    assert len(steps) > 10
    for step in range(len(steps)):
        root = tmp_path / f"{step}"
        shutil.copytree(tmp_path / "first", root)
        with crashing_at(step), pytest.raises(Crash):
            await folders(root).discard("alpha")
        await folders(root).discard("alpha")
        assert list((root / "instances").iterdir()) == []


async def test_an_instance_is_whole_whatever_step_was_cut_off(tmp_path):
    async def prepare(root: Path) -> None:
        await folders(root).prepare(deployed(), KEYS, SOURCES)

    with crashing_at(None) as steps:
        await prepare(tmp_path / "whole")
    expected = set(files_of(tmp_path / "whole"))
    for step in range(0, len(steps), 3):
        root = tmp_path / f"{step}"
        with crashing_at(step), pytest.raises(Crash):
            await prepare(root)
        with crashing_at(None):
            await prepare(root)
        assert set(files_of(root)) == expected


async def test_who_reads_while_an_archive_takes_long_keeps_no_thread(tmp_path, monkeypatch):
    files, written = await prepared(tmp_path)
    at_it, go = Event(), Event()
    put_away = archives.put_away_here

    def slowly(*args):
        at_it.set()
        assert go.wait(20)
        return put_away(*args)

    monkeypatch.setattr(bot_folders, "put_away_here", slowly)
    monkeypatch.setattr(bot_folders, "_TURN_SECONDS", 0.05)
    archiving = asyncio.create_task(files.archive("alpha", HERE, AT))
    try:
        assert await asyncio.to_thread(at_it.wait, 20)
        async with asyncio.timeout(10):
            read = await asyncio.gather(*(files.configs("alpha") for _ in range(100)), files.taken("alpha"))
            with pytest.raises(Unavailable, match="something else is being done"):
                await files.write_config("alpha", "pmm_1", "id: changed\n")
    finally:
        go.set()
    assert read == [{"pmm_1": "id: pmm_1\n"}] * 100 + [True]
    await archiving
    check(tmp_path, written)
