"""Databases of archived bots are read whole, exactly, and without being changed."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from adapters.archives.files import ArchiveFiles
from adapters.archives.rows import fees
from commands.ports.archives import Seen, Unreadable
from domain.archives import (
    BATCH,
    ArchiveExecutorsRead,
    ArchiveFound,
    ArchiveOrdersRead,
    ArchiveRestRead,
    ArchiveStatusesRead,
    ArchiveTradesRead,
    Table,
    missing,
)
from domain.archives import NEW as NOTHING
from domain.catalog import decode, encode, type_of
from domain.errors import Unavailable
from domain.events import Event
from tests.archives import NAMES, path_of, put, put_corrupt

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def files_in(root: Path) -> ArchiveFiles:
    return ArchiveFiles(root, lambda: NOW)


async def seen_of(files: ArchiveFiles, bot: str) -> Seen:
    return next(seen for seen in await files.seen() if seen.bot == bot)


async def all_of(files: ArchiveFiles, found: ArchiveFound, skip: Mapping[Table, int] | None = None) -> list[Event]:
    skip = missing(NOTHING, found) if skip is None else skip
    return [event async for event in files.read(found, skip, rest=True)]


def counted(events: list[Event]) -> dict[str, int]:
    counts = dict.fromkeys(("orders", "trades", "statuses", "executors", "controllers", "positions", "funding"), 0)
    for event in events:
        match event:
            case ArchiveOrdersRead(orders=rows):
                counts["orders"] += len(rows)
            case ArchiveTradesRead(trades=rows):
                counts["trades"] += len(rows)
            case ArchiveStatusesRead(statuses=rows):
                counts["statuses"] += len(rows)
            case ArchiveExecutorsRead(executors=rows):
                counts["executors"] += len(rows)
            case ArchiveRestRead(controllers=controllers, positions=positions, funding=funding):
                counts |= {"controllers": len(controllers), "positions": len(positions), "funding": len(funding)}
    return counts


@pytest.mark.parametrize("name", NAMES)
async def test_every_row_of_a_sample_is_read_and_survives_the_log(tmp_path: Path, name: str):
    file = put(tmp_path, name)
    before = file.read_bytes()
    files = files_in(tmp_path)
    found = await files.look(await seen_of(files, name))
    events = await all_of(files, found)
    assert {table: rows for table, rows in counted(events).items() if table in found.rows} == found.rows
    for event in events:
        assert decode(type_of(event), 1, encode(event)) == event
    assert file.read_bytes() == before


async def test_numbers_and_times_are_those_of_the_bot(tmp_path: Path):
    put(tmp_path, "real_run_headless_2ctrl")
    files = files_in(tmp_path)
    found = await files.look(await seen_of(files, "real_run_headless_2ctrl"))
    events = await all_of(files, found)
    trade = next(event for event in events if isinstance(event, ArchiveTradesRead)).trades[0]
    assert (trade.amount, trade.price, trade.fee) == (Decimal("3.388"), Decimal("147.579748"), Decimal("0.5"))
    assert trade.fees == {"USDT": Decimal("0.50000019")}
    assert trade.at == datetime(2026, 11, 22, 6, 32, 9, tzinfo=UTC)
    executor = next(event for event in events if isinstance(event, ArchiveExecutorsRead)).executors[0]
    assert executor.created_at == datetime(2026, 11, 22, 6, 32, 9, 321485, tzinfo=UTC)
    assert executor.filled == Decimal("500.0001889344")
    rest = next(event for event in events if isinstance(event, ArchiveRestRead))
    assert {position.realized_pnl for position in rest.positions} == {Decimal(0), Decimal("-0.253261")}


async def test_a_table_that_an_older_bot_had_not_is_missing_and_the_rest_is_there(tmp_path: Path):
    put(tmp_path, "old_no_position_table")
    files = files_in(tmp_path)
    found = await files.look(await seen_of(files, "old_no_position_table"))
    assert found.missing == {"positions": "no such table: Position"}
    assert counted(await all_of(files, found))["trades"] == 8


async def test_a_file_that_is_no_database_says_so_and_leaves_the_others(tmp_path: Path):
    put_corrupt(tmp_path)
    put(tmp_path, "synth_1ctrl_spot")
    files = files_in(tmp_path)
    assert [seen.bot for seen in await files.seen()] == ["corrupt", "synth_1ctrl_spot"]
    with pytest.raises(Unreadable, match="file is not a database"):
        await files.look(await seen_of(files, "corrupt"))


async def test_a_database_of_something_else_is_refused(tmp_path: Path):
    file = tmp_path / path_of("other")
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as made:
        made.execute("create table birds (name text)")
    files = files_in(tmp_path)
    with pytest.raises(Unreadable, match="none of a bot's tables"):
        await files.look(await seen_of(files, "other"))


async def test_a_damaged_page_is_found(tmp_path: Path):
    file = put(tmp_path, "synth_2ctrl_40exec")
    content = bytearray(file.read_bytes())
    content[8 * 4096 : 12 * 4096] = b"\xff" * (4 * 4096)
    file.write_bytes(content)
    files = files_in(tmp_path)
    with pytest.raises(Unreadable, match=r"damaged|SQLite cannot read it"):
        await all_of(files, await files.look(await seen_of(files, "synth_2ctrl_40exec")))


async def test_a_row_that_cannot_be_read_is_named(tmp_path: Path):
    file = put(tmp_path, "synth_1ctrl_spot")
    with closing(sqlite3.connect(file)) as changed:
        changed.execute("update TradeFill set trade_fee = 'half a {json' where rowid = 3")
        changed.commit()
    files = files_in(tmp_path)
    with pytest.raises(Unreadable, match="Row 3 of TradeFill cannot be read"):
        await all_of(files, await files.look(await seen_of(files, "synth_1ctrl_spot")))


async def test_an_import_goes_on_behind_what_is_in_the_log(tmp_path: Path):
    put(tmp_path, "synth_2ctrl_40exec")
    files = files_in(tmp_path)
    found = await files.look(await seen_of(files, "synth_2ctrl_40exec"))
    whole = await all_of(files, found)
    rest = await all_of(files, found, {"trades": 200, "statuses": 0, "executors": 0})
    first = rest[0]
    assert isinstance(first, ArchiveTradesRead)
    assert (first.first, len(first.trades)) == (200, 26)
    trades = next(event for event in whole if isinstance(event, ArchiveTradesRead)).trades
    assert list(first.trades) == list(trades)[200:]
    assert counted(rest)["orders"] == 0
    assert all(len(event.trades) <= BATCH for event in whole if isinstance(event, ArchiveTradesRead))


async def test_a_file_that_is_another_one_by_now_is_not_mixed_with_the_old_one(tmp_path: Path):
    file = put(tmp_path, "synth_1ctrl_spot")
    files = files_in(tmp_path)
    found = await files.look(await seen_of(files, "synth_1ctrl_spot"))
    with closing(sqlite3.connect(file)) as changed:
        changed.execute("delete from TradeFill")
        changed.commit()
    with pytest.raises(Unavailable, match="another file by now"):
        await all_of(files, found)


async def test_a_transaction_that_a_killed_bot_left_is_rolled_back_in_a_copy(tmp_path: Path):
    file = put(tmp_path, "synth_1ctrl_spot")
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("pragma cache_size = 1")
    writer.execute("begin")
    writer.execute("update TradeFill set amount = 1")
    writer.execute('update "Order" set amount = 1')
    writer.execute("update OrderStatus set status = status || 'x'")
    journal = file.with_name(f"{file.name}-journal")
    killed = tmp_path / path_of("killed")
    killed.parent.mkdir(parents=True)
    killed.write_bytes(file.read_bytes())
    killed.with_name(f"{killed.name}-journal").write_bytes(journal.read_bytes())
    writer.execute("rollback")
    writer.close()
    before = killed.read_bytes()
    assert before != file.read_bytes()
    files = files_in(tmp_path)
    found, whole = [await files.look(await seen_of(files, bot)) for bot in ("killed", "synth_1ctrl_spot")]
    amounts = [
        [
            trade.amount
            for event in await all_of(files, each)
            if isinstance(event, ArchiveTradesRead)
            for trade in event.trades
        ]
        for each in (found, whole)
    ]
    assert amounts[0] == amounts[1]
    assert killed.read_bytes() == before


async def test_a_deleted_archive_is_gone_with_its_folder_and_nothing_else(tmp_path: Path):
    put(tmp_path, "synth_1ctrl_spot")
    kept = put(tmp_path, "synth_2ctrl_40exec")
    files = files_in(tmp_path)
    assert await files.delete(path_of("synth_1ctrl_spot"))
    assert not await files.delete(path_of("synth_1ctrl_spot"))
    assert [seen.bot for seen in await files.seen()] == ["synth_2ctrl_40exec"]
    assert kept.is_file()


@pytest.mark.parametrize(
    "path", ["bots/archived/../x/data/y.sqlite", "bots/instances/a/data/a.sqlite", "etc/passwd", ""]
)
async def test_nothing_outside_of_the_archives_can_be_deleted(tmp_path: Path, path: str):
    victim = tmp_path / "bots" / "x" / "data"
    victim.mkdir(parents=True)
    instance = tmp_path / "bots" / "instances" / "a" / "data"
    instance.mkdir(parents=True)
    assert not await files_in(tmp_path).delete(path)
    assert victim.is_dir()
    assert instance.is_dir()


async def test_what_leads_out_of_the_archives_is_not_seen(tmp_path: Path):
    outside = put(tmp_path / "elsewhere", "synth_1ctrl_spot")
    folder = tmp_path / "bots" / "archived" / "link" / "data"
    folder.mkdir(parents=True)
    (folder / "link.sqlite").symlink_to(outside)
    assert await files_in(tmp_path).seen() == []


@pytest.mark.parametrize(
    ("stored", "paid"),
    [
        ('{"flat_fees": [{"token": "BNB", "amount": "0.1"}, {"token": "BNB", "amount": "0.2"}]}', {"BNB": "0.3"}),
        ('{"percent": "0.001", "percent_token": null, "flat_fees": []}', {"USDT": "0.2"}),
        ('{"percent": "0.001", "percent_token": "BTC"}', {"BTC": "0.002"}),
        ('{"percent": "0", "percent_token": "USDT", "flat_fees": []}', {}),
    ],
    ids=["flat", "share of the notional", "share in base", "none"],
)
def test_fees_are_what_was_paid_in_each_token(stored: str, paid: dict[str, str]):
    found = fees(stored, base="BTC", quote="USDT", amount=Decimal(2), price=Decimal(100))
    assert found == {token: Decimal(amount) for token, amount in paid.items()}
