"""Answers that are made while their reader takes time: nothing waits for them, and they are right or break off."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec
import pytest
from psycopg.pq import TransactionStatus

from domain.archives import ArchiveImported
from domain.errors import Unavailable
from projections import analytics, orders
from projections.analytics import Chosen
from projections.archives import queries as archives
from projections.pool import Pool
from projections.replay import rebuild
from tests.archives import path_of
from tests.projections.archived import ARCHIVES, archived, deleted, trade
from tests.projections.given import at, filled, placed
from tests.read_api.conftest import Server, pool, server, template

__all__ = ["pool", "server", "template"]

OWN = [placed("many", amount="99"), *(filled("many", f"t{n}", "1", "100") for n in range(7))]
CHUNKS = archived("long", [[trade(n, "BUY", "1", "100")] for n in range(1, 7)])
PATH = path_of("long")


async def seen(server: Server, story: Sequence[object]) -> None:
    """Tell a story and wait until the views have it."""
    end = await server.told(story)  # type: ignore[arg-type]
    assert await server.progress.reached(end, server.progress.views, 10) == 0


async def ids(batches: AsyncGenerator[object, None]) -> list[str]:
    return [told.fill.trade_id async for some in batches for told in some]  # type: ignore[attr-defined]


async def test_trades_that_come_while_an_answer_is_made_are_in_the_next_one(
    server: Server, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    await seen(server, OWN)
    monkeypatch.setattr(analytics, "AT_ONCE", 3)
    stream, late = filled("many", "late", "1", "100")
    early = msgspec.structs.replace(late, trade_id="early", filled_at=at(1))
    async with pool.connection() as connection:
        batches = analytics.traded(connection, Chosen())
        begun = [told.fill.trade_id for told in await anext(batches)]
        await seen(server, [(stream, late), (stream, early), *CHUNKS])
        assert begun + await ids(batches) == [f"t{n}" for n in range(7)]
        everything = await ids(analytics.traded(connection, Chosen()))
        # By time, and of the same time (two seconds after the beginning) our own before those of bots.
        assert everything == ["early", "1", *(f"t{n}" for n in range(7)), "late", "2", "3", "4", "5", "6"]


async def test_no_transaction_is_open_while_a_reader_takes_his_time(
    server: Server, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    await seen(server, [*OWN, *CHUNKS])
    monkeypatch.setattr(analytics, "AT_ONCE", 3)
    async with pool.connection() as connection:
        archive = await archives.archive(connection, PATH)
        assert archive is not None
        for answer in (
            analytics.traded(connection, Chosen()),
            archives.steps(connection, archive),
            archives.every(connection, archive, "orders"),
        ):
            await anext(answer)
            assert connection.info.transaction_status is TransactionStatus.IDLE
            await answer.aclose()


async def test_a_view_is_swapped_under_a_slow_reader_whose_answer_breaks_off(
    server: Server, pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    await seen(server, OWN)
    monkeypatch.setattr(analytics, "AT_ONCE", 3)
    async with pool.connection() as connection:
        batches = analytics.traded(connection, Chosen())
        await anext(batches)
        async with asyncio.timeout(10):
            await rebuild(database_url, server.log, [orders.VIEW])
        with pytest.raises(Unavailable, match="built anew"):
            await anext(batches)


@pytest.mark.parametrize("again", [(), CHUNKS], ids=["deleted", "imported again"])
async def test_an_archive_that_goes_takes_its_answers_with_it(
    server: Server, pool: Pool, monkeypatch: pytest.MonkeyPatch, again: Sequence[object]
):
    await seen(server, CHUNKS)
    monkeypatch.setattr(analytics, "AT_ONCE", 3)
    async with pool.connection() as connection:
        archive = await archives.archive(connection, PATH)
        assert archive is not None
        batches, steps = analytics.traded(connection, Chosen()), archives.steps(connection, archive)
        await anext(batches)
        assert len([await anext(steps) for _ in range(4)]) == 4
        await seen(server, [deleted("long"), *again])
        for answer in (batches, steps):
            with pytest.raises(Unavailable, match="'bots/archived/long"):
                await anext(answer)


async def test_an_archive_counts_when_it_is_whole(server: Server):
    await server.told([told for told in ARCHIVES if not isinstance(told[1], ArchiveImported)])
    assert (await server.ask("/analytics/trades"))["data"] == []
    await server.told(CHUNKS)
    assert len((await server.ask("/analytics/trades"))["data"]) == 6
