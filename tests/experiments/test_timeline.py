import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.experiments.experiment import Experiment, Rows
from sidecar.experiments.guardrails import Drift
from sidecar.experiments.measures import Errors, Quality
from sidecar.experiments.timeline import Timeline
from sidecar.experiments.totals import EPOCHS, Totals
from sidecar.stats.moments import Floats
from tests.experiments.rig import EVERY, HALVES, VARIANTS, begun, errors, experiment, rows, words

Labelled = tuple[int, Rows, Floats]
"""When it comes, whose it is, and the losses."""


def timeline(*epochs: tuple[float, float]) -> Timeline:
    """Epochs by when they began and when they were last seen."""
    made = Timeline()
    for begun_s, seen_s in epochs:
        made.begin(begun_s)
        made.stay(seen_s)
    return made


def place(made: Timeline, time_s: float) -> int:
    return int(made.places(np.array([time_s]))[0])


@pytest.mark.parametrize(
    ("time_s", "told"),
    [
        (-math.inf, -1),
        (9.9, -1),
        (10.0, 0),
        (19.0, 0),
        (19.1, -1),
        (20.0, 1),
        (29.0, 1),
        (29.5, -1),
        (30.0, 2),
        (1e12, 2),
        (math.nan, -1),
    ],
)
def test_a_row_belongs_where_its_request_was_dealt_if_that_is_sure(time_s: float, told: int) -> None:
    assert place(timeline((10.0, 19.0), (20.0, 29.0), (30.0, 30.0)), time_s) == told


def test_before_it_has_begun_there_is_no_place() -> None:
    made = Timeline()

    assert place(made, 5.0) == -1
    assert (made.since_s, made.epoch_s, made.epoch) == (math.inf, math.inf, -1)
    assert made.places(np.empty(0)).shape == (0,)


def test_the_oldest_epochs_become_one_as_those_of_totals_do() -> None:
    made, totals = Timeline(), Totals()
    for epoch in range(EPOCHS + 3):
        if epoch:
            totals.begin()
        made.begin(10.0 * epoch)
        made.stay(10.0 * epoch + 9)
        totals.take(np.zeros(1, dtype=np.uint64), np.array([float(epoch)]))

    places = made.places(np.arange(5.0, 10 * (EPOCHS + 3), 10))

    assert made.epoch == totals.epoch == EPOCHS - 1
    assert np.bincount(places).tolist() == totals.counts[:, 0].tolist()
    assert (made.since_s, made.epoch_s) == (0.0, 10.0 * (EPOCHS + 2))


def test_where_the_clock_goes_back_rows_of_now_are_of_now() -> None:
    made = timeline((10.0, 19.0), (20.0, 29.0))
    made.stay(5.0)

    assert [place(made, time_s) for time_s in (4.0, 5.5, 15.0, 25.0)] == [-1, 1, 1, 1]

    made.begin(3.0)

    assert [place(made, time_s) for time_s in (2.0, 3.5, 25.0)] == [-1, 2, 2]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=60), st.lists(st.floats(-10, 110), max_size=20))
def test_whatever_the_clock_does_places_are_those_of_epochs(
    calls: list[tuple[bool, float]], times_s: list[float]
) -> None:
    made = timeline((50.0, 60.0))
    for begins, now_s in calls:
        (made.begin if begins else made.stay)(now_s)
        assert place(made, now_s) == made.epoch
    places = made.places(np.array(times_s))

    assert made.begun_s == sorted(made.begun_s)
    assert made.seen_s == sorted(made.seen_s)
    assert len(made.seen_s) == len(made.begun_s) <= EPOCHS
    assert all(-1 <= each <= made.epoch for each in places.tolist())


def staged(made: Experiment, seed: int, *, late: bool) -> Experiment:
    """Three steps of 10 s, in the slow of which everybody errs more; or all rows after the last one has begun."""
    rng, held = np.random.default_rng(seed), list[tuple[Rows, Floats]]()
    for step, (share, error) in enumerate(((5, 0.1), (20, 0.5), (50, 0.2))):
        for now_s in (10.0 * step, 10.0 * step + 9):
            made.begin({"champion": 100.0 - share, "challenger": share}, now_s)
        for variant, percent in zip(VARIANTS, (100 - share, share), strict=True):
            n = 20 * percent
            some = rows(rng, variant, n)._replace(times_s=10 * step + 9 * rng.random(n))
            held.append((some, (rng.random(n) < error).astype(np.float64)))
    for some, values in (held[place] for place in (rng.permutation(6) if late else range(6))):
        made.served(some, values > 0, 0.1 + values)
        made.lost(some, values)
        made.outcomes(some, "click", values)
        made.replied(some, [{"score": value} for value in values.tolist()], values)
    return made


def test_rows_count_where_their_requests_were_dealt_however_late_they_come() -> None:
    kinds = [each for each in EVERY if not isinstance(each, Drift)]
    late, prompt = (staged(experiment(*kinds), 7, late=late).look(30.0) for late in (True, False))

    for one, other in zip(late.verdicts, prompt.verdicts, strict=True):
        np.testing.assert_allclose(one.compared, other.compared, rtol=1e-9, atol=1e-12)
        assert abs(one.compared.estimate) < 0.1
    assert late.rows == prompt.rows == {"champion": 4500, "challenger": 1500}
    assert (late.late, prompt.late) == (0, 0)


def test_users_are_counted_by_the_weights_of_now() -> None:
    made, rng = begun(Errors()), np.random.default_rng(7)
    errors(made, rng, (0.1, 0.1), 500, time_s=5.0)
    made.begin(HALVES, 9.0)
    made.begin({"champion": 10.0, "challenger": 90.0}, 10.0)
    before = made.look(10.0)
    errors(made, rng, (0.1, 0.1), 500, time_s=8.0)
    after = made.look(10.0)

    assert after.mismatch == before.mismatch
    assert (after.since_s, after.epoch_s, after.rows["champion"], after.late) == (0.0, 10.0, 1000, 0)


def test_of_what_was_dealt_while_the_weights_changed_nobody_knows_by_which() -> None:
    made, rng = begun(Errors()), np.random.default_rng(7)
    made.begin(HALVES, 9.0)
    made.begin({"champion": 10.0, "challenger": 90.0}, 10.0)
    for time_s in (-1.0, 9.5):
        errors(made, rng, (0.1, 0.9), 500, time_s=time_s)
    standing = made.look(10.0)

    assert (standing.late, standing.rows) == (1000, {"champion": 0, "challenger": 0})
    assert words(standing) == {"errors": "too_few"}


def test_labels_that_come_steps_later_are_judged_by_the_steps_of_their_requests() -> None:
    told = [rolled_out(seed, worse) for worse in (0.0, 0.12) for seed in range(6)]

    assert told == ["unknown"] * 6 + ["breach"] * 6


def rolled_out(seed: int, worse: float) -> str:
    """The word of `quality` after a rollout whose labels come three steps late, the wrong ones later still."""
    made, rng, coming = experiment(Quality(margin=0.02), wrong=0.01), np.random.default_rng(seed), list[Labelled]()
    for second in range(80):
        percent = (1, 5, 25, 50)[min(second // 10, 3)]
        made.begin({"champion": 100.0 - percent, "challenger": percent}, float(second))
        error = 0.1 + 0.2 * (second // 10 % 2)
        if second < 40:
            chosen = rng.random(200) < percent / 100
            wrong = (rng.random(200) < error + (worse + 0.02) * chosen).astype(np.float64)
            for variant, mine in zip(VARIANTS, (~chosen, chosen), strict=True):
                for late, those in ((30, mine & (wrong == 0)), (38, mine & (wrong == 1))):
                    coming.append((second + late, rows(rng, variant, int(those.sum()), second + 0.5), wrong[those]))
        for _, some, losses in (each for each in coming if each[0] == second):
            made.lost(some, losses)
        if second % 5 == 0 and "breach" in made.look(float(second)).words("challenger").values():
            return "breach"
    return made.look(80.0).words("challenger")["quality"]


def test_changed_weights_do_not_mix_hours() -> None:
    made, rng = begun(Errors()), np.random.default_rng(8)
    # In the second hour everybody errs, and the challenger has most of the traffic: pooled it would look far worse.
    for shares, sizes, error, time_s in (((90, 10), (1800, 200), 0.05, 1.0), ((10, 90), (200, 1800), 0.5, 11.0)):
        made.begin(dict(zip(VARIANTS, shares, strict=True)), time_s - 1)
        for variant, n in zip(VARIANTS, sizes, strict=True):
            made.served(rows(rng, variant, n, time_s), rng.random(n) < error, np.full(n, 0.1))
    (verdict,) = made.look(12.0).verdicts

    assert verdict.compared.low < 0 < verdict.compared.high
    assert abs(verdict.compared.estimate) < 0.1
