import pytest
from structlog.testing import capture_logs


async def add(server, name):
    return await server.client.post("/accounts/add-account", params={"account_name": name})


async def test_an_account_is_added_once(server):
    answer = await add(server, "second")
    assert answer.status_code == 201
    assert answer.json() == {"message": "Account added successfully.", "account_name": "second"}
    again = await add(server, "second")
    assert (again.status_code, again.json()) == (400, {"detail": "Account already exists."})


@pytest.mark.parametrize("name", ["bad/name", "../x", "%2e%2e", "", " ", "é", "x" * 65, "x" * 1_900])
async def test_a_name_that_is_none_is_refused(server, name):
    answer = await add(server, name)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Invalid account name")


async def test_a_missing_name_is_named(server):
    answer = await server.client.post("/accounts/add-account")
    assert answer.status_code == 422
    assert answer.json() == {
        "detail": [{"type": "missing", "loc": ["query", "account_name"], "msg": "Field required", "input": None}]
    }


@pytest.mark.parametrize(("name", "status"), [("second", 200), ("master_account", 400), ("nobody", 404)])
async def test_deleting_an_account(server, name, status):
    await add(server, "second")
    answer = await server.client.post("/accounts/delete-account", params={"account_name": name})
    assert answer.status_code == status
    if status == 200:
        assert answer.json() == {"message": "Account deleted successfully."}


async def test_an_account_is_connected_and_disconnected(server):
    await add(server, "second")
    path = "/accounts/add-credential/second/paper"
    answer = await server.client.post(path, json={})
    assert (answer.status_code, answer.json()) == (201, {"message": "Connector credentials added successfully."})
    assert "paper" in server.world.bus.ports.venues.accounts()["second"]
    answer = await server.client.post("/accounts/delete-credential/second/paper")
    assert (answer.status_code, answer.json()) == (200, {"message": "Credential deleted successfully."})
    assert await server.world.vault.read("second", "paper") is None


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("nobody/paper", {}, 400),
        ("master_account/paper", {"wrong_field": "x"}, 400),
        ("master_account/paper", ["x"], 422),
        ("master_account/paper", None, 422),
        ("..%2f..%2fx/paper", {}, 404),
    ],
)
async def test_credentials_that_cannot_be_kept(server, path, body, status):
    answer = await server.client.post(f"/accounts/add-credential/{path}", json=body)
    assert answer.status_code == status


async def test_deleting_what_is_not_there_is_done_already(server):
    answer = await server.client.post("/accounts/delete-credential/nobody/paper")
    assert answer.status_code == 200


async def test_a_secret_is_in_no_log_line_and_no_answer(server):
    with capture_logs() as lines:
        answer = await server.client.post("/accounts/add-credential/master_account/paper", json={"key": "s3cr3t"})
        refused = await server.client.post("/accounts/add-credential/master_account/paper", json={"nokey": "s3cr3t"})
    assert (answer.status_code, refused.status_code) == (201, 400)
    assert "s3cr3t" not in str(lines) + answer.text + refused.text
