"""A connection to Postgres that breaks when a test wants it to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo


class Wire:
    """Stands between the log and its server, and breaks when a test wants it to."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.upstream = upstream
        self.lose_question = False  # the next bytes for the server get lost, and the connection with them
        self.lose_answer = False  # the same for the next bytes from the server
        self.up = True  # whether new connections get through
        self.broken = 0
        self._carried: set[asyncio.Task[None]] = set()

    async def cut(self) -> None:
        """End all connections."""
        for task in self._carried:
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)

    def connected(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(near_in, near_out))
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)

    async def _carry(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        if not self.up:
            near_out.close()
            return
        host, port = self.upstream
        if host.startswith("/"):
            far_in, far_out = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            far_in, far_out = await asyncio.open_connection(host, port)
        ends = (near_out, far_out)
        try:
            await asyncio.gather(
                self._pass(near_in, far_out, lambda: self.lose_question, ends),
                self._pass(far_in, near_out, lambda: self.lose_answer, ends),
            )
        except ConnectionError:
            return
        finally:
            near_out.close()
            far_out.close()

    async def _pass(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        loses: Callable[[], bool],
        ends: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        while data := await source.read(1 << 16):
            if loses():
                self.lose_question = self.lose_answer = False
                self.broken += 1
                break
            target.write(data)
        for end in ends:
            end.close()


@asynccontextmanager
async def wired(database_url: str) -> AsyncIterator[tuple[Wire, str]]:
    """Yield a wire to the server and the address of its near end."""
    async with await AsyncConnection.connect(database_url) as connection:
        wire = Wire((connection.info.host, connection.info.port))
    server = await asyncio.start_server(wire.connected, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield wire, make_conninfo(database_url, host="127.0.0.1", port=port)
    finally:
        server.close()
        await wire.cut()
