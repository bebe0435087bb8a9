import httpx

from adapters.asgi import build
from adapters.settings import Settings
from projections.runner import Progress
from read_api.settle import behind
from read_api.system import System
from tests.http.app import client_of


def server(reason: str | None) -> httpx.AsyncClient:
    async def readiness() -> str | None:
        return reason

    return client_of(build([System], [], {"readiness": readiness}, Settings.from_environment({})), user="")


async def test_the_server_says_what_it_is_to_anybody():
    async with server(None) as client:
        answer = await client.get("/")
        assert answer.json().keys() == {"name", "version", "status"}
        assert answer.json()["status"] == "running"
        assert (await client.get("/health")).json() == {"status": "ok"}
        assert (await client.get("/ready")).json() == {"status": "ready"}


async def test_it_is_alive_before_it_is_ready():
    async with server("The views are 3 events behind the log") as client:
        assert (await client.get("/health")).status_code == 200
        answer = await client.get("/ready")
        assert (answer.status_code, answer.json()) == (503, {"detail": "The views are 3 events behind the log"})


async def test_views_are_behind_until_they_have_seen_the_log():
    progress = Progress(["orders"])
    progress.moved({"orders": 4})
    assert await behind(progress, 4) is None
    assert await behind(progress, 7) == "The views are 3 events behind the log"
    progress.failed("orders", "KeyError: 'a'")
    assert await behind(progress, 4) == "View 'orders' has stopped: KeyError: 'a'"
