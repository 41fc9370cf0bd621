from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.monitors.versions import KEYS, MAX_VERSIONS, VersionKey, Versions
from sidecar.stats.keeping import Array, below


class Rows:
    """What is known of a version: how many rows."""

    def __init__(self) -> None:
        self.rows = 0

    def state(self) -> dict[str, Array]:
        return {"rows": np.array(self.rows)}


def known(*keys: tuple[str, str, float]) -> Versions[Rows]:
    versions = Versions(Rows)
    for place, (variant, version, time_s) in enumerate(keys):
        versions.of(variant, version, time_s).rows += place + 1
    return versions


def restored(parts: Mapping[str, Array], into: Versions[Rows]) -> bool:
    def put_back(each: Rows, prefix: str) -> None:
        each.rows = int(below(prefix, parts)["rows"])

    return into.restore(parts, put_back)


def test_each_is_made_once() -> None:
    versions = known(("champion", "1", 1.0), ("champion", "1", 2.0))

    assert [(key, each.rows) for key, each in versions] == [(("champion", "1"), 3)]
    assert versions.get("champion", "1") is versions.of("champion", "1", 3.0)
    assert versions.get("champion", "2") is None


def test_the_latest_of_a_variant_is_the_one_that_answered_last_though_labels_of_another_came_last() -> None:
    versions = known(("champion", "2", 100.0), ("canary", "3", 50.0), ("champion", "1", 90.0), ("champion", "2", 20.0))

    assert {key for key, _ in versions.latest()} == {("champion", "2"), ("canary", "3")}


@given(st.lists(st.integers(0, 50), max_size=120))
def test_of_too_many_those_are_forgotten_that_answered_the_longest_ago(names: list[int]) -> None:
    versions = Versions(Rows)
    for name in names:
        versions.of("champion", str(name), float(name))

    assert {int(key.version) for key, _ in versions} == set(sorted(set(names))[-MAX_VERSIONS:])


def test_a_late_label_of_a_forgotten_version_does_not_drive_out_one_that_answers_still() -> None:
    versions = known(*(("champion", str(place), float(place)) for place in range(MAX_VERSIONS)))
    versions.of("champion", "ancient", -1.0).rows += 1

    assert versions.get("champion", "ancient") is None
    assert versions.get("champion", "0") is not None
    assert versions.forgotten == 1


def test_of_equally_old_ones_the_new_one_stays() -> None:
    versions = known(*(("champion", str(place), 5.0) for place in range(MAX_VERSIONS + 1)))

    assert versions.get("champion", str(MAX_VERSIONS)) is not None
    assert versions.get("champion", "0") is None


def test_they_can_be_gone_through_while_others_come() -> None:
    versions = known(("champion", "1", 1.0))
    for key, _ in versions:
        versions.of(key.variant, "2", 2.0)

    assert len(list(versions)) == 2


def test_they_go_on_from_their_state() -> None:
    versions = known(*(("champion \ud800", str(place), float(place)) for place in range(12)), ("canary", "a/b", 2.0))
    again = known(("gone", "1", 1e9))

    assert restored(versions.arrays(Rows.state), again)
    assert [(key, each.rows) for key, each in again] == [(key, each.rows) for key, each in versions]
    assert {key for key, _ in again.latest()} == {VersionKey("canary", "a/b"), VersionKey("champion \ud800", "11")}


@pytest.mark.parametrize(
    "damage",
    [
        {KEYS: np.frombuffer(b"[[1, 2]]", dtype=np.uint8)},
        {KEYS: np.frombuffer(b"[[", dtype=np.uint8)},
        {KEYS: np.frombuffer(b'[["champion", "1", 0.0], ["champion", "2", 0.0]]', dtype=np.uint8)},
        {"0/rows": np.array([1, 2])},
        {"0/rows": np.array("text")},
    ],
)
def test_a_state_that_cannot_be_read_is_refused_and_nothing_done(damage: Mapping[str, Array]) -> None:
    versions = known(("champion", "7", 1.0))

    assert not restored({**known(("champion", "1", 1.0)).arrays(Rows.state), **damage}, versions)
    assert [key for key, _ in versions] == [("champion", "7")]
    assert not restored({}, versions)


def test_a_version_of_a_clock_that_was_ahead_does_not_stay_the_latest() -> None:
    versions = known(("champion", "1", 1e9))
    versions.until(100.0)
    versions.of("champion", "2", 101.0)

    assert [key.version for key, _ in versions.latest()] == ["2"]
