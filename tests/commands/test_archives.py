"""Archives come into the log once, whole, and through any crash."""

import itertools
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest

from adapters.archives.files import ArchiveFiles
from commands.archives import DeleteArchive, Deleted
from commands.bus import Bus
from commands.handlers import HANDLERS
from commands.ports import Appended, Write
from commands.processes.archives import ArchiveWatch
from domain.archives import (
    ArchiveDeleted,
    ArchiveFound,
    ArchiveImported,
    ArchiveTradesRead,
    ArchiveUnreadable,
    stream_of,
)
from domain.errors import Invalid, NotFound, Unavailable
from domain.events import Event, Origin
from tests.archives import path_of, put, put_corrupt
from tests.commands.world import World, world

SAMPLE = "synth_2ctrl_40exec"


class Watched(msgspec.Struct, frozen=True):
    """A command side with archives, and the watch over them."""

    outside: World
    bus: Bus
    watch: ArchiveWatch

    async def events(self, bot: str) -> list[Event]:
        return await self.outside.events(stream_of(path_of(bot)))


@asynccontextmanager
async def watched(root: Path) -> AsyncIterator[Watched]:
    async with world() as outside:
        files = ArchiveFiles(root, outside.time)
        ports = msgspec.structs.replace(outside.bus.ports, archives=files)
        bus = Bus(ports, HANDLERS)
        yield Watched(outside, bus, ArchiveWatch(bus, files))


def trades_of(events: list[Event]) -> list[str]:
    return [trade.trade_id for event in events if isinstance(event, ArchiveTradesRead) for trade in event.trades]


async def test_an_archive_is_imported_once_however_often_somebody_looks(tmp_path: Path):
    put(tmp_path, SAMPLE)
    async with watched(tmp_path) as server:
        await server.watch.look()
        events = await server.events(SAMPLE)
        assert isinstance(events[0], ArchiveFound)
        assert isinstance(events[-1], ArchiveImported)
        assert len(trades_of(events)) == 226
        await server.watch.look()
        await ArchiveWatch(server.bus, server.bus.ports.archives).look()
        assert await server.events(SAMPLE) == events


async def test_a_crash_at_any_commit_is_made_good_by_the_next_look(tmp_path: Path):
    put(tmp_path, SAMPLE)
    async with watched(tmp_path) as server:
        await server.watch.look()
        whole = await server.events(SAMPLE)
    for crash_at, heard in itertools.product(range(len(whole)), (True, False)):
        async with watched(tmp_path) as server:
            log, plain = server.outside.log, server.outside.log.append
            left = itertools.count()

            async def failing(
                writes: list[Write], origin: Origin, *, answer: bytes | None = None, request: bytes = b""
            ) -> Appended:
                if next(left) != crash_at:  # noqa: B023 - called within this round
                    return await plain(writes, origin, answer=answer, request=request)  # noqa: B023
                if heard:  # noqa: B023
                    await plain(writes, origin, answer=answer, request=request)  # noqa: B023
                raise Unavailable("the process was killed here")

            log.append = failing  # type: ignore[assignment, method-assign]
            await server.watch.look()
            log.append = plain  # type: ignore[method-assign]
            await ArchiveWatch(server.bus, server.bus.ports.archives).look()
            events = await server.events(SAMPLE)
            assert trades_of(events) == trades_of(whole)
            assert [type(event) for event in events] == [type(event) for event in whole]


async def test_a_file_that_is_no_database_is_named_once_and_the_others_are_imported(tmp_path: Path):
    put_corrupt(tmp_path)
    put(tmp_path, SAMPLE)
    async with watched(tmp_path) as server:
        await server.watch.look()
        await ArchiveWatch(server.bus, server.bus.ports.archives).look()
        (unreadable,) = await server.events("corrupt")
        assert isinstance(unreadable, ArchiveUnreadable)
        assert "file is not a database" in unreadable.reason
        assert isinstance((await server.events(SAMPLE))[-1], ArchiveImported)


async def test_a_file_that_has_changed_is_imported_anew(tmp_path: Path):
    file = put(tmp_path, SAMPLE)
    async with watched(tmp_path) as server:
        await server.watch.look()
        with closing(sqlite3.connect(file)) as changed:
            changed.execute("delete from TradeFill where rowid > 100")
            changed.commit()
        await server.watch.look()
        events = await server.events(SAMPLE)
        assert sum(isinstance(event, ArchiveFound) for event in events) == 2
        assert len(trades_of(events)) == 226 + 100


async def test_a_row_that_cannot_be_read_makes_the_archive_unreadable(tmp_path: Path):
    file = put(tmp_path, SAMPLE)
    with closing(sqlite3.connect(file)) as changed:
        changed.execute("update TradeFill set trade_fee = '[' where rowid = 200")
        changed.commit()
    async with watched(tmp_path) as server:
        await server.watch.look()
        await ArchiveWatch(server.bus, server.bus.ports.archives).look()
        events = await server.events(SAMPLE)
        assert isinstance(events[-1], ArchiveUnreadable)
        assert "Row 200 of TradeFill" in events[-1].reason
        assert sum(isinstance(event, ArchiveUnreadable) for event in events) == 1


async def test_a_deleted_archive_is_deleted_on_disk_and_in_the_log(tmp_path: Path):
    file = put(tmp_path, SAMPLE)
    async with watched(tmp_path) as server:
        await server.watch.look()
        outcome = await server.bus.dispatch(DeleteArchive(path=path_of(SAMPLE)), server.outside.origin("key"))
        assert outcome.result == Deleted(bot=SAMPLE, runs=0)
        assert not file.exists()
        assert isinstance((await server.events(SAMPLE))[-1], ArchiveDeleted)
        again = await server.bus.dispatch(DeleteArchive(path=path_of(SAMPLE)), server.outside.origin("key"))
        assert again.repeated
        with pytest.raises(NotFound):
            await server.bus.dispatch(DeleteArchive(path=path_of(SAMPLE)), server.outside.origin())


async def test_files_that_are_gone_after_a_crash_are_noted_by_the_same_command(tmp_path: Path):
    put(tmp_path, SAMPLE)
    async with watched(tmp_path) as server:
        await server.watch.look()
        server.outside.log.away = Unavailable("away")
        with pytest.raises(Unavailable):
            await server.bus.dispatch(DeleteArchive(path=path_of(SAMPLE)), server.outside.origin())
        server.outside.log.away = None
        await server.bus.dispatch(DeleteArchive(path=path_of(SAMPLE)), server.outside.origin())
        assert isinstance((await server.events(SAMPLE))[-1], ArchiveDeleted)


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("bots/archived/none/data/none.sqlite", NotFound),
        ("bots/archived/none", NotFound),
        ("bots/archived/a/logs/a.sqlite", NotFound),
        ("bots/instances/a/data/a.sqlite", Invalid),
        ("bots/archived/../instances/a.sqlite", Invalid),
        ("/etc/passwd", Invalid),
    ],
)
async def test_what_is_no_archive_cannot_be_deleted(tmp_path: Path, path: str, refusal: type[Exception]):
    async with watched(tmp_path) as server:
        with pytest.raises(refusal):
            await server.bus.dispatch(DeleteArchive(path=path), server.outside.origin())
        assert await server.outside.log.position() == 0
