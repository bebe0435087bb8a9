import pytest

BINANCE = {"rate_oracle_source": {"name": "binance"}}


async def test_what_is_given_is_changed_and_named(server):
    answer = await server.client.put("/rate-oracle/config", json=BINANCE)
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "message": "rate_oracle_source updated to binance",
        "config": {**BINANCE, "global_token": {"global_token_name": "USDT", "global_token_symbol": "$"}},
    }
    assert int(answer.headers["x-position"]) == server.committed.last("admin")
    euros = {"global_token": {"global_token_name": "EUR", "global_token_symbol": "€"}}
    answer = await server.client.put("/rate-oracle/config", json=euros)
    assert answer.json() == {
        "success": True,
        "message": "global_token_name updated to EUR; global_token_symbol updated to €",
        "config": {**BINANCE, **euros},
    }


@pytest.mark.parametrize("body", [{}, {"global_token": None}, {"rate_oracle_source": {}}, {"global_token": {}}])
async def test_nothing_given_changes_nothing(server, body):
    answer = await server.client.put("/rate-oracle/config", json=body)
    assert (answer.status_code, answer.json()["message"]) == (200, "No changes made")


async def test_an_unknown_source_is_refused_with_those_there_are(server):
    answer = await server.client.put("/rate-oracle/config", json={"rate_oracle_source": {"name": "nope"}})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Invalid rate oracle source: nope. Available sources: ['backpack', ")


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({"rate_oracle_source": "binance"}, ["body", "rate_oracle_source"]),
        ({"rate_oracle_source": {"name": ""}}, ["body", "rate_oracle_source", "name"]),
        ({"rate_oracle_source": {"name": 7}}, ["body", "rate_oracle_source", "name"]),
        ({"global_token": {"global_token_name": "A B"}}, ["body", "global_token", "global_token_name"]),
        ({"global_token": {"global_token_symbol": "$" * 17}}, ["body", "global_token", "global_token_symbol"]),
        ([], ["body"]),
    ],
)
async def test_what_is_malformed_is_named(server, body, location):
    answer = await server.client.put("/rate-oracle/config", json=body)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, location)


async def test_an_empty_body_is_none_at_all(server):
    answer = await server.client.put("/rate-oracle/config", content=b"")
    assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "missing")
