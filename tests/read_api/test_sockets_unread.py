"""Clients of WebSockets that break the protocol, or do not read: they end alone, or cost little, and slow nobody."""

import asyncio
import gc
from contextlib import AsyncExitStack
from decimal import Decimal
from itertools import count

import pytest

from adapters.uvicorn import MESSAGE_BYTES, _WebSocket
from domain.order_books import Book
from tests.fakes.feeds import book
from tests.listening import CLOSE, PING, TEXT, frame, rude, wish
from tests.read_api.sockets import BOOK, serving

BOUND = 64 * 1024 + 32 * 1024
"""What the transport holds before it says that it is enough, and one message."""


@pytest.fixture
async def world():
    async with serving() as started:
        yield started


NO_MESSAGES = {
    "text that is none": (frame(TEXT, b"\xff\xfe"), 1007),
    # Only announced: what is on its way when a connection ends may take the goodbye with it.
    "a message that is too long": (frame(TEXT, b" " * (MESSAGE_BYTES + 1))[:14], 1009),
    "a message in pieces that is too long": (
        frame(TEXT, b" " * MESSAGE_BYTES, flags=0) + frame(0, b" " * 200)[:8],
        1009,
    ),
    "flags that nobody agreed on": (frame(TEXT, b"{}", flags=0xF0), 1002),
    "a piece of nothing": (frame(0, b"{}"), 1002),
    "a frame of no kind": (frame(3, b""), 1002),
    "a ping that is too long": (frame(PING, b"x" * 126), 1002),
}


@pytest.mark.parametrize(("sent", "code"), NO_MESSAGES.values(), ids=list(NO_MESSAGES))
async def test_what_is_no_message_ends_its_connection_alone(world, sent, code):
    async with world.listener() as other, rude(world.address) as client:
        await other.ask(**BOOK)
        client.send(wish(**BOOK))
        await world.readers(2)
        client.send(sent)
        assert await client.closed_with() == code
        await world.readers(1)
        world.source.say("BTC-USDT", book(1, 2))
        assert (await other.hear())["type"] == "order_book"


def deep(bid):
    """Return a book that takes some 20 KB to tell."""
    low = tuple((Decimal(bid) - Decimal(number) / 1000, Decimal(1)) for number in range(1000))
    return Book(bids=low, asks=((Decimal(10_000), Decimal(1)),))


async def left_unread(world, client):
    """Have a client subscribe, say books until it is told nothing more, and return the server's end of it."""
    client.send(wish(**{**BOOK, "depth": 1000}))
    await world.readers(1)
    (end,) = (one for one in gc.get_objects() if type(one) is _WebSocket and not one.disconnected)
    async with asyncio.timeout(20):
        bids = count(1)
        while end.writable.is_set():
            world.source.say("BTC-USDT", deep(next(bids)))
            await asyncio.sleep(0.005)
    return end


async def test_one_who_does_not_read_costs_one_message_and_slows_nobody(world):
    async with rude(world.address) as silent:
        end = await left_unread(world, silent)
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(world.listener()) for _ in range(49)]
            for client in clients:
                await client.ask(**{**BOOK, "depth": 1})
                await client.hear()
            for bid in range(1000, 1040):
                world.source.say("BTC-USDT", deep(bid))
                for told in await asyncio.gather(*(client.hear() for client in clients)):
                    assert (told["data"]["bids"], told["missed"]) == ([[float(bid), 1.0]], 0)
            assert 0 < end.transport.get_write_buffer_size() <= BOUND
            assert end.queue.empty()
        await world.readers(1)


async def test_one_who_reads_again_is_told_the_newest_and_what_it_missed(world):
    async with rude(world.address) as silent:
        await left_unread(world, silent)
        for bid in range(2000, 2100):
            world.source.say("BTC-USDT", book(bid, 10_000))
        missed = await silent.read_until(rb'"bids":\[\[2099\.0,1\.0\]\][^}]*}[^}]*"missed":([0-9]+)}')
        assert int(missed[1]) >= 90


async def test_one_who_only_asks_and_never_reads_the_answers_costs_no_more():
    async with serving(ping_seconds=3600) as world, rude(world.address) as silent:
        end = await left_unread(world, silent)
        async with world.listener() as other:
            for _ in range(20):
                silent.send(*[frame(PING, b"x" * 125), wish(action="ping")] * 500)
                assert (await other.ask(action="ping"))["type"] == "pong"
        assert 0 < end.transport.get_write_buffer_size() <= BOUND


@pytest.mark.parametrize("reads", [False, True])
async def test_one_who_is_not_there_any_more_is_let_go_even_if_it_left_things_unread(capsys, reads):
    async with serving(ping_seconds=0.02, pong_seconds=1) as world, rude(world.address) as silent:
        end = await left_unread(world, silent)
        if reads:  # in the last moment: what was waited for can be sent, and must not be
            async with asyncio.timeout(20):
                while not end.close_sent:
                    await asyncio.sleep(0.01)
            while await silent.reader.read(65536):
                pass
        await world.readers(0)
        assert end.disconnected
    assert "socket_failed" not in capsys.readouterr().out


GOODBYES = {"garbage": b"garbage", "goodbye": frame(CLOSE, (1000).to_bytes(2, "big"))}


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("said", GOODBYES)
async def test_one_who_leaves_things_unread_is_gone_soon_and_nothing_fails_for_it(world, capsys, said, reads):
    async with rude(world.address) as silent:
        end = await left_unread(world, silent)
        silent.send(GOODBYES[said])
        while reads and await silent.reader.read(65536):
            pass
        async with asyncio.timeout(20):
            while not end.disconnected:
                await asyncio.sleep(0.01)
        await world.readers(0)
    assert "socket_failed" not in capsys.readouterr().out


async def test_one_who_answers_pings_stays():
    async with serving(ping_seconds=0.01, pong_seconds=5) as world, world.listener() as client:
        await client.ask(**BOOK)
        for bid in range(1, 20):
            world.source.say("BTC-USDT", book(bid, 100))
            await client.hear_of("order_book")


@pytest.mark.parametrize("reads", [True, False])
async def test_a_server_that_stops_says_goodbye_and_waits_for_nobody(reads, caplog):
    async with AsyncExitStack() as stack:
        async with serving() as world:
            client = await stack.enter_async_context(rude(world.address))
            if reads:
                client.send(wish(**BOOK))
                await world.readers(1)
            else:
                await left_unread(world, client)
        assert "graceful shutdown exceeded" not in caplog.text
        if reads:
            assert await client.closed_with() == 1012
