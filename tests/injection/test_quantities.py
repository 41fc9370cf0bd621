from fractions import Fraction

import pytest

from sidecar.injection.quantities import quantity


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", Fraction(0)),
        ("1", Fraction(1)),
        ("1.", Fraction(1)),
        (".5", Fraction(1, 2)),
        ("250m", Fraction(1, 4)),
        ("3u", Fraction(3, 10**6)),
        ("3n", Fraction(3, 10**9)),
        ("2k", Fraction(2000)),
        ("1.5Ki", Fraction(1536)),
        ("512Mi", Fraction(512 << 20)),
        ("1M", Fraction(10**6)),
        ("1E", Fraction(10**18)),
        ("1Ei", Fraction(1 << 60)),
        ("1E3", Fraction(1000)),
        ("1e-3", Fraction(1, 1000)),
    ],
)
def test_a_quantity_amounts_to_what_kubernetes_takes_it_for(text: str, amount: Fraction) -> None:
    assert quantity(text) == amount


@pytest.mark.parametrize(
    "text", ["", ".", "lots", "-1", "1 Gi", "1gi", "1K", "1mi", "e3", "1e", "1e999999999", "9" * 19, "1\n", "\u0661"]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a quantity"):
        quantity(text)
