import math

from sidecar.experiments.standing import Standing, cautions_of
from sidecar.experiments.users import Mismatch, Sides
from sidecar.experiments.verdicts import Guarded

FAIR = Mismatch(0.5, 0.1, alarm=False, counts=(500, 500), shares=(0.5, 0.5))
CALM = Sides(1000, 0.001, 0.2)
VARIANTS = ("champion", "challenger")


def test_a_fair_split_and_users_who_stay_need_no_caution() -> None:
    assert list(cautions_of(VARIANTS, FAIR, CALM)) == []


def test_lost_users_and_crossing_ones_are_told() -> None:
    lost = Mismatch(1e-5, 11.5, alarm=True, counts=(600, 400), shares=(0.5, 0.5))

    assert list(cautions_of(VARIANTS, lost, Sides(1000, 0.034, 0.0))) == [
        "the split does not keep its shares (champion 60.0% in place of 50.0%, challenger 40.0% in place of 50.0%): "
        "users of a variant are lost, trust no verdict",
        "3.4% of the users are seen with several variants at a time: differences look smaller",
    ]


def test_one_of_few_users_is_no_share() -> None:
    assert list(cautions_of(VARIANTS, FAIR, Sides(99, 0.5, 0.0))) == []
    assert list(cautions_of(VARIANTS, FAIR, Sides(0, math.nan, math.nan))) == []


def test_the_words_are_those_of_one_challenger() -> None:
    guards = (
        Guarded("errors", "b", "fine", ""),
        Guarded("errors", "c", "breach", ""),
        Guarded("drift", "b", "missing", ""),
    )
    standing = Standing("x", ("a", "b", "c"), 0.0, 0.0, {}, 0, (), guards, FAIR, CALM, ())

    assert standing.words("b") == {"errors": "fine", "drift": "missing"}
