import numpy as np
import pytest

from sidecar.experiments.epochs import restore, state_of
from sidecar.experiments.totals import BUCKETS, EPOCHS, STATE, Totals


def totals(epochs: int) -> Totals:
    made = Totals(most=1.0)
    for epoch in range(epochs):
        if epoch:
            made.begin()
        made.take(np.arange(5, dtype=np.uint64), np.array([0.0, 1, 1, 0, epoch % 2]))
    return made


@pytest.mark.parametrize("epochs", [1, 3, EPOCHS, EPOCHS + 2])
def test_epochs_that_have_begun_are_saved_and_come_back(epochs: int) -> None:
    before, after = totals(epochs), Totals(most=1.0)
    state = state_of({"a": before}, STATE)
    restore({"a": after}, STATE, state)

    assert len(state["a.counts"]) == min(epochs, EPOCHS)
    for name in STATE:
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((EPOCHS + 1, BUCKETS), dtype=np.int64),
        np.zeros((1, 3), dtype=np.int64),
        np.zeros(3, dtype=np.int64),
        np.zeros((1, BUCKETS)),
    ],
    ids=lambda array: f"{array.shape}{array.dtype}",
)
def test_what_is_of_another_shape_is_refused(wrong: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> None:
    state = state_of({"a": totals(2)}, STATE)
    with pytest.raises(ValueError, match=r"shape|dimension"):
        restore({"a": Totals(most=1.0)}, STATE, state | {"a.counts": wrong})


def test_what_is_missing_is_told() -> None:
    with pytest.raises(KeyError, match="sums"):
        restore({"a": Totals(most=1.0)}, STATE, {"a.counts": state_of({"a": totals(1)}, STATE)["a.counts"]})
