"""Numbers, pairs and names."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.values import Ids, Side, check_name, keep_digits, plain, round_down, split_pair


@given(st.decimals("0", "1e18", places=18), st.sampled_from(["1", "0.01", "0.00001", "0.5", "5", "1e-18"]))
def test_rounding_down_gives_the_largest_multiple_that_is_not_above(value: Decimal, step: str) -> None:
    rounded = round_down(value, Decimal(step))
    assert rounded <= value < rounded + Decimal(step)
    assert rounded % Decimal(step) == 0


def test_a_step_of_nothing_leaves_the_number_as_it_is() -> None:
    assert round_down(Decimal("1.230"), Decimal(0)) == Decimal("1.23")


@pytest.mark.parametrize(
    ("value", "digits", "kept"),
    [
        ("123.4567", "5", "123.45"),
        ("0.00123456", "5", "0.0012345"),
        ("123456", "5", "123456"),
        ("123456.7", "5", "123456"),
        ("1.5", "5", "1.5"),
        ("1.23456789", "1e56", "1.23456789"),
    ],
)
def test_a_price_keeps_its_first_digits_and_those_before_the_point(value, digits, kept):
    assert keep_digits(Decimal(value), Decimal(digits)) == Decimal(kept)


@pytest.mark.parametrize(("given_", "text"), [("100", "100"), ("1E+2", "100"), ("0.0100", "0.01"), ("0E-9", "0")])
def test_plain_numbers_have_no_exponent_and_no_trailing_zeros(given_: str, text: str) -> None:
    assert str(plain(Decimal(given_))) == text


def test_a_pair_has_a_base_and_a_quote() -> None:
    assert split_pair("BTC-USDT") == ("BTC", "USDT")
    for wrong in ("BTC", "-USDT", "BTC-", "A-B-C", ""):
        with pytest.raises(Invalid, match="Invalid trading pair"):
            split_pair(wrong)


def test_a_name_is_given_back_as_it_is() -> None:
    assert check_name("account", "my-acc_1") == "my-acc_1"


def test_each_side_has_another() -> None:
    assert (Side.BUY.opposite, Side.SELL.opposite) == (Side.SELL, Side.BUY)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abcdefgh")), max_size=30))
def test_ids_hold_what_was_added_whatever_was_made_of_the_sets_before(steps: list[tuple[int, str]]) -> None:
    made: list[tuple[Ids, frozenset[str]]] = [(Ids(), frozenset())]
    for back, name in steps:
        ids, plain_set = made[-1 - back % len(made)]
        made.append((ids.plus(name), plain_set | {name}))
    for ids, plain_set in made:
        assert ids == plain_set
        assert len(ids) == len(plain_set)
        assert all((name in ids) == (name in plain_set) for name in "abcdefgh")


def test_a_set_of_ids_shows_them_in_the_order_in_which_they_came() -> None:
    assert repr(Ids(["b", "a"]).plus("c")) == "Ids(['b', 'a', 'c'])"
