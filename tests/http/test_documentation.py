from pathlib import Path

from adapters.http.examples import example
from tests.http.app import client_of, probe_app


async def document():
    async with client_of(probe_app()) as client:
        answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


async def test_the_document_describes_every_route_with_answers_and_refusals():
    described = await document()
    assert described["openapi"].startswith("3.1")
    operation = described["paths"]["/probe"]["post"]
    assert {"201", "401", "422", "4XX", "503"} <= operation["responses"].keys()
    assert "400" not in operation["responses"]
    assert operation["security"] == [{"HTTPBasic": []}]
    assert "security" not in described["paths"]["/health"]["get"]


async def test_operations_have_names_of_their_own():
    described = await document()
    names = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert "probe_write" in names


async def test_an_amount_is_described_as_a_number_or_a_string():
    amount = (await document())["components"]["schemas"]["Wish"]["properties"]["amount"]
    assert [kind["type"] for kind in amount["anyOf"]] == ["number", "string"]


async def test_a_parameter_is_described_with_its_bounds():
    limit, *_ = (await document())["paths"]["/probe"]["get"]["parameters"]
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"], limit["schema"]["default"]) == (1, 1000, 1)


async def test_every_body_has_an_example():
    described = await document()
    content = described["paths"]["/probe"]["post"]["requestBody"]["content"]["application/json"]
    assert content["example"] == {"name": "text", "amount": "0.01", "limit": 100}


def test_an_example_has_the_default_else_what_suits_the_name_and_the_type():
    fields = {
        "status": {"type": "string", "default": "success"},
        "bot_name": {"type": "string"},
        "price": {"type": "integer"},
        "reason": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "state": {"$ref": "#/components/schemas/State"},
    }
    schemas = {"State": {"enum": ["open", "closed"]}}
    assert example({"type": "object", "properties": fields}, schemas) == {
        "status": "success",
        "bot_name": "grid-20260102-030405",
        "price": 1,
        "reason": None,
        "state": "open",
    }


def test_an_example_ends_where_a_schema_refers_to_itself():
    schemas = {"Tree": {"type": "object", "properties": {"left": {"$ref": "#/components/schemas/Tree"}}}}
    assert "left" in example({"$ref": "#/components/schemas/Tree"}, schemas)


async def test_the_page_loads_nothing_from_elsewhere():
    async with client_of(probe_app()) as client:
        page = (await client.get("/docs")).text
        assert "http://" not in page
        assert "https://" not in page
        for name in ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"):
            assert f"/docs/assets/{name}" in page
            answer = await client.get(f"/docs/assets/{name}")
            assert answer.status_code == 200
            assert len(answer.content) > 500


async def test_no_other_file_is_served():
    async with client_of(probe_app()) as client:
        for name in (Path(__file__).name, "index.html", "..%2f..%2fpyproject.toml"):
            assert (await client.get(f"/docs/assets/{name}")).status_code == 404
