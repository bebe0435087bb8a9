"""Every recorded answer, success and error, has its like here: the same status, the same keys, the same JSON types."""

import json
from pathlib import Path

import pytest

from tests.contract import cases
from tests.contract.comparing import differences
from tests.contract.market_cases import MARKET_DATA, MARKET_DATA_ELSEWHERE
from tests.contract.trading import place

GOLDEN = Path(__file__).parent / "golden"
AREAS = ("accounts", "connectors", "market_data", "portfolio", "rate_oracle", "trading")
CASES = {**cases.CASES, **{f"market_data/{name}": case for name, case in MARKET_DATA.items()}}
ELSEWHERE = cases.ELSEWHERE.keys() | {f"market_data/{name}" for name in MARKET_DATA_ELSEWHERE}


def recorded(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def test_every_recorded_answer_has_a_case_or_a_reason():
    names = {f"{area}/{file.stem}" for area in AREAS for file in (GOLDEN / area).glob("*.json")}
    assert names == CASES.keys() | ELSEWHERE


@pytest.fixture(scope="module")
def prepared(server, traded):
    """Return what the cases' paths refer to."""
    with server.client() as client:
        for account in ("empty", "to_delete", "hedger"):
            client.post("/accounts/add-account", params={"account_name": account}).raise_for_status()
        client.post("/accounts/add-credential/hedger/paper_perpetual", json={}).raise_for_status()
        source = {"rate_oracle_source": {"name": "paper"}}  # the one that is there without a network
        client.put("/rate-oracle/config", json=source).raise_for_status()
        sell = {"trade_type": "SELL", "amount": 0.02}
        place(client, **sell)
        return {"canceled": traded.canceled, "fresh": place(client, order_type="LIMIT", price=20_000)}


@pytest.mark.parametrize("name", CASES)
def test_ours_answers_as_recorded(name, api, prepared):
    case, golden = CASES[name], recorded(name)
    answer = api.request(case.method, case.path.format(**prepared), json=case.body)
    assert answer.status_code == (case.status or golden["status"]), answer.text
    body = answer.json()
    if case.words:
        assert case.words.format(**prepared) in body["detail"]
    if golden["status"] < 500:
        assert list(differences(golden["body"], body, maps=case.maps, nullable=case.nullable)) == []
    elif answer.status_code >= 400:
        assert body.keys() == {"detail"}


@pytest.mark.parametrize(
    "name", ["bearer_auth", "malformed_auth", "no_auth", "wrong_password", "method_not_allowed", "unknown_path"]
)
def test_the_application_refuses_as_recorded(name, server, api):
    golden = recorded(f"_app/{name}")
    request = golden["request"]
    headers = {
        "bearer_auth": {"Authorization": "Bearer abc"},
        "malformed_auth": {"Authorization": "Basic abc"},
        "no_auth": {"Authorization": ""},
        "wrong_password": {"Authorization": "Basic YWRtaW46d3Jvbmc="},
    }.get(name)
    answer = api.request(request["method"], request["path"], headers=headers, auth=None if headers else api.auth)
    assert (answer.status_code, answer.json()) == (golden["status"], golden["body"])
    for header in ("WWW-Authenticate", "Allow"):
        assert answer.headers.get(header) == golden["headers"].get(header)


def test_bad_json_is_refused_as_recorded(api):
    golden = recorded("_app/invalid_json")
    answer = api.post("/trading/trades", content=b"{")
    assert (answer.status_code, answer.json()) == (422, golden["body"])


def test_both_forms_of_a_path_are_served(api):
    assert api.get("/accounts").json() == api.get("/accounts/").json()
