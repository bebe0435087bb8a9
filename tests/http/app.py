"""An application with routes that do what a test needs, behind the real doors."""

import httpx
from litestar import Controller, get, post
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Response

from adapters.asgi import build
from adapters.http.bodies import Amount, Body, Name, PageSize
from adapters.http.protocol import App
from adapters.http.requests import Request
from adapters.settings import Settings
from domain.errors import Conflict, DomainError, Forbidden, Invalid, Malformed, NotFound, StreamMoved, Unavailable

ERRORS: dict[str, DomainError] = {
    "invalid": Invalid("Account already exists."),
    "forbidden": Forbidden("Not yours"),
    "not_found": NotFound("Order 'n1' not found"),
    "conflict": Conflict("Key used for another request"),
    "moved": StreamMoved("order-n1", 3),
    "unavailable": Unavailable("The event log cannot be reached"),
    "malformed": Malformed(
        "Input should be greater than 0",
        location=("body", "amount"),
        kind="greater_than",
        given=-1,
        bounds={"gt": 0},
    ),
}


class Wish(Body, frozen=True, kw_only=True):
    """A body with one field of each usual kind."""

    name: Name
    amount: Amount
    limit: PageSize = 100


class Probe(Controller):
    """Routes for tests."""

    path = "/probe"

    @get("/", status_code=200)
    async def read(
        self, limit: FromQuery[PageSize] = 1, names: FromQuery[list[Name] | None] = None
    ) -> dict[str, object]:
        """Say the limit and the names."""
        return {"limit": limit, "names": names}

    @post("/", status_code=201)
    async def write(self, data: JSONBody[Wish]) -> dict[str, str]:
        """Say the amount."""
        return {"amount": str(data.amount)}

    @get("/errors/{name:str}", status_code=200)
    async def fail(self, name: FromPath[str]) -> Response[None]:
        """Raise the error of that name."""
        if name in ERRORS:
            raise ERRORS[name]
        secret = "hidden in a local variable"  # noqa: F841 - a logger that shows variables would show it
        raise RuntimeError("nobody foresaw this")

    @get("/user", status_code=200)
    async def user(self, request: Request) -> dict[str, str]:
        """Say who asks."""
        return {"user": request.asgi["user"]}


class Root(Controller):
    """The public routes, as far as tests of the doors need them."""

    path = "/"

    @get(["/", "/health", "/ready"], status_code=200)
    async def alive(self) -> dict[str, str]:
        """Say that it is alive."""
        return {"status": "running"}


def probe_app(**environment: str) -> App:
    """Return the application, with these settings."""
    return build([Root, Probe], [], {}, Settings.from_environment(environment))


def client_of(
    app: App, *, user: str = "admin", password: str = "admin", client: str = "127.0.0.1"
) -> httpx.AsyncClient:
    """Return a client of an application; with an empty user it sends no credentials."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app, client=(client, 4711), raise_app_exceptions=False),
        base_url="http://127.0.0.1:8000",
        auth=(user, password) if user else None,
    )
