"""Answers that are made while they are sent: short ones as a whole, long ones for as long as somebody takes them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from adapters.http import answers
from adapters.http.answers import LongAnswer
from adapters.http.protocol import Message
from domain.errors import Unavailable

GONE = OSError("the disk is gone")


class Client:
    """Whoever asked: it is there for so many messages, or takes none any more."""

    def __init__(self, *, stays_for: int = 1000, stalls: bool = False) -> None:
        self.got: list[Message] = []
        self._stays_for = stays_for
        self._stalls = stalls
        self._left = asyncio.Event()

    async def receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.got.append(message)
        if self._stalls and message.get("body"):
            await asyncio.Event().wait()
        if len(self.got) >= self._stays_for:
            self._left.set()
            await asyncio.sleep(0)  # it is heard of

    def leave(self) -> None:
        self._left.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.got)


class Pieces:
    """So many pieces of ten bytes, and whether whoever made them was told to stop."""

    def __init__(self, count: int, *, fails_after: int | None = None, error: Exception = GONE) -> None:
        self.closed = False
        self.made = 0
        self._count = count
        self._fails_after = fails_after
        self._error = error

    async def each(self) -> AsyncGenerator[bytes, None]:
        try:
            for number in range(self._count):
                if number == self._fails_after:
                    raise self._error
                self.made += 1
                yield b"%010d" % number
        finally:
            self.closed = True

    async def slowly(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self.each()) as pieces:
            async for piece in pieces:
                await asyncio.sleep(0)
                yield piece


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_SHORT", 50)


@pytest.mark.parametrize(("count", "long"), [(0, False), (5, False), (6, True), (40, True)])
async def test_a_short_answer_says_its_length_and_a_long_one_comes_as_it_is_made(count: int, long: bool):
    pieces, client = Pieces(count), Client()
    answer = LongAnswer(pieces.each(), ((b"x-lag", b"1"),), content_type=b"text/csv")
    await answer({}, client.receive, client.send)
    assert client.body == b"".join(b"%010d" % number for number in range(count))
    headers = dict(client.got[0]["headers"])
    assert (headers[b"content-type"], headers[b"x-lag"]) == (b"text/csv", b"1")
    assert headers.get(b"content-length") == (None if long else b"%d" % len(client.body))
    assert client.got[-1]["more_body"] is False
    assert pieces.closed


async def test_what_fails_at_the_beginning_is_raised_before_anything_is_sent():
    pieces, client = Pieces(10, fails_after=2), Client()
    with pytest.raises(OSError, match="the disk is gone"):
        await LongAnswer(pieces.each())({}, client.receive, client.send)
    assert (client.got, pieces.closed) == ([], True)


async def test_what_fails_in_the_middle_breaks_off_without_an_end():
    pieces, client = Pieces(40, fails_after=20), Client()
    with pytest.raises(OSError, match="the disk is gone"):
        await LongAnswer(pieces.each())({}, client.receive, client.send)
    assert client.body == b"".join(b"%010d" % number for number in range(18))
    assert client.got[-1]["more_body"] is True


async def test_a_database_that_goes_away_in_the_middle_breaks_off_with_a_line_in_the_log(
    capsys: pytest.CaptureFixture[str],
):
    pieces, client = Pieces(40, fails_after=20, error=Unavailable("The views cannot be reached")), Client()
    await LongAnswer(pieces.each())({}, client.receive, client.send)
    assert client.got[-1]["more_body"] is True
    said = capsys.readouterr().out
    assert "answer_broken_off" in said
    assert "The views cannot be reached" in said


async def test_for_somebody_who_went_away_no_more_is_made():
    pieces, client = Pieces(1000), Client(stays_for=4)
    await LongAnswer(pieces.each())({}, client.receive, client.send)
    assert (pieces.made < 40, pieces.closed) == (True, True)


async def test_who_went_away_before_there_was_anything_to_send_gets_nothing():
    pieces, client = Pieces(1000), Client(stays_for=0)
    client.leave()
    await LongAnswer(pieces.slowly())({}, client.receive, client.send)
    assert (client.got, pieces.made < 5, pieces.closed) == ([], True, True)


async def test_somebody_who_takes_nothing_any_more_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(answers, "PATIENCE_SECONDS", 0.01)
    pieces, client = Pieces(1000), Client(stalls=True)
    await LongAnswer(pieces.each())({}, client.receive, client.send)
    assert "nothing was taken for 0.01 seconds" in capsys.readouterr().out
    assert client.got[-1]["more_body"] is True
    assert (pieces.made, pieces.closed) == (6, True)
