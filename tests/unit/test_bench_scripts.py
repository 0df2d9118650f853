"""What the benches compare with is made of the product's own statements, and must not lag behind them."""

from __future__ import annotations

import pytest

from tests.bench.pgbench import Lifecycle, filled


@pytest.mark.parametrize("offers", [1, 4, 16])
def test_every_parameter_of_the_statements_of_a_lifecycle_has_a_value(offers: int) -> None:
    assert "$" not in Lifecycle(offers).text()


@pytest.mark.parametrize("values", [("a",), ("a", "b", "c")])
def test_too_few_and_too_many_values_are_refused(values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="values for the parameters"):
        filled("SELECT $1, $2", *values)
