from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest
import zstandard

from sidecar.config.schema import Part
from sidecar.errors import ConfigError
from sidecar.monitors.data import Data, Following, WindowSize
from sidecar.monitors.followed import Followed
from sidecar.records import Finding, Table
from sidecar.reference.constraints import Constraints, suggested
from sidecar.reference.files import parse_constraints
from sidecar.reference.folder import Reference, read_folder, write_folder
from sidecar.reference.profile import Categories, Profile, Profiles
from sidecar.stats.keeping import MAX_BYTES, Array
from sidecar.stats.summary import Summary
from sidecar.stats.window import Window
from tests.monitors.rig import NAN, nothing, of, reference_of

FEATURES = tuple(f"x{place}" for place in range(20))


def rows(rng: np.random.Generator, count: int, shift: float = 0.0) -> tuple[Table, Table]:
    """Of independent features and a prediction; the fourth feature may be shifted by so many standard deviations."""
    values = rng.normal(size=(count, len(FEATURES)))
    values[:, 3] += shift
    return of(values, *FEATURES), of(rng.normal(size=count), "score")


def learned(names: tuple[str, ...] = (*FEATURES, "score"), count: int = 5000) -> Reference:
    return reference_of(of(np.random.default_rng(0).normal(size=(count, len(names))), *names))


REFERENCE = learned()


def fed(following: Following, features: Table, predictions: Table, variant: str = "champion") -> None:
    following.count(variant, "3", features, predictions)
    following.judge(1000.0)


def sequential(following: Following) -> list[Finding]:
    return [each for each in following.findings if each.key.check == "sequential"]


def window(features: Table) -> Summary:
    rolling = Window(rows=1000, panes=10, seconds=60.0, max_features=100, max_categories=10)
    rolling.update(features.names, features.values, features.texts, 0.0)
    return rolling.snapshot().current(0.0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture
def following() -> Following:
    return Data().follow(REFERENCE)


def test_rows_like_the_reference_are_nothing_to_tell(following: Following) -> None:
    """100,000 rows of 20 features and a prediction, at one false alarm in a million."""
    rng = np.random.default_rng(5)
    for _ in range(100):
        fed(following, *rows(rng, 1000))
        assert following.findings == []


def test_a_shift_is_found_within_a_thousand_rows_by_its_feature_alone_and_is_over_within_as_many() -> None:
    needed: list[int] = []
    ended: list[int] = []
    for seed in range(3):
        rng, following = np.random.default_rng(seed), Data().follow(REFERENCE)
        for _ in range(20):
            fed(following, *rows(rng, 250))
        for batches, shift in ((needed, 0.5), (ended, 0.0)):
            before = following.variants["champion"].rows
            while bool(sequential(following)) != bool(shift):
                fed(following, *rows(rng, 50, shift))
            batches.append(following.variants["champion"].rows - before)
            for finding in sequential(following):
                assert [each.name for each in finding.carriers] == ["x3"]

    assert max(needed) <= 1000
    assert max(ended) <= 1000


def test_variants_are_followed_apart(following: Following, rng: np.random.Generator) -> None:
    for _ in range(10):
        fed(following, *rows(rng, 100, 1.0), variant="canary")
        fed(following, *rows(rng, 100))

    assert {finding.key.variant for finding in following.findings} == {"canary"}
    assert [column.name for column in following.columns("champion")] == [*FEATURES, "score"]
    assert following.columns("unknown") == []


def test_the_user_chooses_the_detectors_and_the_windows(rng: np.random.Generator) -> None:
    parts = (Part(kind="kolmogorov_smirnov", options={"alpha": 0.01}), Part(kind="l_infinity"))
    chosen = Data(window=WindowSize(rows=100, panes=1), detectors=parts).follow(REFERENCE)
    fed(chosen, *rows(rng, 100, 5.0))

    assert {finding.key.check for finding in chosen.findings} == {"sequential", "kolmogorov_smirnov", "l_infinity"}


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"window": {"rows": 10, "panes": 11}}, "window.panes: expected at most window.rows, 10"),
        (
            {"detectors": [{"kind": "psi"}, {"kind": "missing"}, {"kind": "psi"}]},
            "detectors[2].kind: psi a second time, expected each once",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_path(options: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigError) as raised:
        msgspec.convert(options, Data)

    assert str(raised.value) == fault


def test_what_breaks_the_constraints_is_told_with_what_drifts(following: Following, rng: np.random.Generator) -> None:
    features, predictions = rows(rng, 2000, 3.0)
    features.values[:1000, 0] = NAN
    fed(following, features, predictions)
    for _ in range(9):
        fed(following, *rows(rng, 200, 3.0))

    found = following.violations("champion", window(features), window(predictions))

    assert {(each.feature, each.check) for each in found} == {
        ("x0", "completeness_check"),
        ("x3", "baseline_drift_check"),
    }
    assert all(each.rows >= 1000 for each in found)
    assert following.violations("unknown", None, None) == []


def only_constraints() -> Reference:
    """Without statistics.json nobody knows how the data are distributed."""
    document = b'{"features": [{"name": "x0", "inferred_type": "Integral", "completeness": 1.0}]}'
    return Reference(Profiles(0, ()), parse_constraints(document, ""))


def test_constraints_alone_are_checked_and_nothing_else(rng: np.random.Generator) -> None:
    following = Data().follow(only_constraints())
    features = of(rng.normal(size=300), "x0")
    for _ in range(10):
        fed(following, features, nothing(300))

    assert (following.findings, following.columns("champion")) == ([], [])
    assert [(each.feature, each.check) for each in following.violations("champion", window(features), None)] == [
        ("x0", "data_type_check")
    ]
    assert Data().follow(only_constraints()).restore(following.state())


def test_a_thousand_features_are_followed(rng: np.random.Generator) -> None:
    names = tuple(f"x{place}" for place in range(1000))
    reference = learned(names, 200)
    following = Data(window=WindowSize(rows=100, panes=1)).follow(reference)
    for _ in range(3):
        fed(following, of(rng.normal(size=(100, 1000)) + 5.0, *names), nothing(100))

    (finding,) = sequential(following)
    assert len(finding.carriers) == 1000
    assert sum(each.share for each in finding.carriers) == pytest.approx(1.0)
    assert finding.sentence.endswith("995 more")


def test_a_feature_that_was_never_there_is_left_out() -> None:
    values = np.column_stack([np.arange(100.0), np.full(100, NAN)])
    following = Data().follow(reference_of(of(values, "x", "empty")))
    fed(following, of(values, "x", "empty"), nothing(100))

    assert [column.name for column in following.columns("champion")] == ["x"]


# What is known after a restart


def drifting() -> Following:
    rng, found = np.random.default_rng(3), Data().follow(REFERENCE)
    for _ in range(20):
        fed(found, *rows(rng, 100, 0.7))
        fed(found, *rows(rng, 50), variant="canary-2")
    return found


SAVED = drifting().state()


def restored(saved: bytes, data: Data | None = None, reference: Reference = REFERENCE) -> Following | None:
    following = (data or Data()).follow(reference)
    if following.restore(saved):
        return following
    assert following.variants == {}
    return None


def test_after_a_restart_it_goes_on_as_without(rng: np.random.Generator) -> None:
    one, other = drifting(), restored(SAVED)
    assert other is not None
    assert list(other.variants) == ["champion", "canary-2"]
    assert other.findings == one.findings != []

    for _ in range(30):
        tables = rows(rng, 64)
        for each in (one, other):
            fed(each, *tables)
        assert other.findings == one.findings
        assert [column.nats for column in other.columns("champion")] == [
            column.nats for column in one.columns("champion")
        ]
    assert sequential(one) == []


def test_the_state_of_nobody_is_a_state() -> None:
    empty = restored(Data().follow(REFERENCE).state())

    assert empty is not None
    assert empty.variants == {}


def renamed() -> Reference:
    return learned(("other", *FEATURES[1:], "score"))


def other_rows() -> Reference:
    return reference_of(of(np.random.default_rng(9).normal(size=(5000, 21)), *FEATURES, "score"))


@pytest.mark.parametrize("reference", [renamed(), other_rows(), learned(FEATURES), only_constraints()])
def test_a_state_of_another_reference_is_refused(reference: Reference) -> None:
    assert restored(SAVED, reference=reference) is None


@pytest.mark.parametrize("data", [Data(tolerance=0.01), Data(false_alarms_per=1e5)])
def test_a_state_of_other_settings_is_refused(data: Data) -> None:
    assert restored(SAVED, data) is None


def test_other_constraints_are_no_other_reference() -> None:
    assert restored(SAVED, reference=replace(REFERENCE, constraints=Constraints([]))) is not None


def test_a_list_of_texts_that_may_not_be_whole_is_another_reference() -> None:
    """The same counts, numbers too; but a text that is not listed is new in one, and in the other as a number."""

    def of_texts(distinct: float) -> Reference:
        categories = Categories(distinct, {"a": 50, "b": 40})
        profiles = Profiles(100, [Profile("word", "String", 100, 0, categories=categories)])
        return Reference(profiles, suggested(profiles))

    following = Data().follow(of_texts(2))
    fed(following, of(np.full(2, NAN), "word", texts={0: ["a", "b"]}), nothing(2))

    assert restored(following.state(), reference=of_texts(2)) is not None
    assert restored(following.state(), reference=of_texts(3)) is None


def test_a_learned_reference_has_the_same_state_after_it_is_read_back(tmp_path: Path) -> None:
    write_folder(tmp_path, REFERENCE)
    again = read_folder(tmp_path, "")

    assert again is not None
    assert restored(SAVED, reference=again) is not None


@pytest.mark.parametrize("saved", [b"", b"x", SAVED[:31], SAVED[:32], SAVED[:-1], SAVED + b"\0", SAVED[1:]])
def test_a_state_that_is_not_whole_is_refused(saved: bytes) -> None:
    assert restored(saved) is None


def test_a_state_with_a_flipped_bit_is_refused() -> None:
    following, rng = Data().follow(REFERENCE), np.random.default_rng(4)
    for place, bit in zip(rng.integers(0, len(SAVED), 300), rng.integers(0, 8, 300), strict=True):
        damaged = bytearray(SAVED)
        damaged[place] ^= 1 << bit
        assert not following.restore(bytes(damaged))

    assert following.variants == {}


def sealed(data: bytes) -> bytes:
    """As it would come from us."""
    return sha256(Data().follow(REFERENCE)._fingerprint + data).digest() + data


def test_what_would_inflate_without_bounds_is_refused() -> None:
    """A frame of no content says that it holds one byte too many: of eight bytes, after magic number and descriptor."""
    header = b"\x28\xb5\x2f\xfd" + b"\xe0" + (MAX_BYTES + 1).to_bytes(8, "little")

    assert zstandard.frame_content_size(header) == MAX_BYTES + 1
    assert restored(sealed(header)) is None


def test_a_state_of_another_version_of_ours_is_refused() -> None:
    empty = Data().follow(REFERENCE).state()[32:]
    whole = zstandard.decompress(SAVED[32:])
    cut = whole.replace(b"champion/rows.npy", b"champion/rowz.npy")

    assert restored(sealed(empty)) is not None
    assert restored(sealed(SAVED[32:])) is not None
    assert restored(sealed(zstandard.compress(cut))) is None


def test_a_new_variant_may_come_while_the_state_is_taken(following: Following, rng: np.random.Generator) -> None:
    fed(following, *rows(rng, 10))
    (first,) = following.variants.values()

    class Slow:
        """As `first`; while its state is taken, rows of another variant are counted."""

        def state(self) -> dict[str, Array]:
            following.count("another", "3", *rows(rng, 1))
            return first.state()

    following.variants["champion"] = cast("Followed", Slow())

    found = restored(following.state())
    assert found is not None
    assert list(found.variants) == ["champion"]


def test_features_are_watched_together_where_there_is_a_sample_of_whole_rows() -> None:
    rng, names = np.random.default_rng(2), ("a", "b", "c")
    trained = of(rng.normal(size=(3000, 3)), *names)
    reference = replace(reference_of(trained), sample=trained)
    one, other = Data(false_alarms_per=1e5).follow(reference), Data(false_alarms_per=1e5).follow(reference)
    for _ in range(12):
        values = rng.normal(size=(256, 3))
        values[:, 2] = 0.9 * values[:, 0] + np.sqrt(1 - 0.9**2) * values[:, 2]
        fed(one, of(values, *names), nothing(256))

    (finding,) = one.findings
    assert (finding.key.check, finding.carriers[0].name) == ("dependence", "a ~ c")
    assert other.restore(one.state())
    assert other.findings == one.findings
    alone = Data(dependence=False).follow(reference)
    assert not alone.restore(one.state())


def test_it_knows_when_its_reference_was_taken_up() -> None:
    assert (Data().follow(REFERENCE).since_s, Data().follow(REFERENCE, 12.5).since_s) == (None, 12.5)
