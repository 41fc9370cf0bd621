from math import nan

import pytest

from sidecar.experiments.standing import Standing
from sidecar.experiments.users import Mismatch, Sides
from sidecar.experiments.verdicts import Compared, Guarded, Verdict

COMPARED = Compared(0.0, -1.0, 1.0, 0.5, 0.5, 9, 9)
GUARDS = (
    Guarded("errors", "b", "fine", ""),
    Guarded("errors", "c", "breach", ""),
    Guarded("drift", "b", "missing", ""),
)
VERDICTS = tuple(Verdict("errors", name, "undecided", COMPARED, 0.1, False, None, nan, 0, "") for name in ("b", "c"))
STANDING = Standing(
    name="x",
    variants=("a", "b", "c"),
    since_s=0.0,
    epoch_s=0.0,
    rows={"a": 5, "b": 4, "c": 0},
    late=0,
    verdicts=VERDICTS,
    guards=GUARDS,
    mismatch=Mismatch(0.5, 0.1, alarm=False, counts=(5, 4, 0), shares=(0.6, 0.4, 0.0)),
    sides=Sides(9, 0.0, 0.0),
    cautions=(),
)


def test_the_words_are_those_of_one_challenger() -> None:
    assert STANDING.words("b") == {"errors": "fine", "drift": "missing"}


def test_a_challenger_that_is_not_to_be_told_of_is_nowhere() -> None:
    told = STANDING.without({"c"})

    assert (told.variants, told.rows) == (("a", "b"), {"a": 5, "b": 4})
    assert {each.challenger for each in told.verdicts} == {each.challenger for each in told.guards} == {"b"}
    assert (told.mismatch.counts, told.mismatch.shares) == ((5, 4), (0.6, 0.4))


@pytest.mark.parametrize("names", [(), ("a",), ("nobody",)])
def test_a_champion_and_whoever_is_not_there_are_told_all_the_same(names: tuple[str, ...]) -> None:
    assert STANDING.without(names) == STANDING
