"""Whether the server is there, and whether it can do its work."""

from importlib.metadata import version

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency

from adapters.http.answers import Answer
from adapters.http.bodies import encode
from domain.errors import Unavailable
from read_api.pages import described
from read_api.ports import Readiness


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What this server is."""

    name: str
    version: str
    status: str


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How the server is."""

    status: str


class System(Controller):
    """Public routes: no authentication."""

    path = "/"
    tags = ("System",)

    @get("/", status_code=200, summary="Say what this is", responses=described(Named, "Name and version"))
    async def name(self) -> Answer:
        """Answer name and version."""
        return Answer(200, encode(Named(name="Nectar", version=version("nectar"), status="running")))

    @get("/health", status_code=200, summary="Say that the server is alive", responses=described(State, "Alive"))
    async def health(self) -> Answer:
        """Answer as long as the process answers at all."""
        return Answer(200, encode(State(status="ok")))

    @get(
        "/ready", status_code=200, summary="Say whether commands and queries work", responses=described(State, "Ready")
    )
    async def ready(self, readiness: NamedDependency[Readiness]) -> Answer:
        """Answer 503 with the reason until the log can be reached and the views have caught up."""
        missing = await readiness()
        if missing is not None:
            raise Unavailable(missing)
        return Answer(200, encode(State(status="ready")))
