import numpy as np
import pytest

from sidecar.scalars import plain


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.str_("a"), "a"),
        (np.int8(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.5), 0.5),
        (np.float64("-inf"), float("-inf")),
        (2**70, 2**70),
    ],
)
def test_a_scalar_of_numpy_is_pythons_own(value: object, expected: object) -> None:
    found = plain(value)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize("value", [None, b"a", 1j, [1], np.array([1, 2]), object()])
def test_what_is_no_scalar_is_told(value: object) -> None:
    with pytest.raises(TypeError, match=rf"{type(value).__name__} is no text and no number"):
        plain(value)
