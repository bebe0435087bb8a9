import pytest
from litestar import Controller, get, post

from adapters.asgi import build
from adapters.settings import Settings
from tests.http.app import client_of


class Reads(Controller):
    path = "/things"

    @get("/{name:str}", status_code=200)
    async def one(self) -> dict[str, str]:
        return {"was": "read"}


class Writes(Controller):
    path = "/things"

    @post("/{name:str}", status_code=201)
    async def change(self) -> dict[str, str]:
        return {"was": "written"}


class Twin(Controller):
    path = "/things"

    @post("/other", status_code=201)
    async def one(self) -> dict[str, str]:
        return {}


async def test_a_read_and_a_write_may_have_one_path():
    async with client_of(build([Reads], [Writes], {}, Settings.from_environment({}))) as client:
        assert (await client.get("/things/a")).json() == {"was": "read"}
        assert (await client.post("/things/a")).json() == {"was": "written"}
        assert (await client.delete("/things/a")).headers["allow"] == "GET, POST"


def test_two_routes_of_one_name_under_one_path_are_a_mistake_of_the_program():
    with pytest.raises(TypeError, match="/things"):
        build([Reads], [Twin], {}, Settings.from_environment({}))
