"""The engine's images: what is there, and what is being pulled.

Who wants an image that is being pulled already waits for that pull.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from functools import partial

import docker
import msgspec
from docker.errors import APIError, ImageNotFound

from adapters.docker.connection import Connection, reason
from domain.containers import Pull
from domain.errors import DomainError, Invalid, Unavailable

REMEMBERED = 100
"""So many pulls that have ended are told of, and those of the last hour alone."""

_HOUR = timedelta(hours=1)


class Images:
    """The images of an engine."""

    def __init__(self, connection: Connection, *, clock: Callable[[], datetime]) -> None:
        self._connection = connection
        self._clock = clock
        self._closed = False
        self._pulls: dict[str, Pull] = {}
        self._ends: dict[str, asyncio.Future[int | None]] = {}

    async def names(self, part: str = "") -> Sequence[str]:
        """Return the names with tags of the images that are here and have `part` in them, in order."""
        images = await self._connection.ask("The images", lambda client: client.images())
        return sorted({tag for image in images for tag in image.get("RepoTags") or () if part in tag})

    async def is_here(self, image: str) -> bool:
        """Whether the engine has an image. Raises `Invalid` for what no image is called, `Unavailable`."""
        return await self._connection.ask(f"Image '{image}'", lambda client: _is_here(client, image))

    async def have(self, image: str) -> None:
        """Pull an image unless it is here. Raises `Invalid` for one that is not to be had, `Unavailable`."""
        if not await self.is_here(image):
            await self.pull(image)

    def pulls(self) -> Sequence[Pull]:
        """Return how pulls go and how those of the last hour went, the newest last."""
        old = self._clock() - _HOUR
        ended = [pull for pull in self._pulls.values() if pull.ended_at is not None]
        for rank, pull in enumerate(sorted(ended, key=_ended_at, reverse=True)):
            if rank >= REMEMBERED or _ended_at(pull) < old:
                del self._pulls[pull.image]
        return list(self._pulls.values())

    def now(self) -> datetime:
        """Return the time."""
        return self._clock()

    def pulling(self, image: str) -> datetime | None:
        """Return since when an image is being pulled, None where it is not."""
        return self._pulls[image].started_at if image in self._ends else None

    def pull(self, image: str) -> Coroutine[object, object, int | None]:
        """Note at once that an image is being pulled, and return what waits for it and gives its bytes.

        They are None where nothing had to come. It raises `Invalid` in the registry's words, `Unavailable`.
        """
        if image not in self._ends:
            loop = asyncio.get_running_loop()
            self._ends[image] = loop.create_future()
            self._pulls.pop(image, None)
            self._pulls[image] = Pull(image=image, status="pulling", started_at=self._clock())
            # A registry may keep it waiting for ever, which must not keep the server from ending.
            threading.Thread(target=self._pull, args=(image, loop), name=f"pull {image}", daemon=True).start()
        return self._ended(self._ends[image])

    def close(self) -> None:
        """Give up the pulls that are under way; whoever waits for one is told `Unavailable`."""
        self._closed = True
        for image in list(self._ends):
            self._finish(image, Unavailable(f"The pull of '{image}' was given up: the server stops"))

    @staticmethod
    async def _ended(end: asyncio.Future[int | None]) -> int | None:
        return await asyncio.shield(end)

    def _pull(self, image: str, loop: asyncio.AbstractEventLoop) -> None:
        outcome: int | DomainError | None
        try:
            outcome = self._connection.call_here(partial(self._follow, image, loop))
        except APIError as e:
            outcome = Invalid(f"Image '{image}' cannot be pulled: {reason(e)}")
        except DomainError as e:
            outcome = e
        if not self._closed:
            loop.call_soon_threadsafe(self._finish, image, outcome)

    def _follow(self, image: str, loop: asyncio.AbstractEventLoop, client: docker.APIClient) -> int | None:
        layers: dict[str, tuple[int, int]] = {}
        for line in client.pull(image, stream=True, decode=True):
            if self._closed:
                return None
            if "error" in line:
                raise Invalid(f"Image '{image}' cannot be pulled: {line['error']}")
            progress = line.get("progressDetail") or {}
            if line.get("status") == "Downloading" and "total" in progress:
                layers[line["id"]] = (progress.get("current", 0), progress["total"])
            elif line.get("status") == "Download complete" and line.get("id") in layers:
                layers[line["id"]] = (layers[line["id"]][1],) * 2
            else:
                continue
            done, total = (sum(column) for column in zip(*layers.values(), strict=True))
            loop.call_soon_threadsafe(self._tell, image, done, total)
        return sum(total for _, total in layers.values()) or None

    def _tell(self, image: str, done: int, total: int) -> None:
        if image in self._ends:
            self._pulls[image] = msgspec.structs.replace(self._pulls[image], done=done, total=total)

    def _finish(self, image: str, outcome: int | DomainError | None) -> None:
        end = self._ends.pop(image, None)
        if end is None:
            return
        failed = outcome if isinstance(outcome, DomainError) else None
        self._pulls[image] = msgspec.structs.replace(
            self._pulls[image],
            status="completed" if failed is None else "failed",
            ended_at=self._clock(),
            error=None if failed is None else failed.message,
        )
        if isinstance(outcome, DomainError):
            end.set_exception(outcome)
            end.exception()  # `pulls` tells it, even if nobody waits for it.
        else:
            end.set_result(outcome)


def _ended_at(pull: Pull) -> datetime:
    return pull.ended_at or pull.started_at


def _is_here(client: docker.APIClient, image: str) -> bool:
    try:
        client.inspect_image(image)
    except ImageNotFound:
        return False
    return True
