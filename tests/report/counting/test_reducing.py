from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from sidecar.errors import ConfigError
from sidecar.monitors.placing import placement
from sidecar.payload.assembling import assemble
from sidecar.records import Rows, Sample, Table
from sidecar.reference.binning import BINS, Bins, bins_of
from sidecar.reference.learning import Learner
from sidecar.report.counting import questions, reducing
from sidecar.report.counting.engines import DuckDB, Engine, Settings
from sidecar.report.counting.facts import Facts
from sidecar.report.counting.reducing import Asked, Reduced, reduce, work
from sidecar.report.counting.sources import sources
from sidecar.stats.moments import Moments
from tests.report.traffic import FEATURES, HOUR_S, LONG, NOON_S, PREDICTIONS, Item, exchanges, learned, read
from tests.sinks.captures import CAPTURE

BINS_OF_ALL = bins_of(learned().profiles)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    opened = DuckDB(Settings(threads=1))
    yield opened
    opened.close()


def reduced(engine: Engine, folder: Path, items: Sequence[Item], bins: Bins = BINS_OF_ALL) -> Reduced:
    lines = read(engine, folder, items)
    asked = Asked(
        questions.of_variant(lines, "champion"),
        sources(lines.columns, bins.names),
        alone=len(questions.variants(lines)) == 1,
        every_us=round(HOUR_S * 1e6),
        advance=lambda _: None,
    )
    return reduce(asked, bins)


def one(rows: Sequence[Mapping[str, object]], started_s: float = NOON_S) -> list[Item]:
    """An exchange for each row, without a reply."""
    return [
        (CAPTURE._replace(request_id=str(place), started_s=started_s), Rows(tuple(cells), [list(cells.values())]))
        for place, cells in enumerate(rows)
    ]


def samples_by_hour(items: Sequence[Item]) -> dict[int, list[Sample]]:
    found: dict[int, list[Sample]] = {}
    for item in items:
        if item[0].variant == "champion":
            found.setdefault(int(item[0].started_s // HOUR_S), []).extend(assemble([item]))
    return found


def by_name(facts: Sequence[Facts]) -> dict[str, Facts]:
    return {each.name: each for each in facts}


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_the_bins_over_the_same_rows(engine: Engine, tmp_path: Path, seed: int) -> None:
    """Columns that a row does not have are missing there; those of predictions are, where it was answered."""
    items = exchanges(seed, 120)
    found = reduced(engine, tmp_path, items)

    answered = [BINS_OF_ALL.names.index(name) for name in PREDICTIONS]
    hours = samples_by_hour(items)
    assert found.starts_s.tolist() == [hour * HOUR_S for hour in sorted(hours)]
    for own, (_, those) in zip(found.slices, sorted(hours.items()), strict=True):
        counts, sums = np.zeros_like(BINS_OF_ALL.reference), np.zeros(BINS_OF_ALL.reference.shape)
        for sample in those:
            rows = placement(BINS_OF_ALL.names, sample.features.names, sample.predictions.names).rows(
                sample.features, sample.predictions
            )
            counted = BINS_OF_ALL.count(rows.values, rows.texts)
            if not sample.predictions.names:
                counted.counts[answered] = 0
            counts += counted.counts
            sums += counted.sums
        np.testing.assert_array_equal(own.counted.counts, counts)
        np.testing.assert_allclose(own.counted.sums, sums, rtol=1e-12, atol=1e-12)
        assert own.rows == sum(len(sample.times_s) for sample in those)


@pytest.mark.parametrize("seed", range(3))
def test_facts_are_those_of_moments_and_of_what_is_learned(engine: Engine, tmp_path: Path, seed: int) -> None:
    items = exchanges(seed, 150, variants=("champion",))
    found = by_name(reduced(engine, tmp_path, items).facts)

    learner, moments = Learner(), {name: Moments(1) for name in FEATURES}
    for sample in assemble(items):
        learner.update(sample.features)
        for place, name in enumerate(sample.features.names):
            moments[name].update(sample.features.values[:, place : place + 1])
    for profile in learner.profiles().features:
        own, theirs = found[profile.name], moments[profile.name]
        assert (own.kind, own.missing, own.profile.present) == (profile.kind, profile.missing, profile.present)
        counts = (own.numbers, own.infinite, own.integral, own.zeros, own.negatives)
        names = ("count", "infinite", "integral", "zeros", "negatives")
        assert counts == tuple(int(getattr(theirs, name)[0]) for name in names)
        assert (own.minimum, own.maximum) == (theirs.minimum[0], theirs.maximum[0])
        assert own.mean == pytest.approx(theirs.mean[0], rel=1e-12)
        assert own.std == pytest.approx(theirs.std[0], rel=1e-12)
        assert own.histogram.sum() == own.numbers
        if profile.categories is not None:
            told = own.profile.categories
            assert told is not None
            assert (told.distinct, dict(told.counts)) == (profile.categories.distinct, dict(profile.categories.counts))
    texts = found["country"].texts
    assert texts is not None
    assert (texts.length_min, texts.length_max) == (0, len(LONG) + 1)


def test_numbers_too_large_to_be_squared_have_a_deviation(engine: Engine, tmp_path: Path) -> None:
    values = [
        1e300,
        -1e300,
        1.7e308,
        1.7e308,
        -1.1e308,
    ]  # nor can they be added up: their middle is far from their mean
    (found,) = reduced(engine, tmp_path, one([{"x": value} for value in values])).facts
    expected = Moments.of(np.array(values)[:, None])

    assert (found.mean, found.std) == pytest.approx((expected.mean[0], expected.std[0]), rel=1e-12)


def test_a_sentinel_takes_nothing_from_the_sums_of_other_numbers(engine: Engine, tmp_path: Path) -> None:
    values = [0.1, 0.2, float(np.finfo(np.float64).max), 1e-9]
    (found,) = reduced(engine, tmp_path, one([{"amount": value} for value in values])).slices

    place = BINS_OF_ALL.names.index("amount")
    rows = np.full((len(values), len(BINS_OF_ALL.names)), np.nan)
    rows[:, place] = values
    expected = BINS_OF_ALL.count(rows, {}).sums[place]
    np.testing.assert_allclose(found.counted.sums[place], expected, rtol=1e-12)


def test_numbers_far_from_zero_keep_their_deviation(engine: Engine, tmp_path: Path) -> None:
    """The naive formula, of squares less the square of the mean, has no digit of it left."""
    values = 1e9 + np.random.default_rng(1).normal(size=500)
    (found,) = reduced(engine, tmp_path, one([{"x": float(value)} for value in values])).facts

    assert found.std == pytest.approx(float(np.std(values)), rel=1e-9)


def test_a_constant_has_no_deviation(engine: Engine, tmp_path: Path) -> None:
    (found,) = reduced(engine, tmp_path, one([{"x": 0.1}] * 7)).facts
    assert (found.mean, found.std, found.histogram.tolist()) == (0.1, 0.0, [7] + [0] * 9)


def test_a_column_of_infinities_alone_has_no_mean(engine: Engine, tmp_path: Path) -> None:
    (found,) = reduced(engine, tmp_path, one([{"amount": np.inf}, {"amount": -np.inf}])).facts

    assert (found.infinite, found.numbers, found.missing, found.sketch) == (2, 0, 0, None)
    assert np.isnan([found.mean, found.std, found.minimum, found.maximum]).all()


def test_a_column_that_is_there_and_never_has_a_value_is_missing_from_the_beginning(
    engine: Engine, tmp_path: Path
) -> None:
    found = reduced(engine, tmp_path, one([{"amount": None}, {"amount": None}]))

    place = BINS_OF_ALL.names.index("amount")
    (rows,) = found.slices
    assert (bool(rows.features[place]), rows.counted.counts[place, BINS]) == (True, 2)
    assert not rows.features[BINS_OF_ALL.names.index("never")]


def test_a_column_of_another_variant_alone_is_not_this_ones(engine: Engine, tmp_path: Path) -> None:
    (mine,) = one([{"amount": 1.0}])
    other = (CAPTURE._replace(variant="rival", started_s=NOON_S), Rows(("count",), [[1]]))
    found = reduced(engine, tmp_path, [mine, other])

    assert [each.name for each in found.facts] == ["amount"]
    assert not found.slices[0].features[BINS_OF_ALL.names.index("count")]


def test_a_name_of_a_feature_and_a_prediction_is_the_features(engine: Engine, tmp_path: Path) -> None:
    item = (CAPTURE._replace(started_s=NOON_S), Rows(("amount",), [[1.0]], ("amount",), [[2.0]]))
    found = reduced(engine, tmp_path, [item])

    place = BINS_OF_ALL.names.index("amount")
    assert [(each.name, each.subject) for each in found.facts] == [("amount", "features"), ("amount", "predictions")]
    assert (found.slices[0].features[place], found.slices[0].predictions[place]) == (True, False)
    assert found.slices[0].counted.sums[place].sum() == 1.0


def test_what_points_to_a_fault_is_counted(engine: Engine, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"amount": each} for each in ("n/a", 1e9, 50.0, 1e9)]
    rows.append({"country": 7})
    (found,) = reduced(engine, tmp_path, one(rows)).slices

    amount, country = (BINS_OF_ALL.names.index(name) for name in ("amount", "country"))
    assert (found.texts(amount), found.numbers(amount), found.far(amount)) == (1, 3, 2)
    assert (found.texts(country), found.numbers(country)) == (0, 1)


def test_versions_and_requests_are_told(engine: Engine, tmp_path: Path) -> None:
    captures = [
        CAPTURE._replace(request_id=str(place), started_s=NOON_S + place, version=version, sample_ratio=0.5)
        for place, version in enumerate(["4", "3", "4"])
    ]
    found = reduced(engine, tmp_path, [(each, Rows(("amount",), [[1.0], [2.0]])) for each in captures])

    assert (found.versions, found.version, found.rows, found.requests) == (["4", "3"], "4", 6, 6.0)


def test_blocks_of_columns_add_up_to_the_same(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = exchanges(1, 30)
    together = reduced(engine, tmp_path, items)
    monkeypatch.setattr(reducing, "TOGETHER", 1)
    apart = reduced(engine, tmp_path, items)

    assert [each.name for each in apart.facts] == [each.name for each in together.facts]
    for one_by_one, at_once in zip(apart.slices, together.slices, strict=True):
        np.testing.assert_array_equal(one_by_one.counted.counts, at_once.counted.counts)


def test_too_many_slices_are_refused(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reducing, "MAX_SLICED", 7)
    with pytest.raises(ConfigError, match="every: 2 slices of time by 7 columns, expected at most 1: longer ones"):
        reduced(engine, tmp_path, [*one([{"amount": 1.0}]), *one([{"amount": 1.0}], NOON_S + HOUR_S)])


def test_a_reference_without_columns_leaves_the_facts(engine: Engine, tmp_path: Path) -> None:
    learner = Learner()
    learner.update(Table((), np.empty((3, 0))))
    found = reduced(engine, tmp_path, exchanges(1, 10), bins_of(learner.profiles()))

    assert {each.name for each in found.facts} >= {"amount", "country"}
    assert found.slices[0].counted.counts.shape == (0, BINS + 1)


def test_work_is_how_often_rows_are_read() -> None:
    assert work(sources(["feature__a", "feature_text__a", "prediction__b"], [])) == 6
