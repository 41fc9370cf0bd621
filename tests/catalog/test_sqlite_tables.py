from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalog.bounds import NAMED
from sidecar.catalog.sqlite import Sqlite
from sidecar.catalog.sqlite_tables import HISTORY, number_of
from sidecar.entries import Draft
from tests.catalog.contract import GROUP, NOW_S, decide, deploy, deployments, register


@pytest.mark.parametrize(
    ("name", "number"),
    [("1", 1), ("999999999", 999_999_999)]
    + [(name, None) for name in ("0", "01", "", "1_0", "٣", "+1", " 1", "1\n", "1000000000", "@a")],
)
def test_a_number_is_written_in_one_way(name: str, number: int | None) -> None:
    assert number_of(name) == number


def test_of_decisions_the_latest_are_kept() -> None:
    with closing(Sqlite()) as catalog:
        register(catalog, Draft())
        for number in range(HISTORY + 5):
            decide(catalog, "1", "approved", str(number))
        version = catalog.version(GROUP, "1")
        assert [each.why for each in version.decisions] == [str(number) for number in range(5, HISTORY + 5)]


def test_a_decision_that_is_said_again_counts_once() -> None:
    with closing(Sqlite()) as catalog:
        register(catalog, Draft())
        marks = {catalog.mark(GROUP)}
        for approval in ("approved", "approved", "rejected", "approved"):
            decide(catalog, "1", approval)
            marks.add(catalog.mark(GROUP))
        assert [each.approval for each in catalog.version(GROUP, "1").decisions] == ["approved", "rejected", "approved"]
        assert len(marks) == 4


def test_of_deployments_the_latest_are_kept_and_those_that_last() -> None:
    with closing(Sqlite()) as catalog:
        register(catalog, Draft())
        deploy(catalog, 0, ("a", "1", 50.0), ("b", "1", 50.0))
        for second in range(HISTORY + 5):
            deploy(catalog, second, ("a", "1", 50.0), ("b", "1", 50.0 * (second % 2)))
        kept = deployments(catalog, "1")
        assert sum(each.until_s is not None for each in kept) <= HISTORY
        assert [(each.variant, each.since_s) for each in kept if each.variant == "a"] == [("a", NOW_S)]
        for second in range(3 * HISTORY):
            deploy(catalog, 1000 + second, ("a", "1", 50.0), ("b", "1", 50.0 * (second % 2)))
        kept = deployments(catalog, "1")
        assert sum(each.until_s is not None for each in kept) == HISTORY
        assert [each.variant for each in kept if each.until_s is None] == ["a", "b"]


def test_who_comes_back_replaces_nobody() -> None:
    with closing(Sqlite()) as catalog:
        register(catalog, Draft())
        for second, weight in enumerate((10.0, 0.0, 5.0)):
            deploy(catalog, second, ("b", "1", weight))
        assert [(each.weight, each.replaced) for each in deployments(catalog, "1")] == [(10.0, ""), (5.0, "")]


def test_a_deployment_never_ends_before_it_began() -> None:
    with closing(Sqlite()) as catalog:
        register(catalog, Draft())
        deploy(catalog, 0, ("a", "1", 100.0))
        deploy(catalog, -3600)
        assert [each.until_s for each in deployments(catalog, "1")] == [NOW_S]


def test_a_weight_that_is_no_number_is_none() -> None:
    with closing(Sqlite()) as catalog:
        register(catalog, Draft())
        deploy(catalog, 0, ("a", "1", float("nan")), ("b", "1", -1.0))
        assert deployments(catalog, "1") == []


def test_a_variant_that_is_named_twice_has_one_version() -> None:
    with closing(Sqlite()) as catalog:
        for _ in range(2):
            register(catalog, Draft())
        deploy(catalog, 0, ("a", "1", 100.0), ("a", "2", 100.0))
        assert [len(deployments(catalog, name)) for name in "12"] == [0, 1]


def test_what_is_measured_is_bounded() -> None:
    with closing(Sqlite()) as catalog:
        register(catalog, Draft())
        for start in (0, 500):
            catalog.report(GROUP, "1", {f"m{n}": float(n) for n in range(start, start + NAMED)}, now_s=NOW_S)
        assert list(catalog.version(GROUP, "1").live) == [f"m{n}" for n in range(500, 500 + NAMED)]


MOVES = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.tuples(st.sampled_from("123"), st.sampled_from([0.0, 1.0, 9.0])))
)


@given(MOVES)
def test_whatever_is_deployed_what_lasts_is_what_serves_and_times_do_not_overlap(
    moves: list[dict[str, tuple[str, float]]],
) -> None:
    with closing(Sqlite()) as catalog:
        for _ in range(2):
            register(catalog, Draft())
        for second, serving in enumerate(moves):
            deploy(catalog, second, *((variant, *each) for variant, each in serving.items()))
            known = {(variant, *each) for variant, each in serving.items() if each[0] != "3" and each[1] > 0}
            versions = catalog.versions(GROUP)
            assert known == {(at.variant, str(each.number), at.weight) for each in versions for at in each.deployed}
        every = [at for each in catalog.versions(GROUP) for at in each.deployments]
        for variant in "abc":
            times = sorted((at.since_s, at.until_s or NOW_S + 1e9) for at in every if at.variant == variant)
            assert all(first[1] <= second[0] for first, second in pairwise(times))
