import asyncio
import socket
from contextlib import asynccontextmanager

from adapters.uvicorn import _Joining, web


@asynccontextmanager
async def client_of(app):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with web(app, listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            try:
                yield reader, writer
            finally:
                writer.close()
                await writer.wait_closed()


def answering(*parts, pause=None):
    async def app(_scope, receive, send):
        await receive()
        length = str(sum(map(len, parts))).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        for number, part in enumerate(parts, start=1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})
            if pause is not None and number < len(parts):
                await pause.wait()

    return app


async def ask(writer, *, close=False):
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + (b"Connection: close\r\n" if close else b"") + b"\r\n")
    await writer.drain()


async def test_head_and_body_come_in_one_piece():
    async with client_of(answering(b"hello")) as (reader, writer):
        await ask(writer)
        answer = await reader.read(65536)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nhello")


async def test_a_connection_is_used_again():
    async with client_of(answering(b"hello")) as (reader, writer):
        for _ in range(3):
            await ask(writer)
            assert (await reader.read(65536)).endswith(b"hello")


async def test_what_is_there_is_sent_while_the_rest_is_still_being_made():
    pause = asyncio.Event()
    async with client_of(answering(b"first", b"second", pause=pause)) as (reader, writer):
        await ask(writer)
        assert (await reader.read(65536)).endswith(b"first")
        pause.set()
        assert await reader.read(65536) == b"second"


async def test_a_long_answer_arrives_whole_and_in_order_before_the_connection_closes():
    parts = [bytes([number]) * 50_000 for number in range(60)]
    async with client_of(answering(*parts)) as (reader, writer):
        await ask(writer, close=True)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert b"content-length: 3000000" in head
        assert body == b"".join(parts)


async def test_requests_under_way_are_let_finish_when_the_server_stops():
    pause, asked = asyncio.Event(), asyncio.Event()
    inner = answering(b"first", b"last", pause=pause)

    async def app(scope, receive, send):
        asked.set()
        await inner(scope, receive, send)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with web(app, listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await ask(writer)
            await asked.wait()
            asyncio.get_running_loop().call_soon(pause.set)
        assert (await reader.read()).endswith(b"firstlast")
        writer.close()
        await writer.wait_closed()


class ClosedTransport(asyncio.Transport):
    """What uvloop has in hand when the client left in this turn of the loop."""

    def is_closing(self):
        return True

    def write(self, data):
        raise RuntimeError("the handler is closed")


async def test_what_nobody_is_left_to_read_is_dropped():
    joining = _Joining(ClosedTransport(), asyncio.get_running_loop())
    joining.write(b"x" * 100_000)
