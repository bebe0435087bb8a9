import pytest

from tests.contract.comparing import differences


@pytest.mark.parametrize(
    ("recorded", "ours"),
    [
        ({"a": 1}, {"a": 1.5, "b": "more"}),
        ({"a": None}, {"a": [1]}),
        ([], ["anything"]),
        ([{"a": 1}], [{"a": 2}, {"a": 3}]),
    ],
)
def test_what_is_alike(recorded, ours):
    assert list(differences(recorded, ours)) == []


@pytest.mark.parametrize(
    ("recorded", "ours", "at"),
    [
        ({"a": 1}, {}, "$.a"),
        ({"a": 1}, {"a": "1"}, "$.a"),
        ({"a": 1}, {"a": True}, "$.a"),
        ({"a": 1}, {"a": None}, "$.a"),
        ([{"a": 1}], [{"a": 1}, {}], "$[].a"),
        ([1], [], "$"),
        ({}, [], "$"),
    ],
)
def test_what_is_not(recorded, ours, at):
    (difference,) = differences(recorded, ours)
    assert difference.startswith(f"{at}:")


def test_the_keys_of_a_map_are_data():
    recorded, ours = {"binance": {"price": 1}}, {"paper": {"price": "1"}}
    assert list(differences(recorded, ours, maps=["$"])) == ["$.*.price: number recorded, string answered"]
    assert list(differences(recorded, {}, maps=["$"])) == ["$: entries recorded, none answered"]


def test_what_may_be_null_is_named():
    assert list(differences({"price": 1}, {"price": None}, nullable=["$.price"])) == []
