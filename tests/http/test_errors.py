import pytest
from structlog.testing import capture_logs

from adapters.http.requests import BODY_BYTES, PATH_BYTES
from tests.http.app import ERRORS, client_of, probe_app


@pytest.mark.parametrize(
    ("name", "status"),
    [("invalid", 400), ("forbidden", 403), ("not_found", 404), ("conflict", 409), ("moved", 409), ("unavailable", 503)],
)
async def test_each_branch_of_the_tree_has_its_status_and_tells_its_message(name, status):
    async with client_of(probe_app()) as client:
        answer = await client.get(f"/probe/errors/{name}")
    assert answer.status_code == status
    assert answer.json() == {"detail": ERRORS[name].message}


async def test_what_the_schema_alone_refuses_is_a_list():
    async with client_of(probe_app()) as client:
        answer = await client.get("/probe/errors/malformed")
    assert answer.status_code == 422
    assert answer.json() == {
        "detail": [
            {
                "type": "greater_than",
                "loc": ["body", "amount"],
                "msg": "Input should be greater than 0",
                "input": -1,
                "ctx": {"gt": 0},
            }
        ]
    }


async def test_a_bad_body_is_refused_before_the_route_runs():
    async with client_of(probe_app()) as client:
        good = await client.post("/probe/", json={"name": "a", "amount": 0.1})
        bad = await client.post("/probe", json={"name": "a", "amount": 0})
        none = await client.post("/probe/")
    assert (good.status_code, good.json()) == (201, {"amount": "0.1"})
    assert (bad.status_code, bad.json()["detail"][0]["loc"]) == (422, ["body", "amount"])
    assert (none.status_code, none.json()["detail"][0]["type"]) == (422, "missing")


async def test_a_number_that_was_refused_is_shown_as_a_number():
    async with client_of(probe_app()) as client:
        answer = await client.post("/probe/", content=b'{"name": "a", "amount": -1.50}')
    assert b'"input":-1.50' in answer.content


@pytest.mark.parametrize(
    ("query", "kind", "place"),
    [
        ({"limit": "ten"}, "int_parsing", ["query", "limit"]),
        ({"limit": 0}, "greater_than_equal", ["query", "limit"]),
        ({"limit": -1}, "greater_than_equal", ["query", "limit"]),
        ({"limit": 1001}, "less_than_equal", ["query", "limit"]),
        ({"limit": "9" * 60}, "less_than_equal", ["query", "limit"]),
        ({"names": ["a", "../x"]}, "string_pattern_mismatch", ["query", "names", 1]),
    ],
)
async def test_a_parameter_is_held_to_the_bounds_of_its_type(query, kind, place):
    async with client_of(probe_app()) as client:
        answer = await client.get("/probe/", params=query)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert (problem["type"], problem["loc"]) == (kind, place)


async def test_parameters_within_their_bounds_are_taken():
    async with client_of(probe_app()) as client:
        answer = await client.get("/probe/", params={"limit": "10", "names": ["a", "b"]})
        one = await client.get("/probe/", params={"names": "a"})
    assert answer.json() == {"limit": 10, "names": ["a", "b"]}
    assert one.json() == {"limit": 1, "names": ["a"]}


async def test_a_path_that_no_route_has():
    async with client_of(probe_app()) as client:
        answer = await client.get("/nothing/here")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


async def test_a_method_that_the_path_does_not_have_names_those_it_has():
    async with client_of(probe_app()) as client:
        answer = await client.delete("/probe/")
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("announced", [True, False])
async def test_a_huge_body_is_refused_with_the_bound(announced):
    async def stream():
        for _ in range(BODY_BYTES // 65536 + 1):
            yield b" " * 65536

    async with client_of(probe_app()) as client:
        body = b" " * (BODY_BYTES + 1) if announced else stream()
        answer = await client.post("/probe/", content=body)
    assert answer.status_code == 413
    assert str(BODY_BYTES) in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/probe/errors/" + "x" * PATH_BYTES, 414),
        ("/probe/errors/%00", 400),
        ("/probe/errors/a%0ab", 400),
        ("/probe/?limit=%00", 400),
    ],
)
async def test_a_target_that_no_route_can_mean_is_refused(path, status):
    async with client_of(probe_app()) as client:
        answer = await client.get(path)
    assert answer.status_code == status
    assert isinstance(answer.json()["detail"], str)


async def test_an_error_that_nobody_foresaw_is_written_down_without_variables_or_secrets():
    with capture_logs() as lines:
        async with client_of(probe_app(), password="admin") as client:
            answer = await client.get("/probe/errors/unforeseen")
    assert (answer.status_code, answer.json()) == (500, {"detail": "Internal Server Error"})
    (failed,) = [line for line in lines if line["event"] == "request_failed"]
    assert "RuntimeError: nobody foresaw this" in failed["exception"]
    assert "exc_info" not in failed
    assert "YWRtaW46YWRtaW4=" not in str(lines)


async def test_one_line_tells_of_a_request_without_what_was_in_its_path():
    with capture_logs() as lines:
        async with client_of(probe_app()) as client:
            await client.get("/probe/errors/invalid")
            await client.get("/what/a/secret")
    first, second = lines
    assert first["event"] == "request_done"
    assert (first["method"], first["path"], first["status"]) == ("GET", "/probe/errors/{name}", 400)
    assert "secret" not in str(second)
