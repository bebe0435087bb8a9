"""`nectar serve`: everything that one machine needs, started in order and stopped in order."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager

import structlog

from adapters import database
from adapters.banner import banner
from adapters.bootstrap import server
from adapters.bootstrap.bots import Address
from adapters.garbage import collect_rarely
from adapters.http.protocol import App
from adapters.private_broker import Broker, private_broker
from adapters.settings import Settings, WrongSetting, refuse_open_door
from adapters.uvicorn import web

logger = structlog.get_logger()

_LAST_PORT = 65535


async def serve(settings: Settings, host: str, port: int) -> int:
    """Serve until SIGINT or SIGTERM, then stop cleanly; port 0 takes a free one.

    Raises `WrongSetting` for an address that cannot be served, and what the parts raise.
    """
    refuse_open_door(settings, host)
    for remark in settings.remarks:
        logger.warning("setting", remark=remark)
    collect_rarely()
    stop = asyncio.Event()
    with _signals(stop), _listening(host, port) as listener:
        async with AsyncExitStack() as stack:
            url, _ = await stack.enter_async_context(database.opened(settings))
            broker = await stack.enter_async_context(_broker(settings))
            app = await stack.enter_async_context(_served(settings, url, broker, stop))
            await stack.enter_async_context(web(app, listener))
            stack.callback(stop.set)  # answers without an end are over before the web server waits for them
            sys.stdout.write(banner(settings, host=host, port=listener.getsockname()[1], broker=broker) + "\n")
            sys.stdout.flush()
            await stop.wait()
            logger.info("stopping")
    logger.info("stopped")
    return 0


def _served(
    settings: Settings, url: str, broker: Broker | None, stop: asyncio.Event
) -> AbstractAsyncContextManager[App]:
    address = None if broker is None else Address(host=broker.host, port=broker.port)
    return server(settings, url, name=socket.gethostname(), broker=address, stopping=stop)


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """Have SIGINT and SIGTERM set an event; a second one ends the process at once."""
    loop = asyncio.get_running_loop()

    def stop_once(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop_once, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Take the address before anything is started, so that a taken one is told at once."""
    if not 0 <= port <= _LAST_PORT:
        raise WrongSetting("--port", str(port), f"is not between 0 and {_LAST_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host.strip("[]"), port))
        except OSError as e:
            raise WrongSetting("--port", f"{host}:{port}", f"cannot be listened on: {e.strerror}") from e
        listener.listen(2048)
        listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
        yield listener
    finally:
        listener.close()


@asynccontextmanager
async def _broker(settings: Settings) -> AsyncIterator[Broker | None]:
    """Run a broker of our own, or give None where one is set."""
    if settings.broker_host is not None:
        yield None
        return
    async with private_broker(settings.data, settings.broker_port) as broker:
        yield broker
