import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from sidecar.detectors.chi_squared import ChiSquared
from sidecar.detectors.divergence import PopulationStability
from sidecar.detectors.mean_shift import MeanShift
from sidecar.monitors.data import Data
from sidecar.monitors.drift import Drift
from sidecar.monitors.faults import Batches, Latest
from sidecar.monitors.followed import Followed, Slice
from sidecar.monitors.placing import placement
from sidecar.monitors.windows import Windows
from sidecar.ports import Detector
from sidecar.records import Finding, Key, Table
from sidecar.reference.binning import bins_of
from sidecar.reference.constraints import Constraints, Monitoring, suggested
from sidecar.reference.folder import Reference
from sidecar.reference.profile import Profiles
from sidecar.stats.tally import Counted
from tests.monitors.rig import NAN, nothing, of, reference_of

COUNTRIES = ("at", "de", "ch")


def traffic(rng: np.random.Generator, rows: int, shift: float = 0.0) -> tuple[Table, Table]:
    """Two numbers and a text, and what is predicted; the first and the last are shifted by standard deviations."""
    values = np.column_stack([rng.normal(size=rows) + shift, rng.normal(size=rows), np.full(rows, NAN)])
    texts = [COUNTRIES[each] for each in rng.integers(0, 3, size=rows)]
    return of(values, "a", "b", "country", texts={2: texts}), of(rng.normal(size=rows) + shift, "score")


def learned() -> Reference:
    features, predictions = traffic(np.random.default_rng(0), 2000)
    values = np.hstack([features.values, predictions.values])
    return reference_of(of(values, "a", "b", "country", "score", texts=features.texts))


REFERENCE = learned()
BINS = bins_of(REFERENCE.profiles)
DETECTORS: dict[str, Detector] = {
    "psi": PopulationStability(),
    "mean_shift": MeanShift(),
    "chi_squared": ChiSquared(),
}


def following(reference: Reference = REFERENCE) -> Followed:
    bins = BINS if reference is REFERENCE else bins_of(reference.profiles)
    return Followed(
        "champion",
        bins=bins,
        constraints=reference.constraints,
        drift=Drift(bins, false_alarms_per=1e6, tolerance=0.005),
        windows=Windows(bins, DETECTORS, rows=500, panes=5),
        association=None,
    )


def fed(followed: Followed, rng: np.random.Generator, batches: int, shift: float = 0.0, version: str = "3") -> None:
    for _ in range(batches):
        followed.count(version, *traffic(rng, 100, shift))
        followed.judge(1000.0)


def by_key(followed: Followed) -> dict[tuple[str, str], Finding]:
    return {(each.key.check, each.key.subject): each for each in followed.findings}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_rows_like_the_reference_are_nothing_to_tell(rng: np.random.Generator) -> None:
    followed = following()
    fed(followed, rng, 20)

    assert (followed.rows, followed.version) == (2000, "3")
    assert (followed.findings, followed.broken) == ((), [])


def test_rows_are_weighed_when_they_are_judged(rng: np.random.Generator) -> None:
    followed = following()
    followed.judge(1.0)
    assert followed.rows == 0

    followed.count("3", *traffic(rng, 30))
    followed.count("4", *traffic(rng, 20))
    assert (followed.rows, followed.version) == (0, "4")
    followed.judge(2.0)
    followed.judge(3.0)
    assert followed.rows == 50


def test_every_detector_has_a_finding_for_features_and_one_for_predictions(rng: np.random.Generator) -> None:
    followed = following()
    fed(followed, rng, 10, shift=1.0)

    found = by_key(followed)
    assert set(found) == {
        (check, subject) for check in ("sequential", "psi", "mean_shift") for subject in ("features", "predictions")
    }
    assert {check: [each.name for each in finding.carriers] for check, finding in found.items()} == {
        check: ["a"] if check[1] == "features" else ["score"] for check in found
    }
    assert found["psi", "features"].key == Key("data", "psi", "champion", "features")
    assert [each.reference_rows for each in found.values()] == [2000] * len(found)
    assert {each.version for each in found.values()} == {"3"}


def test_a_finding_of_a_window_says_what_it_was_read_from(rng: np.random.Generator) -> None:
    followed = following()
    fed(followed, rng, 10, shift=1.0)

    (carrier,) = by_key(followed)["mean_shift", "features"].carriers
    assert carrier.statistic == pytest.approx(1.0, abs=0.2)
    assert carrier.p_value is not None
    assert carrier.p_value < 1e-9
    assert np.isnan(carrier.threshold)  # a p-value stands in for it
    assert (carrier.rows, carrier.nats, carrier.since_s) == (500, None, None)
    assert carrier.sentence.startswith("above ")


def test_what_a_window_says_holds_until_the_next_one(rng: np.random.Generator) -> None:
    followed = following()
    fed(followed, rng, 5, shift=1.0)
    assert ("psi", "features") in by_key(followed)

    followed.count("5", *traffic(rng, 50))
    followed.judge(2.0)
    assert by_key(followed)["psi", "features"].version == "5"

    fed(followed, rng, 6)
    assert ("psi", "features") not in by_key(followed)


def test_the_shares_of_carriers_add_up_to_one_the_greatest_first(rng: np.random.Generator) -> None:
    followed = following()
    for _ in range(10):
        features, _ = traffic(rng, 100, 2.0)
        features.values[:, 1] += 1.0
        followed.count("3", features, nothing(100))
        followed.judge(1.0)

    for finding in followed.findings:
        shares = [each.share for each in finding.carriers]
        assert sum(shares) == pytest.approx(1.0)
        assert shares == sorted(shares, reverse=True)
        assert finding.rows == max(each.rows for each in finding.carriers)
    assert [each.name for each in by_key(followed)["psi", "features"].carriers] == ["a", "b"]


def test_texts_that_changed_their_shares_are_found(rng: np.random.Generator) -> None:
    followed = following()
    for _ in range(10):
        features, predictions = traffic(rng, 100)
        followed.count("3", replace(features, texts={2: ["at"] * 80 + ["de"] * 20}), predictions)
        followed.judge(1.0)

    found = by_key(followed)
    assert set(found) == {("sequential", "features"), ("psi", "features"), ("chi_squared", "features")}
    assert found["chi_squared", "features"].sentence.startswith("features of champion have drifted: country ('at': 3")


def test_a_window_too_far_from_the_reference_breaks_the_constraints(rng: np.random.Generator) -> None:
    followed = following()
    fed(followed, rng, 5, shift=1.0)

    assert [(each.feature, each.check, each.subject, each.rows) for each in followed.broken] == [
        ("a", "baseline_drift_check", "features", 500),
        ("score", "baseline_drift_check", "predictions", 500),
    ]

    fed(followed, rng, 5)
    assert followed.broken == []


def test_a_constraint_may_be_switched_off(rng: np.random.Generator) -> None:
    strict = suggested(REFERENCE.profiles).features
    off = [replace(each, monitoring=Monitoring(compares=each.name != "a")) for each in strict]
    followed = following(Reference(REFERENCE.profiles, Constraints(off)))
    fed(followed, rng, 5, shift=1.0)

    assert [each.feature for each in followed.broken] == ["score"]


def test_columns_are_known_before_the_first_row() -> None:
    columns = following().columns()

    assert [column.name for column in columns] == ["a", "b", "country", "score"]
    assert {(column.seen, column.nats, column.drifting, column.current) for column in columns} == {
        (False, None, None, None)
    }
    assert sorted(columns[2].labels) == ["'at'", "'ch'", "'de'", "new texts"]
    assert sum(columns[0].reference) == pytest.approx(1.0)


def test_columns_say_what_is_known_of_each(rng: np.random.Generator) -> None:
    followed = following()
    fed(followed, rng, 10, shift=1.0)

    a, b, country, score = followed.columns()
    assert [column.drifting is not None for column in (a, b, country, score)] == [True, False, False, True]
    assert [column.subject for column in (a, b, country, score)] == [*["features"] * 3, "predictions"]
    assert all(column.seen for column in (a, b, country, score))
    assert (a.statistics["psi"].drifted, b.statistics["psi"].drifted) == (True, False)
    assert country.statistics["mean_shift"] == (None, None, None, False)
    for column in (a, b, country, score):
        assert column.current is not None
        assert sum(column.current) == pytest.approx(1.0)
        assert len(column.labels) <= len(column.reference) == len(column.current)


def test_without_features_to_compare_with_there_is_nothing_to_tell(rng: np.random.Generator) -> None:
    followed = following(Reference(Profiles(0, ()), Constraints([])))
    fed(followed, rng, 3)

    assert (followed.rows, followed.version, followed.findings, followed.columns()) == (0, "3", (), [])


def test_after_a_restart_the_same_is_found(rng: np.random.Generator) -> None:
    one, other = following(), following()
    fed(one, rng, 10, shift=1.0)
    other.restore({name: array.copy() for name, array in one.state().items()})

    assert (other.rows, other.version) == (1000, "3")
    assert repr(other.findings) == repr(one.findings)  # NaN is not equal to itself
    assert other.broken == one.broken

    for _ in range(12):
        tables = traffic(rng, 100)
        for followed in (one, other):
            followed.count("4", *tables)
            followed.judge(2000.0)
        assert repr(other.findings) == repr(one.findings)
        assert [column.nats for column in other.columns()] == [column.nats for column in one.columns()]
    assert one.findings == ()


def test_a_variant_without_rows_is_restored_as_such() -> None:
    other = following()
    other.restore(following().state())

    assert (other.rows, other.version, other.findings) == (0, "", ())


class Failing(Drift):
    """A fault of ours."""

    def judge(self, counted: Counted, latest: Latest, now_s: float, since_s: float | None = None) -> None:  # noqa: ARG002  (it fails)
        raise RuntimeError("a fault of ours")


def test_rows_that_could_not_be_judged_are_let_go_of() -> None:
    """What fails at every judgement must not fill the memory."""
    values = np.random.default_rng(1).normal(size=(200, 2))
    reference = reference_of(of(values, "a", "b"))
    bins = bins_of(reference.profiles)
    followed = Followed(
        "champion",
        bins=bins,
        constraints=reference.constraints,
        drift=Failing(bins, false_alarms_per=1e6, tolerance=0.005),
        windows=Windows(bins, {}, rows=500, panes=5),
        association=None,
    )
    features = of(np.zeros((100, 2)), "a", "b")
    held = weakref.ref(features.values)
    followed.count("3", features, nothing(100))
    del features
    assert held() is not None
    with pytest.raises(RuntimeError, match="a fault of ours"):
        followed.judge(1.0)

    gc.collect()
    assert held() is None


def test_pairs_with_a_feature_that_moved_by_itself_are_not_told() -> None:
    """Where it went, the sample has few rows, and what these have in common by chance is not there any more."""
    rng, names = np.random.default_rng(0), ("a", "b", "c", "d")
    sample = of(rng.normal(size=(3000, 4)), *names)
    found = Data().follow(replace(reference_of(sample), sample=sample))
    pairs: list[str] = []
    for batch in range(40):
        values = rng.normal(size=(50, 4))
        values[:, 0] += 1.5 if batch >= 5 else 0.0
        found.count("champion", "3", of(values, *names), nothing(50))
        found.judge(1e9 + batch)
        association = found.variants["champion"]._association
        assert association is not None
        pairs += [each.name for each in association.carriers]
        assert all(each.key.check != "dependence" for each in found.findings)

    assert {pair.partition(" ~ ")[0] for pair in pairs} == {"a"}
    assert found.findings[0].carriers[0].name == "a"


def test_rows_are_counted_by_bin_since_the_reference_was_taken_up() -> None:
    followed, rng = following(), np.random.default_rng(1)
    assert not followed.rows_by_bin.any()

    fed(followed, rng, 3)
    before = followed.rows_by_bin
    fed(followed, rng, 2)

    # What somebody reads does not change while he reads it.
    assert before.sum(axis=1).tolist() == [300] * 4
    assert followed.rows_by_bin.sum(axis=1).tolist() == [500] * 4
    other = following()
    other.restore(followed.state())
    # A counter that goes on from an earlier state would go back by what was not saved, which counts as a new start.
    assert (other.rows, other.rows_here, followed.rows_here) == (500, 0, 500)
    assert not other.rows_by_bin.any()


def test_distances_are_those_of_the_latest_whole_window() -> None:
    followed, rng = following(), np.random.default_rng(1)
    assert followed.distances() == {}

    fed(followed, rng, 5, shift=2.0)

    found = followed.distances()
    assert set(found) == {"a", "b", "country", "score"}
    assert found["a"] > 0.3 > found["b"]


def sliced(features: Table, predictions: Table, first_s: float, last_s: float) -> Slice:
    """The rows, as if somebody else had counted them."""
    place = placement(BINS.names, features.names, predictions.names)
    rows = place.rows(features, predictions)
    latest = Batches(BINS, [rows])
    texts, numbers, far = (
        np.array([count(column) for column in range(len(BINS.names))])
        for count in (latest.texts, latest.numbers, latest.far)
    )
    return Slice(
        first_s,
        last_s,
        latest.rows,
        BINS.count(rows.values, rows.texts),
        features=place.asked >= 0,
        predictions=place.answered >= 0,
        with_text=texts,
        with_number=numbers,
        far_away=far,
    )


def test_rows_that_were_counted_elsewhere_are_judged_as_those_that_are_here() -> None:
    here, elsewhere = following(), following()
    one, two = np.random.default_rng(5), np.random.default_rng(5)
    for batch in range(12):
        shift = 300.0 if batch > 6 else 0.0  # so far away that it is a fault
        here.count("3", *traffic(one, 100, shift))
        here.judge(10.0 * batch + 9)
        elsewhere.take("3", sliced(*traffic(two, 100, shift), 10.0 * batch, 10.0 * batch + 9))

    assert (elsewhere.rows, elsewhere.version) == (here.rows, "3")
    assert elsewhere.rows_by_bin.tolist() == here.rows_by_bin.tolist()
    assert {each.key: each.sentence for each in elsewhere.findings} == {
        each.key: each.sentence for each in here.findings
    }
    (mine,), (theirs,) = (
        [each for each in by_key(followed)["sequential", "features"].carriers if each.name == "a"]
        for followed in (elsewhere, here)
    )
    assert mine == replace(theirs, since_s=70.0)  # and not when the last ones before it had come
    assert mine.fault == "range"


def test_rows_counted_elsewhere_say_nothing_of_columns_that_never_came(rng: np.random.Generator) -> None:
    followed = following()
    features, _ = traffic(rng, 100)
    judged = followed.take("3", sliced(features, nothing(100), 1.0, 2.0))

    assert judged.counts.sum(axis=1).tolist() == [100, 100, 100, 0]
    assert [each.seen for each in followed.columns()] == [True, True, True, False]


def test_all_rows_may_be_compared_at_once(rng: np.random.Generator) -> None:
    """Whatever their number, and without another word on the evidence."""
    followed = following()
    rows = sliced(*traffic(rng, 60, shift=2.0), 1.0, 2.0)
    followed.compare(followed.take("3", rows))

    assert {"psi", "mean_shift"} <= {check for check, _ in by_key(followed)}
    assert followed.columns()[0].current is not None
    assert followed.rows == 60
