import numpy as np
import pytest

from sidecar.monitors.attributed import CARRIERS, CHECK, PANES, Attributed, Weighing, pane_rows, sentence_of
from sidecar.monitors.versions import VersionKey
from sidecar.quality.ranking import Moved
from sidecar.records import Key
from sidecar.stats.moments import Floats

KEY = VersionKey("champion", "3")
NAMES = ("amount", "age", "hour", "country")
SCALES = np.array([8.0, 4.0, 2.0, 1.0])
COLLEGE = {"SAT score": 0.70, "GPA": 0.50, "Class rank": 0.05}


def weighing(**changes: object) -> Weighing:
    settings = {"stated": {}, "reference_rows": 1000, "rows": 1000, "least": 0.9, **changes}
    return Weighing(**settings)  # type: ignore[arg-type]  # the test names them


def rows_of(count: int, scales: Floats = SCALES, seed: int = 0) -> Floats:
    return scales * np.random.default_rng(seed).normal(size=(count, len(scales)))


def take(of: Attributed, values: Floats, names: tuple[str, ...] = NAMES) -> None:
    of.take(names, values, np.ones(len(values)))


def followed(*parts: Floats, **changes: object) -> Attributed:
    found = Attributed(weighing(**changes))
    for values in parts:
        take(found, values)
    found.assess(0.0)
    return found


def test_the_documented_worked_example_is_found() -> None:
    found = Attributed(weighing(stated=COLLEGE, rows=100))
    take(found, np.tile([0.10, 0.20, 0.70], (100, 1)), tuple(COLLEGE))
    found.assess(0.0)
    assert found.ranking is not None
    assert found.ranking.ndcg == pytest.approx(0.69, abs=0.005)

    (finding,) = found.findings(KEY)

    assert finding.key == Key("attribution", CHECK, "champion", "features")
    assert (finding.version, finding.rows, finding.reference_rows) == ("3", 100, 0)
    sentences = {each.name: each.sentence for each in finding.carriers}
    assert sentences["SAT score"] == "rank 1 → 3, mean |attribution| 0.7 → 0.1"
    assert sentences["Class rank"] == "rank 3 → 1, mean |attribution| 0.05 → 0.7"
    assert finding.sentence.startswith("answers of champion rest on other features: NDCG 0.69 (0.69 to 0.69) is below")
    (violation,) = found.violations("label0")
    assert (violation.label, violation.metric_name, violation.constraint_check_type) == ("label0", "shap", CHECK)
    assert violation.description == "NDCG 0.69 (0.69 to 0.69) is below 0.9"


def test_a_reference_is_learned_first_then_a_window_filled_and_only_then_judged() -> None:
    found = followed(rows_of(999))
    assert (found.learned, found.ranking, found.window_rows) == (False, None, 0)
    take(found, rows_of(1000, seed=1))
    found.assess(100.0)
    assert (found.learned, found.ranking, found.window_rows) == (True, None, 980)
    take(found, rows_of(1, seed=2))
    found.assess(200.0)
    assert found.ranking is not None
    assert (found.rows, found.window_rows) == (2000, 1000)
    assert list(found.reference) == list(found.current) == list(NAMES)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_while_nothing_changes(seed: int) -> None:
    found = followed(rows_of(1000, seed=seed), rows_of(1000, seed=seed + 100))
    assert found.ranking is not None
    assert found.ranking.ndcg > 0.99
    assert (found.findings(KEY), found.violations("label0")) == ([], [])


@pytest.mark.parametrize("seed", range(5))
def test_other_features_that_matter_are_found_and_are_over_when_the_first_ones_do_again(seed: int) -> None:
    found = followed(rows_of(1000, seed=seed), rows_of(1000, SCALES[::-1], seed=seed + 100))
    (finding,) = found.findings(KEY)
    assert {finding.carriers[0].name, finding.carriers[1].name} == {"amount", "country"}
    assert sum(each.share for each in finding.carriers) == pytest.approx(1)
    assert (finding.reference_rows, finding.carriers[0].threshold) == (1000, 0.9)

    take(found, rows_of(1000, seed=seed + 200))
    found.assess(5.0)
    assert found.drifted  # not looked at again so soon
    found.assess(20.0)
    assert found.findings(KEY) == []


def test_however_rows_come_panes_are_the_same() -> None:
    values = rows_of(2000)
    one, many = followed(values), Attributed(weighing())
    start = 0
    for size in (1, 7, 300, 2, 690, 999, 1):
        take(many, values[start : start + size])
        start += size
    many.assess(0.0)
    assert start == 2000
    assert one.ranking is not None
    assert many.ranking is not None
    assert many.ranking.ndcg == pytest.approx(one.ranking.ndcg, abs=1e-12)
    assert many.current == pytest.approx(one.current)


def test_rows_without_an_attribution_do_not_count() -> None:
    found = followed(np.full((5000, 4), np.nan))
    assert (found.rows, found.learned) == (0, False)
    found = followed(np.array([[np.inf, 1.0, np.nan, 2.0]]))
    assert found.rows == 1


def test_a_feature_of_a_long_name_is_told_short_and_so_are_many() -> None:
    names = tuple(f"{place:03d}" + "x" * 200 for place in range(60))
    found = Attributed(weighing(stated={name: 60.0 - place for place, name in enumerate(names)}, rows=50))
    take(found, np.tile(np.exp(np.arange(60.0) / 4), (50, 1)), names)
    found.assess(0.0)
    (finding,) = found.findings(KEY)
    assert len(finding.carriers) == CARRIERS
    assert len(finding.sentence) < 700
    assert "more" in finding.sentence


def test_a_limit_of_1_finds_nothing_where_nothing_moved() -> None:
    found = followed(rows_of(1000), rows_of(1000, seed=1), least=1.0)
    assert found.findings(KEY) == []


def test_a_state_that_is_restored_goes_on() -> None:
    first = followed(rows_of(1000), rows_of(1013, SCALES[::-1], seed=1))
    second = Attributed(weighing())
    second.restore(first.state())
    second.assess(0.0)
    assert second.ranking == first.ranking
    assert (second.rows, second.findings(KEY)) == (2000, first.findings(KEY))


def test_a_state_half_learned_goes_on_learning() -> None:
    first, second = followed(rows_of(500)), Attributed(weighing())
    second.restore(first.state())
    take(second, rows_of(500, seed=1))
    assert second.learned


@pytest.mark.parametrize("name", ["rows", "learned.features", "learned.means", "window.weights"])
def test_a_state_without_one_of_its_parts_is_refused(name: str) -> None:
    state = followed(rows_of(1000)).state()
    del state[name]
    with pytest.raises(KeyError):
        Attributed(weighing()).restore(state)


def test_a_state_of_another_shape_is_refused() -> None:
    state = followed(rows_of(1000)).state() | {"learned.means": np.zeros((PANES, 1))}
    with pytest.raises(ValueError, match="learned: of shape"):
        Attributed(weighing()).restore(state)


def test_panes_are_rounded_up() -> None:
    assert [pane_rows(rows) for rows in (50, 51, 1000)] == [1, 2, 20]


def test_a_sentence_says_what_happened() -> None:
    told = sentence_of(Moved("amount", 1.0, (1, 4), (0.3124, 0.05)))
    assert told == "rank 1 → 4, mean |attribution| 0.312 → 0.05"
