from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import ValidationError

from sidecar.errors import ConfigError
from sidecar.monitors.quality import Grading, Quality
from sidecar.monitors.training import Bound
from sidecar.monitors.versions import MAX_VERSIONS
from sidecar.quality.reading import Reading, Task
from sidecar.records import Labelled, Table
from sidecar.reference.quality_files import Limit, Meta, write_quality_constraints, write_quality_statistics
from sidecar.stats.keeping import Array, sealed, unsealed
from tests.monitors.labelled import VERSION, answers, cut, labelled, rows
from tests.monitors.rig import NAN, nothing, of

QUALITY = Quality(reference_rows=400)
NOW_S = 1e5


def grading(task: Task = "binary", options: Quality = QUALITY) -> Grading:
    return options.grade(partial(Reading, task=task))


def of_version(whole: Labelled, version: str, variant: str = "champion") -> Labelled:
    return replace(whole, version=version, variant=variant)


def at_accuracy(rng: np.random.Generator, n: int, accuracy: float) -> Labelled:
    values = rng.normal(size=(n, 3))
    told = (values[:, 0] > 0).astype(np.float64)
    label = np.where(rng.random(n) < accuracy, told, 1 - told)
    return labelled(of(values, "a", "b", "c"), of(told, "answer"), of(label, "label"))


def history(task: Task = "binary") -> list[Labelled]:
    rng = np.random.default_rng(1)
    return [rows(rng, 700, task), rows(rng, 900, task, moved=4.0 if task == "regression" else 1.0, begins_s=700.0)]


def told(one: Grading) -> object:
    """All that it answers."""
    grades = {
        key: (grade.window.scores, grade.lifetime.scores, grade.estimated, grade.window.rows)
        for key, grade in one.grades.items()
    }
    return one.findings, one.relations(), grades


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_in_what_batches_rows_come_makes_no_difference_to_what_is_found(task: Task) -> None:
    whole = history(task)

    def found(batches: list[Labelled]) -> list[tuple[object, ...]]:
        one = grading(task)
        for each in batches:
            one.take(each)
        one.assess(NOW_S)
        return [(each.key, each.sentence, each.rows, each.reference_rows) for each in one.findings]

    expected = found(whole)
    assert expected

    @settings(max_examples=10)
    @given(st.lists(st.integers(1, 300), max_size=5), st.lists(st.integers(1, 300), max_size=5))
    def check(first: list[int], second: list[int]) -> None:
        assert found([*cut(whole[0], first), *cut(whole[1], second)]) == expected

    check()


def test_rows_like_the_first_ones_are_nothing_to_tell() -> None:
    """100,000 labelled rows of three models at the default settings."""
    for seed in range(6):
        task: Task = ("binary", "multiclass", "regression")[seed % 3]
        rng, one = np.random.default_rng(seed), grading(task, Quality())
        for _ in range(33):
            one.take(rows(rng, 512, task))
            assert one.findings == []


def test_a_fall_of_accuracy_from_90_to_80_percent_is_found_within_some_hundred_rows() -> None:
    needed = []
    for seed in range(10):
        rng, one = np.random.default_rng(seed), grading("binary", Quality())
        one.take(at_accuracy(rng, 3000, 0.9))
        batches = 0
        while not one.findings:
            one.take(at_accuracy(rng, 50, 0.8))
            batches += 1
        needed.append(50 * batches)

    assert np.median(needed) <= 700
    assert max(needed) <= 1500


def test_versions_are_graded_apart_and_findings_are_of_the_latest() -> None:
    one = grading()
    for batch in history():
        one.take(batch)
        one.take(of_version(batch, "1", "canary"))
    one.assess(NOW_S)
    assert {each.key.variant for each in one.findings} == {"champion", "canary"}

    one.count("champion", "4", nothing(1), of(np.array([[1.0, 0.8]]), "answer", "score"))
    one.judge(5000.0)
    one.assess(NOW_S)
    assert {each.key.variant for each in one.findings} == {"canary"}
    assert set(one.relations()) == {"champion", "canary"}
    assert set(one.grades) == {("champion", "3"), ("champion", "4"), ("canary", "1")}


def test_a_clock_that_was_ahead_for_a_moment_is_forgiven() -> None:
    one, rng = grading(), np.random.default_rng(1)
    one.take(rows(rng, 500))
    one.take(rows(rng, 5, begins_s=1e8))
    one.take(rows(rng, 500, begins_s=500.0))
    one.assess(1000.0)
    one.take(of_version(rows(rng, 500, begins_s=1000.0), "4"))
    one.assess(1500.0)

    assert one.grades[VERSION].window.rows == 1005
    assert [key.version for key, _ in one.versions.latest()] == ["4"]


def test_of_too_many_versions_the_oldest_are_forgotten_with_their_grades() -> None:
    one = grading()
    for place in range(MAX_VERSIONS + 5):
        one.take(of_version(answers([1.0], [1.0], begins_s=float(place)), str(place)))
        one.assess(float(place))

    assert len(one.grades) == MAX_VERSIONS
    assert ("champion", "4") not in one.grades
    assert one.versions.forgotten == 5


def test_an_exchange_of_many_rows_is_taken_whole() -> None:
    one = grading("binary", Quality())
    one.take(rows(np.random.default_rng(1), 10_000))
    one.assess(NOW_S)

    assert one.findings == []
    assert (one.grades[VERSION].window.rows, one.grades[VERSION].lifetime.rows) == (5000, 10_000)
    assert one.relations()["champion"].rows == 8000


def test_no_rows_are_nothing() -> None:
    one = grading()
    one.take(answers([], []))
    one.judge(1.0)
    one.assess(1.0)

    assert (list(one.versions), one.findings, one.relations(), dict(one.grades)) == ([], [], {}, {})


def test_first_labels_are_graded_at_once_and_then_not_before_there_is_anything_new() -> None:
    one = grading()
    one.count(*VERSION, nothing(1), of(np.array([[1.0, 0.8]]), "answer", "score"))
    one.judge(1.0)
    one.assess(1.0)
    estimated = one.grades[VERSION]
    assert estimated.estimated is not None

    one.take(answers([1.0], [1.0]))
    one.assess(1.5)
    first = one.grades[VERSION]
    assert first.labelled == 1

    one.assess(1000.0)
    assert one.grades[VERSION] is first


def test_limits_are_of_the_file_and_what_the_user_says_goes_before_it(tmp_path: Path) -> None:
    limits = {"accuracy": Limit(0.5, "LessThanThreshold"), "auc": Limit(0.6, "LessThanThreshold")}
    (tmp_path / "constraints.json").write_bytes(write_quality_constraints({"binary": limits}))
    chosen = {"accuracy": Bound(below=0.99), "log_loss": Bound(above=0.0)}
    one = grading("binary", Quality(reference=str(tmp_path), alert_when=chosen))

    assert one.limits == {
        "accuracy": Limit(0.99, "LessThanThreshold"),
        "auc": Limit(0.6, "LessThanThreshold"),
        "log_loss": Limit(0.0, "GreaterThanThreshold"),
    }
    one.take(rows(np.random.default_rng(1), 600))
    one.assess(NOW_S)
    assert [each.key.check for each in one.findings] == ["LessThanThreshold", "GreaterThanThreshold"]
    assert set(Quality().checks) >= {each.key.check for each in one.findings}


def stated(folder: Path, task: Task, **scores: float) -> Quality:
    told = {name: (value, 0.01) for name, value in scores.items()}
    (folder / "statistics.json").write_bytes(write_quality_statistics(task, told, {}, {}, Meta(100)))
    return Quality(reference=str(folder), reference_rows=400)


@pytest.mark.parametrize(
    ("task", "scores", "expected"),
    [
        ("binary", {"accuracy": 0.97}, 0.03),
        ("multiclass", {"accuracy": 0.97}, 0.03),
        ("regression", {"mae": 0.4}, 0.12),
    ],
)
def test_what_the_file_states_is_what_must_be_held(
    tmp_path: Path, task: Task, scores: dict[str, float], expected: float
) -> None:
    one = grading(task, stated(tmp_path, task, **scores))
    one.take(rows(np.random.default_rng(1), 3000, task))
    graded = one.versions.get(*VERSION)

    assert graded is not None
    assert graded.loss_before == pytest.approx(expected, abs=0.01)
    assert [each.sentence.startswith("champion has become worse") for each in one.findings] == [True]


def test_a_file_that_states_another_metric_leaves_the_first_rows_to_compare_with(tmp_path: Path) -> None:
    options = stated(tmp_path, "binary", auc=0.9, accuracy=NAN)
    (tmp_path / "constraints.json").write_bytes(
        write_quality_constraints({"binary": {"f1": Limit(0.1, "LessThanThreshold")}})
    )
    one = grading("binary", options)
    one.take(rows(np.random.default_rng(1), 400))
    graded = one.versions.get(*VERSION)

    assert graded is not None
    assert graded.yardstick is not None
    assert graded.loss_before == graded.yardstick.loss


@pytest.mark.parametrize(
    ("task", "scores", "fault"),
    [
        ("binary", {"accuracy": 97.0}, "accuracy of 97, expected from 0 to 1"),
        ("regression", {"mae": -1.0}, "mae of -1, expected from 0"),
        ("regression", {"mae": np.inf}, "mae of inf, expected from 0"),
        ("binary", {"auc": 0.9}, "of binary model quality"),
    ],
)
def test_a_statement_that_cannot_be_used_is_refused(
    tmp_path: Path, task: Task, scores: dict[str, float], fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        grading(task, stated(tmp_path, task, **scores))


def test_a_reference_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    options = Quality(reference=str(tmp_path))
    with pytest.raises(ConfigError, match="of binary model quality"):
        grading("binary", options)
    with pytest.raises(ConfigError, match="of regression model quality"):
        grading("regression", stated(tmp_path, "binary", accuracy=0.9))
    (tmp_path / "statistics.json").unlink()
    (tmp_path / "statistics.json").mkdir()
    with pytest.raises(ConfigError, match=r"^reference: .*/statistics\.json: expected a file that can be read: "):
        grading("binary", options)
    (tmp_path / "constraints.json").write_text("{")
    (tmp_path / "statistics.json").rmdir()
    with pytest.raises(ConfigError, match=r"^reference: .*/constraints\.json: "):
        grading("binary", options)


@pytest.mark.parametrize("bound", [Bound(), Bound(below=0.1, above=0.2)])
def test_a_limit_has_one_side(bound: Bound) -> None:
    with pytest.raises(ConfigError, match=r"alert_when\.f1: expected one of below and above"):
        Quality(alert_when={"f1": bound})


@pytest.mark.parametrize(
    ("task", "name"),
    [("binary", "weighted_f1"), ("multiclass", "f1"), ("regression", "accuracy"), ("binary", "acuracy")],
)
def test_a_limit_of_a_metric_that_there_is_not_is_refused(task: Task, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"alert_when\.{name}: expected one of .*(accuracy|mae)"):
        grading(task, Quality(alert_when={name: Bound(below=0.5)}))


@pytest.mark.parametrize(("task", "name"), [("binary", "auc"), ("multiclass", "weighted_f2"), ("regression", "r2")])
def test_a_limit_may_be_of_any_metric_that_there_is(task: Task, name: str) -> None:
    assert list(grading(task, Quality(alert_when={name: Bound(below=0.5)})).limits) == [name]


def test_options_are_within_their_ranges() -> None:
    assert msgspec.convert({"reference_rows": 200, "alert_when": {"f1": {"below": 0.9}}}, Quality).tolerance == 0.02
    for wrong in ({"reference_rows": 199}, {"tolerance": 0.6}, {"rows": 10}, {"alert_when": {"f1": {"less": 1}}}):
        with pytest.raises(ValidationError):
            msgspec.convert(wrong, Quality)


def restored(one: Grading, **options: object) -> Grading:
    again = grading("binary", replace(QUALITY, **options))  # type: ignore[arg-type]  # as a test chooses
    assert again.restore(one.state())
    return again


@pytest.mark.parametrize("upto", [0, 1, 3, 5])
def test_it_goes_on_from_its_state_at_any_moment(upto: int) -> None:
    batches = [part for batch in history() for part in cut(batch, [250, 240])]
    one = grading()
    for batch in batches[:upto]:
        one.count(*VERSION, batch.features, batch.predictions)
        one.judge(1200.0)
        one.take(batch)
    again = restored(one)

    for each in (one, again):
        each.assess(NOW_S)
    np.testing.assert_equal(told(again), told(one))
    for each in (one, again):
        for batch in batches[upto:]:
            each.take(batch)
        each.assess(2 * NOW_S)
    np.testing.assert_equal(told(again), told(one))
    assert bool(one.findings)


def test_what_was_known_before_is_gone_when_a_state_takes_its_place() -> None:
    one, again = grading(), grading()
    again.take(of_version(answers([1.0], [1.0]), "9"))
    again.assess(1.0)
    one.take(answers([1.0], [1.0]))

    assert again.restore(one.state())
    assert dict(again.grades) == {}
    again.assess(1.0)
    assert set(again.grades) == {VERSION}


def test_windows_may_be_of_another_size_after_a_restart_and_tests_not_of_other_settings() -> None:
    one = grading()
    for batch in history():
        one.take(batch)
    again = restored(one, rows=300)
    again.assess(NOW_S)

    assert again.grades[VERSION].window.rows == 300
    assert again.grades[VERSION].lifetime.rows == 1600
    for other in (replace(QUALITY, tolerance=0.1), replace(QUALITY, reference_rows=500)):
        assert not grading("binary", other).restore(one.state())
    assert not grading("multiclass").restore(one.state())


def saved() -> dict[str, Array]:
    one = grading()
    for batch in history():
        one.take(batch)
    parts = unsealed(one.state(), one._belongs_to)
    assert parts is not None
    return parts


SAVED = saved()


@pytest.mark.parametrize("name", sorted(SAVED))
def test_a_state_that_lacks_a_part_is_refused_and_nothing_done(name: str) -> None:
    one = grading()
    one.take(of_version(answers([1.0], [1.0]), "9"))
    parts = {each: part for each, part in SAVED.items() if each != name}

    assert not one.restore(sealed(parts, one._belongs_to))
    assert [key.version for key, _ in one.versions] == ["9"]


@pytest.mark.parametrize("damage", [b"", b"x", slice(None, -1), slice(1, None), slice(None, 40)])
def test_a_damaged_state_is_refused(damage: bytes | slice) -> None:
    one = grading()
    whole = sealed(SAVED, one._belongs_to)

    assert not one.restore(damage if isinstance(damage, bytes) else whole[damage])
    assert one.restore(whole)


CELLS = st.sampled_from(
    [0.0, 1.0, 1.0, 0.0, 0.5, 0.25, 2.0, -1.0, 1e308, -1e308, np.finfo(np.float64).max, 5e-324, NAN, np.inf, -np.inf]
)
TEXTS = st.sampled_from([None, None, "a", "1", "0", "\ud800", "", "nul\0", "1.0"])


@st.composite
def tables(draw: st.DrawFn, names: tuple[str, ...], n: int) -> Table:
    chosen = tuple(name for name in names if draw(st.booleans()))
    values = np.array([draw(st.lists(CELLS, min_size=len(chosen), max_size=len(chosen))) for _ in range(n)])
    texts = {}
    for place in range(len(chosen)):
        cells = draw(st.lists(TEXTS, min_size=n, max_size=n))
        if draw(st.booleans()) and any(cells):
            texts[place] = cells
            values[[cell is not None for cell in cells], place] = NAN
    return Table(chosen, values.reshape(n, len(chosen)), texts)


@st.composite
def batches(draw: st.DrawFn) -> Labelled:
    n = draw(st.integers(1, 6))
    return Labelled(
        draw(st.sampled_from(["champion", "canary"])),
        "1",
        np.array(draw(st.lists(st.sampled_from([0.0, 5.0, 1e9]), min_size=n, max_size=n))),
        np.array(draw(st.lists(st.sampled_from([1.0, 1.0, 1e-9, 1e9]), min_size=n, max_size=n))),
        draw(tables(("f", "score", "g", "f"), n)),
        draw(tables(("answer", "score", "prob2"), n)),
        draw(tables(("label",), n).filter(lambda table: bool(table.names))),
        nothing(n),
    )


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_whatever_comes_is_taken(task: Task) -> None:
    """Without an exception, a warning, or a finding that nobody can read."""
    bound = {"mae": Bound(above=0.5)} if task == "regression" else {"accuracy": Bound(below=0.9)}
    options = Quality(reference_rows=6, rows=200, alert_when=bound, false_alarms_per=100, tolerance=0.0)

    @settings(max_examples=20)
    @given(st.lists(batches(), min_size=2, max_size=5))
    def check(found: list[Labelled]) -> None:
        one = grading(task, options)
        for place, batch in enumerate(found * 2):
            one.count(batch.variant, batch.version, batch.features, batch.predictions)
            one.judge(float(place))
            one.take(batch)
            one.assess(20.0 * place)
            for finding in one.findings:
                assert sum(each.share for each in finding.carriers) == pytest.approx(1.0)
                assert "nan" not in finding.sentence
        again = grading(task, options)
        assert again.restore(one.state())
        for each in (one, again):
            each.assess(NOW_S)
        assert [each.sentence for each in again.findings] == [each.sentence for each in one.findings]

    check()


def test_a_challenger_is_compared_with_the_champion_and_that_survives_a_restart() -> None:
    def made() -> Grading:
        return Quality(champion="champion").grade(lambda: Reading(task="binary"))

    def rows(rng: np.random.Generator, variant: str, right: float, n: int = 200) -> Labelled:
        answers = (rng.random(n) < 0.5).astype(np.float64)
        labels = np.where(rng.random(n) < right, answers, 1 - answers)
        nothing = Table((), np.empty((n, 0)))
        columns = Table(("label",), answers[:, None]), Table(("label",), labels[:, None])
        return Labelled(variant, "3", np.arange(float(n)), np.ones(n), nothing, *columns, nothing)

    rng, grading = np.random.default_rng(0), made()
    for _ in range(5):
        grading.take(rows(rng, "champion", 0.9))
        grading.take(rows(rng, "challenger", 0.7))
    again = made()
    assert again.restore(grading.state())

    for each in (grading, again):
        assert [finding.key.check for finding in each.findings] == ["champion"]
        assert [finding.key.variant for finding in each.findings] == ["challenger"]


def test_labels_count_once_their_requests_are_old_enough() -> None:
    """Frauds are told within days, their absence when the time is up: until then quality looks like the former."""

    def rows(label: float, times: Sequence[float]) -> Labelled:
        n = len(times)
        nothing, answers = Table((), np.empty((n, 0))), Table(("label",), np.zeros((n, 1)))
        labels = Table(("label",), np.full((n, 1), label))
        return Labelled("champion", "3", np.array(times), np.ones(n), nothing, answers, labels, nothing)

    grading = Quality(settle_s=100.0).grade(lambda: Reading(task="binary"))
    grading.take(rows(1.0, [float(time) for time in range(0, 100, 10)]))
    grading.assess(99.0)
    assert grading.grades == {}

    again = Quality(settle_s=100.0).grade(lambda: Reading(task="binary"))
    assert again.restore(grading.state())
    again.take(rows(0.0, [float(time) for time in range(100) if time % 10]))
    again.assess(1000.0)
    assert again.grades["champion", "3"].window.scores["accuracy"].value == 0.9
