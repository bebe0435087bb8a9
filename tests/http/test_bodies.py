from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.bodies import Amount, Body, MalformedRequest, Name, PageSize, Text, decode
from domain.values import OrderType, Side


class Order(Body, frozen=True, kw_only=True):
    name: Name
    side: Side
    amount: Amount
    kind: OrderType = OrderType.LIMIT
    price: Amount | None = None
    limit: PageSize = 100
    fresh: bool = False
    tags: list[Text] | None = None


class Nested(Body, frozen=True, kw_only=True):
    order: Order


GOOD = {"name": "main", "side": "BUY", "amount": 1}


def refused(body: bytes | dict[str, object], target: type = Order) -> list[dict[str, Any]]:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    with pytest.raises(MalformedRequest) as caught:
        decode(raw, target)
    listed: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(caught.value.problems))
    return listed


def kinds(problems: list[dict[str, Any]]) -> list[object]:
    return [problem["type"] for problem in problems]


@pytest.mark.parametrize("written", [b"0.1", b'"0.1"', b"1e-1", b'"1E-1"'])
def test_an_amount_is_exact_as_a_number_and_as_a_string(written):
    order = decode(b'{"name":"a","side":"BUY","amount":' + written + b"}", Order)
    assert order.amount == Decimal("0.1")


def test_no_digit_of_an_amount_is_lost():
    digits = "1234567890123456789.123456789012345678"
    assert decode(f'{{"name":"a","side":"BUY","amount":{digits}}}'.encode(), Order).amount == Decimal(digits)


def test_every_missing_field_is_named_with_what_came():
    assert refused({"name": "main"}) == [
        {"type": "missing", "loc": ["body", "side"], "msg": "Field required", "input": {"name": "main"}},
        {"type": "missing", "loc": ["body", "amount"], "msg": "Field required", "input": {"name": "main"}},
    ]


def test_a_word_that_is_none_of_those_expected_names_them():
    assert refused({**GOOD, "kind": "STOP"}) == [
        {
            "type": "literal_error",
            "loc": ["body", "kind"],
            "msg": "Input should be 'LIMIT', 'MARKET' or 'LIMIT_MAKER'",
            "input": "STOP",
            "ctx": {"expected": "'LIMIT', 'MARKET' or 'LIMIT_MAKER'"},
        }
    ]


def test_a_bound_is_named_with_its_value():
    assert refused({**GOOD, "limit": 5000}) == [
        {
            "type": "less_than_equal",
            "loc": ["body", "limit"],
            "msg": "Input should be less than or equal to 1000",
            "input": 5000,
            "ctx": {"le": 1000},
        }
    ]


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        (b"0", "greater_than"),
        (b"-1", "greater_than"),
        (b'"-0.0"', "greater_than"),
        (b'"NaN"', "finite_number"),
        (b'"Infinity"', "finite_number"),
        (b"1e400", "decimal_whole_digits"),
        (b"1e99999999999999999999999", "decimal_whole_digits"),
        (b"1e-99999999999999999999999", "decimal_max_places"),
        (b"12345678901234567890", "decimal_whole_digits"),
        (b"9" * 6000, "decimal_whole_digits"),
        (b"0.123456789012345678901234567890", "decimal_max_places"),
        (b'"abc"', "decimal_parsing"),
        (b'""', "decimal_parsing"),
        (b"true", "decimal_type"),
        (b"[1]", "decimal_type"),
        (b"null", "decimal_type"),
    ],
)
def test_an_amount_that_cannot_be_one_names_the_rule(written, kind):
    problems = refused(b'{"name":"a","side":"BUY","amount":' + written + b"}")
    assert kinds(problems) == [kind]
    assert problems[0]["loc"] == ["body", "amount"]


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("limit", 0, "greater_than_equal"),
        ("limit", 2.5, "int_from_float"),
        ("limit", "ten", "int_parsing"),
        ("limit", True, "int_type"),
        ("limit", [], "int_type"),
        ("limit", 10**30, "less_than_equal"),
        ("limit", "9" * 60, "less_than_equal"),
        ("name", 1, "string_type"),
        ("name", "", "string_too_short"),
        ("name", "x" * 65, "string_too_long"),
        ("name", "../x", "string_pattern_mismatch"),
        ("name", "x\n", "string_pattern_mismatch"),
        ("fresh", "maybe", "bool_parsing"),
        ("fresh", [], "bool_type"),
        ("tags", "a", "list_type"),
        ("tags", ["a", 1], "string_type"),
        ("tags", ["\0"], "string_pattern_mismatch"),
    ],
)
def test_a_wrong_value_names_its_field_and_rule(field, value, kind):
    problems = refused({**GOOD, field: value})
    assert kinds(problems) == [kind]
    assert problems[0]["loc"][:2] == ["body", field]


def test_all_that_is_wrong_is_listed_at_once():
    problems = refused({"name": "../x", "side": "HOLD", "amount": -1, "price": True, "limit": 0})
    assert [problem["loc"][1] for problem in problems] == ["name", "side", "amount", "price", "limit"]


@pytest.mark.parametrize(("field", "value"), [("limit", "10"), ("limit", 10.0), ("fresh", "true"), ("price", None)])
def test_what_the_contract_takes_as_a_value_is_taken(field, value):
    decode(msgspec.json.encode({**GOOD, field: value}), Order)


def test_an_amount_inside_another_body_is_checked():
    assert refused({"order": {**GOOD, "amount": 0}}, Nested)[0]["loc"] == ["body", "order", "amount"]


def test_an_amount_where_it_would_not_be_checked_is_a_mistake_of_the_program():
    class Hidden(Body, frozen=True, kw_only=True):
        amounts: list[Amount]

    with pytest.raises(TypeError, match=r"Hidden\.amounts"):
        Hidden(amounts=[])


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"{", 1),
        (b'{"name": "a"', 12),
        (b"\xff", 0),
        (b'{"name": "\xed\xa0\x80"}', 10),
        (b'{"amount": NaN}', 0),
        (b'{"name": "\\ud800"}', 0),
        (b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", 0),
    ],
)
def test_what_is_no_json_says_where(raw, place):
    (problem,) = refused(raw)
    assert (problem["type"], problem["msg"]) == ("json_invalid", "JSON decode error")
    assert problem["loc"] == ["body", place]
    assert problem["ctx"]["error"]


def test_no_body_is_a_missing_body():
    assert refused(b"") == [{"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}]


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"1"])
def test_a_body_that_is_no_object_says_so(raw):
    assert kinds(refused(raw)) == ["model_attributes_type"]


def test_what_is_repeated_to_the_caller_is_cut():
    (problem,) = refused({**GOOD, "name": "x" * 100_000})
    assert len(problem["input"]) < 300
    (problem,) = refused({"name": "a", "side": "BUY", "junk": ["x" * 100] * 100})
    assert problem["input"] is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(Order.__struct_fields__, JSON)))
def test_any_object_is_taken_or_refused_with_reasons(body):
    raw = msgspec.json.encode(body)
    try:
        decode(raw, Order)
    except MalformedRequest as refusal:
        assert all(problem.type != "value_error" for problem in refusal.problems)  # noqa: PT017 - both ways are right
        msgspec.json.encode(refusal.problems)


@given(st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused(raw):
    try:
        decode(raw, Order)
    except MalformedRequest as refusal:
        assert refusal.problems  # noqa: PT017 - both ways are right
