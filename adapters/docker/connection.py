"""The connection to an engine: one client, made when it is first needed, and threads that wait for it."""

import asyncio
import os
import re
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeVar

import docker
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from domain.errors import DomainError, Invalid, Unavailable

T = TypeVar("T")

INSTANCE = "nectar.instance"
"""The label with the name of the instance that a container, service, volume, config or secret is of."""

OWNER = "nectar.owner"
"""The label with the name of the data whose servers may touch it."""

USUAL = "unix:///var/run/docker.sock"
"""Where engines listen if nobody says otherwise."""

_UNIX = "unix://"
_SECONDS = 60

# So many questions at once; those that take their time (a container that is to end, files that are to be copied) are
# counted apart, so that none of them keeps a short one waiting.
_SHORT = 32
_LONG = 256
_OWN_FAULT = 500
_EXITED = re.compile(r"Exited \((\d+)\)")


class Connection:
    """An engine, wherever it is: at `url`, or where the environment says (`DOCKER_HOST`), or at its usual socket."""

    def __init__(self, url: str | None = None) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._client: docker.APIClient | None = None
        self._free = asyncio.Semaphore(_SHORT)
        self._free_for_long = asyncio.Semaphore(_LONG)
        self._closed = False

    async def call(self, work: Callable[[docker.APIClient], T], *, long: bool = False) -> T:
        """Return what is asked of the engine; `long` is what may take more than a moment.

        Raises `Unavailable` where none answers, its `APIError` as it comes.
        """
        async with self._free_for_long if long else self._free:
            if self._closed:
                raise Unavailable("The Docker engine is not asked any more: the server stops")
            asked: Future[T] = Future()
            # No thread of a pool: Python would wait for it before it ends, and a container may take long to stop.
            threading.Thread(target=self._answer, args=(asked, work), name="docker", daemon=True).start()
            return await asyncio.wrap_future(asked)

    async def ask(self, thing: str, work: Callable[[docker.APIClient], T], *, long: bool = False) -> T:
        """As `call`; what the engine refuses is said of a thing, as `Invalid`, or `Unavailable` by its own fault."""
        try:
            return await self.call(work, long=long)
        except APIError as e:
            raise refusal(thing, e) from e

    def _answer(self, asked: Future[T], work: Callable[[docker.APIClient], T]) -> None:
        try:
            answer = self.call_here(work)
        except BaseException as e:  # noqa: BLE001 - whatever it is, it is the caller's
            if asked.set_running_or_notify_cancel():
                asked.set_exception(e)
        else:
            if asked.set_running_or_notify_cancel():
                asked.set_result(answer)

    def call_here(self, work: Callable[[docker.APIClient], T]) -> T:
        """As `call`, in a thread of the caller's own."""
        try:
            return work(self._opened())
        except APIError:
            raise
        except (DockerException, RequestException, HTTPError, OSError) as e:
            raise Unavailable(f"No Docker engine answers at {self._where()}: {brief(e)}") from e

    def close(self) -> None:
        """Let go of the engine. Calls that are under way end by themselves, others are refused from now on."""
        self._closed = True
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _opened(self) -> docker.APIClient:
        # The version of the API is agreed upon with the engine when it first answers.
        with self._lock:
            if self._client is None:
                self._knock()
                given = kwargs_from_env() if self._url is None else {"base_url": self._url}
                self._client = docker.APIClient(**given, timeout=_SECONDS, max_pool_size=_SHORT + _LONG)
            return self._client

    def _knock(self) -> None:
        """Raise `OSError` where nobody listens: the client would leave a socket open each time."""
        if self._where().startswith(_UNIX):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self._where().removeprefix(_UNIX))

    def _where(self) -> str:
        return self._url or os.environ.get("DOCKER_HOST") or USUAL


def reason(error: APIError) -> str:
    """Return what the engine says is wrong, in its own words."""
    return str(error.explanation or error).strip()


def refusal(thing: str, error: APIError) -> DomainError:
    """Return what to raise when the engine does not do something with a thing: its own fault, or ours."""
    own = error.status_code is not None and error.status_code >= _OWN_FAULT
    return (Unavailable if own else Invalid)(f"{thing}: {reason(error)}")


def exit_code(shown: str) -> int | None:
    """Return the exit code in a list's text on a container (`Exited (137) 2 hours ago`), None where there is none."""
    found = _EXITED.match(shown)
    return None if found is None else int(found[1])


def brief(error: BaseException) -> str:
    """Return an error of the connection without the layers that it went through."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    said = error.strerror if isinstance(error, OSError) else None
    return said or str(error) or type(error).__name__


def labels(owner: str, instance: str) -> dict[str, str]:
    """Return the labels of what is made for an instance."""
    return {OWNER: owner, INSTANCE: instance}


def is_ours(found: Mapping[str, str] | None, owner: str, instance: str | None = None) -> bool:
    """Whether what carries these labels is of our data, and of that instance if one is named."""
    found = found or {}
    return found.get(OWNER) == owner and instance in {None, found.get(INSTANCE)}
