"""Numbers that may have a fraction, held to the bounds of their type."""

from decimal import Decimal
from typing import Annotated

import msgspec
import pytest

from adapters.http.problems import problems

Seconds = Annotated[float, msgspec.Meta(gt=0, le=300)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
AT = ("query", "timeout")


@pytest.mark.parametrize(
    ("annotation", "given", "kind", "bound"),
    [
        (Seconds, "0", "greater_than", {"gt": 0}),
        (Seconds, "-0.5", "greater_than", {"gt": 0}),
        (Seconds, "300.001", "less_than_equal", {"le": 300}),
        (Seconds, Decimal(301), "less_than_equal", {"le": 300}),
        (Share, "-1e-9", "greater_than_equal", {"ge": 0}),
        (Share, 1, "less_than", {"lt": 1}),
        (Seconds, "nan", "finite_number", None),
        (Seconds, "inf", "finite_number", None),
        (Seconds, "soon", "float_parsing", None),
        (Seconds, [], "float_parsing", None),
    ],
)
def test_a_number_out_of_bounds_names_the_bound(annotation, given, kind, bound):
    (problem,) = problems(annotation, given, AT)
    assert (problem.type, problem.loc, problem.input, problem.ctx) == (kind, AT, given, bound)


@pytest.mark.parametrize("given", ["300", "1e-9", "0.5", 7, 2.5, Decimal("0.1")])
def test_a_number_within_its_bounds_is_taken(given):
    assert list(problems(Seconds, given, AT)) == []


def test_the_words_of_a_bound_are_those_of_the_contract():
    (problem,) = problems(Seconds, "301", AT)
    assert problem.msg == "Input should be less than or equal to 300"
    (problem,) = problems(Share, "1", AT)
    assert problem.msg == "Input should be less than 1"
