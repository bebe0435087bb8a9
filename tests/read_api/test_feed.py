"""The log, live, over real sockets."""

import asyncio
import gc
import json
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest

from adapters.asgi import build
from adapters.http.callers import Committed
from adapters.settings import Settings
from adapters.uvicorn import _Protocol
from domain.errors import Unavailable
from projections.pool import Pool
from read_api.audit import Audit
from read_api.audit.feed import AuditFeed, Following
from read_api.settle import Reads
from tests.listening import KNOWN, listened, rude_request
from tests.projections.conftest import projecting
from tests.projections.given import EVERYTHING, STORY, account, placed, rejected, tell


class Counted:
    """A log that knows how many follow it, and that may break off."""

    def __init__(self, log):
        self._log = log
        self.followers = 0
        self.broken = asyncio.Event()

    async def position(self):
        return await self._log.position()

    async def follow(self, after, *, limit=1000, types=()):
        self.followers += 1
        try:
            async for batch in self._log.follow(after, limit=limit, types=types):
                if self.broken.is_set():
                    raise Unavailable("The event log cannot be reached")
                yield batch
        finally:
            self.followers -= 1

    async def followed_by(self, count):
        async with asyncio.timeout(20):
            while self.followers != count:
                await asyncio.sleep(0.005)


class World:
    def __init__(self, address, log, tail, stopping, session):
        self.address, self.log, self.tail, self.stopping, self._session = address, log, tail, stopping, session

    async def tell(self, story):
        return await tell(self.log, story)

    @asynccontextmanager
    async def feed(self, query="", **headers):
        async with self._session.get(f"http://{self.address}/audit/feed{query}", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            yield Heard(answer.content)

    async def refusal(self, query="", **headers):
        async with self._session.get(f"http://{self.address}/audit/feed{query}", headers=headers) as answer:
            return answer.status, (await answer.json())["detail"]

    async def events(self, query):
        url = f"http://{self.address}/audit/events?{query}&limit=1000"
        async with self._session.get(url, headers={"X-After-Position": str(await self.log.position())}) as answer:
            return (await answer.json())["data"][::-1]


class Heard:
    """A feed, as a browser takes it: `place` is what it would say in `Last-Event-ID`."""

    def __init__(self, content):
        self._content = content
        self.place = None

    async def block(self):
        """Return the fields of the next block, None at the end."""
        fields = {}
        async with asyncio.timeout(20):
            while (line := (await self._content.readline()).decode()) not in ("\n", ""):
                name, _, value = line.rstrip("\n").partition(":")
                fields[name] = value.removeprefix(" ")
        if "id" in fields:
            self.place = int(fields["id"])
        return None if line == "" else fields

    async def next(self):
        """Return the next event."""
        while "data" not in (block := await self.block()):
            pass
        event = json.loads(block["data"])
        assert event["position"] == self.place
        return event

    async def take(self, count):
        return [await self.next() for _ in range(count)]


@pytest.fixture
async def world(database_url, log):
    stopping, tail = asyncio.Event(), Counted(log)
    async with Pool.open(database_url, size=2) as pool, projecting(database_url, log) as progress:
        assert await progress.reached(0, progress.views, 10) == 0
        dependencies = {
            "reads": Reads(pool, progress, Committed()),
            "following": Following(tail=tail, stopping=stopping, beat_seconds=0.05),
        }
        app = build([Audit, AuditFeed], [], dependencies, Settings.from_environment({}))
        async with listened(app) as address, aiohttp.ClientSession(headers=KNOWN) as session:
            yield World(address, log, tail, stopping, session)
            stopping.set()


async def test_the_log_is_told_from_its_beginning_and_then_as_it_grows(world):
    end = await world.tell(EVERYTHING)
    async with world.feed("?from=1") as feed:
        heard = await feed.take(end)
        assert [event["position"] for event in heard] == list(range(1, end + 1))
        await world.tell([placed("live")])
        assert (await feed.next())["stream"] == "order-live"
    assert heard == await world.events(f"to_position={end}")


async def test_without_a_position_only_what_comes_is_told(world):
    end = await world.tell(account())
    async with world.feed() as feed:
        assert await feed.block() == {"retry": "1000", "id": str(end)}
        await world.tell([placed("a")])
        assert (await feed.next())["position"] == end + 1


async def test_who_was_cut_off_goes_on_behind_what_it_saw_last(world):
    end = await world.tell(EVERYTHING)
    async with world.feed("?from=1") as feed:
        await feed.take(3)
    async with world.feed("?from=1", **{"Last-Event-ID": str(feed.place)}) as feed:
        assert [event["position"] for event in await feed.take(end - 3)] == list(range(4, end + 1))


@pytest.mark.parametrize(
    "query", ["type=OrderPlaced", "actor=admin", "stream=order-b", f"correlation_id={STORY}", "type=x&actor=admin"]
)
async def test_a_feed_tells_what_a_search_finds_of_old_events_and_of_new_ones(world, query):
    await world.tell(EVERYTHING)
    old = await world.events(query)
    async with world.feed(f"?from=1&{query}") as feed:
        assert await feed.take(len(old)) == old
        new = [placed("later"), rejected("later"), placed("last"), rejected("last")]
        await world.tell(new)
        found = (await world.events(query))[len(old) :]
        assert await feed.take(len(found)) == found
        end = await world.log.position()
        while feed.place != end:
            assert "data" not in await feed.block()


async def test_the_place_moves_on_over_what_is_filtered_out(world):
    await world.tell(account())
    async with world.feed("?type=Nothing") as feed:
        end = await world.tell([placed("a"), rejected("a")])
        while feed.place != end:
            assert "data" not in await feed.block()
        while await feed.block() != {"": ""}:  # nothing new: a sign of life
            pass


async def test_what_cannot_be_followed_is_refused_in_words(world):
    end = await world.tell(account())
    assert await world.refusal(f"?from={end + 2}") == (400, f"Position {end + 1} is beyond the end of the log, {end}")
    assert (await world.refusal(**{"Last-Event-ID": str(end + 1)}))[0] == 400
    for query, header, place in (
        ("", "x", ["header", "Last-Event-ID"]),
        ("?from=-1", "", ["query", "from"]),
        ("?correlation_id=x", "", ["query", "correlation_id"]),
    ):
        status, detail = await world.refusal(query, **({"Last-Event-ID": header} if header else {}))
        assert (status, detail[0]["loc"]) == (422, place)
    assert (await world.refusal(Authorization="Basic eA=="))[0] == 401


async def test_nobody_follows_for_one_who_has_left(world):
    await world.tell(account())
    async with world.feed():
        await world.tail.followed_by(1)
    await world.tail.followed_by(0)


async def test_a_feed_ends_when_the_server_stops(world):
    await world.tell(account())
    async with world.feed() as feed:
        await feed.block()
        world.stopping.set()
        while await feed.block() is not None:
            pass
    await world.tail.followed_by(0)


async def test_a_feed_ends_when_the_log_cannot_be_read_and_the_client_may_come_again(world):
    end = await world.tell(account())
    async with world.feed() as feed:
        await feed.block()
        await world.tail.followed_by(1)
        world.tail.broken.set()
        await world.tell([placed("a")])
        while await feed.block() is not None:
            pass
        assert feed.place == end
    world.tail.broken.clear()
    async with world.feed(**{"Last-Event-ID": str(feed.place)}) as feed:
        assert (await feed.next())["stream"] == "order-a"


async def test_one_who_does_not_read_costs_a_page_and_misses_nothing(world):
    await world.tell(account())
    async with rude_request(world.address, "/audit/feed?from=1") as (reader, _):
        await world.tail.followed_by(1)
        orders = [placed(f"o{number}") for number in range(800)]
        end = await world.tell(orders)
        async with world.feed("?from=1") as other:
            assert [event["position"] for event in await other.take(end)] == list(range(1, end + 1))
        protocols = [one for one in gc.get_objects() if type(one) is _Protocol]
        waiting = [one.transport.get_write_buffer_size() for one in protocols if one in one.connections]
        assert 0 < max(waiting) < 64 * 1024 + 100 * 1024
        read, seen = b"", b"id: %d\n" % end
        async with asyncio.timeout(20):
            while seen not in read:
                read += await reader.read(65536)
        assert read.count(b"\ndata: ") == end


def test_an_example_of_an_event_is_one():
    from read_api.audit import EventItem
    from read_api.audit.feed import _EXAMPLE

    data = _EXAMPLE.partition("data: ")[2]
    assert msgspec.json.decode(data, type=EventItem).position == 42
