import msgspec
import numpy as np
import pytest

from sidecar.stats.keeping import below, packed, put_back, taken, unpacked
from sidecar.stats.moments import Counts


class Part:
    def __init__(self, counts: Counts, batches: int) -> None:
        self.counts = counts
        self.batches = batches


NAMES = ("counts", "batches")


def test_what_was_taken_is_put_back() -> None:
    state = taken(Part(np.array([1, 2]), 3), NAMES, "part.")
    other = Part(np.array([0, 0]), 0)
    put_back(other, NAMES, "part.", state)

    assert sorted(state) == ["part.batches", "part.counts"]
    assert (other.counts.tolist(), other.batches) == ([1, 2], 3)
    assert type(other.batches) is int


@pytest.mark.parametrize(
    "wrong", [np.array([1, 2, 3]), np.array([1.0, 2.0]), np.array(1), np.array(["a", "b"])], ids=repr
)
def test_what_is_of_another_shape_or_type_is_refused(wrong: Counts) -> None:
    state = {"counts": wrong, "batches": np.array(1)}
    with pytest.raises(ValueError, match="counts: of another shape or type"):
        put_back(Part(np.array([0, 0]), 0), NAMES, "", state)


def test_what_is_missing_is_told() -> None:
    with pytest.raises(KeyError, match="batches"):
        put_back(Part(np.array([0]), 0), NAMES, "", {"counts": np.array([1])})


def test_plain_values_come_back_as_they_were() -> None:
    value = {3: ["a", "\u2192"], 4: []}

    assert unpacked(packed(value), dict[int, list[str]]) == value


def test_packed_values_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected"):
        unpacked(packed([1]), dict[int, str])


def test_what_is_below_a_prefix_loses_it() -> None:
    one, other = np.array(1), np.array(2)

    assert below("a/", {"a/b": one, "a": other, "b/a/c": other}) == {"b": one}


def test_half_a_surrogate_pair_is_packed_and_what_is_something_else_is_refused() -> None:
    assert unpacked(packed(["\ud800", 1.5]), tuple[str, float]) == ("\ud800", 1.5)
    with pytest.raises(msgspec.ValidationError):
        unpacked(packed([1]), list[str])
    with pytest.raises(ValueError, match="line 1"):
        unpacked(np.array([123], dtype=np.uint8), list[str])
