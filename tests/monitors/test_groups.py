import math
from collections.abc import Sequence

import numpy as np
import pytest

from sidecar.monitors.groups import MAX_STRATA, FacetOf, Strata, column_of
from sidecar.payload.assembling import tabulate
from sidecar.records import Labelled, Scalar, Table
from tests.monitors.rig import nothing, of


def rows_of(cells: Sequence[Scalar], *, feature: bool = True, name: str = "x") -> Labelled:
    """Rows with one column, of a feature or of a group."""
    table, none = tabulate((name,), [[cell] for cell in cells]), nothing(len(cells))
    times_s = np.zeros(len(cells))
    features, groups = (table, none) if feature else (none, table)
    return Labelled("a", "1", times_s, times_s + 1, features, none, of(times_s, "label"), groups)


@pytest.mark.parametrize(
    ("facet", "cells", "members"),
    [
        (FacetOf(feature="x", values=("f",)), ["f", "m", None, "F"], [1, 0, -1, 0]),
        (FacetOf(feature="x", values=("f", "d")), ["f", "m", "d"], [1, 0, 1]),
        (FacetOf(feature="x", values=("1",)), [1, 0, 1.0, None, math.nan, True], [1, 0, 1, -1, -1, 1]),
        (FacetOf(feature="x", values=("1.0",)), [1, 0, "1.0", "1"], [1, 0, 1, 1]),
        (FacetOf(feature="x", values=("true",)), [True, False, "true", None], [1, 0, 1, -1]),
        (FacetOf(feature="x", values=("False",)), [True, False, 0], [0, 1, 1]),
        (FacetOf(feature="x", above=40), [40, 40.5, 39, None, "old"], [0, 1, 0, -1, -1]),
        (FacetOf(feature="x", below=0), [0, -1, 1, None, -math.inf], [0, 1, 0, -1, 1]),
        # What a column of features says is what the payload says: a text is no number there.
        (FacetOf(feature="x", above=40), ["41", 41], [-1, 1]),
    ],
)
def test_a_group_is_told_by_values_or_by_a_limit(facet: FacetOf, cells: list[Scalar], members: list[int]) -> None:
    assert facet.fault() == ""
    assert facet.members(rows_of(cells)).tolist() == members


@pytest.mark.parametrize(
    ("facet", "cells", "members"),
    [
        (FacetOf(header="X", values=("f",)), ["f", "m", "[redacted]"], [1, 0, -1]),
        (FacetOf(header="X", above=40), ["41", " 40 ", "-", "nan", None], [1, 0, -1, -1, -1]),
        (FacetOf(group="x", below=40), [39, "39", 41, True], [1, 1, 0, 1]),
    ],
)
def test_fields_of_requests_and_posted_groups_are_texts_or_numbers(
    facet: FacetOf, cells: list[Scalar], members: list[int]
) -> None:
    assert facet.fault() == ""
    assert facet.members(rows_of(cells, feature=False)).tolist() == members


def test_who_is_in_the_group_is_unknown_where_there_is_no_such_column() -> None:
    feature, header = FacetOf(feature="x", values=("f",)), FacetOf(header="x", values=("f",))

    assert feature.members(rows_of(["f"], feature=False)).tolist() == [-1]
    assert header.members(rows_of(["f"])).tolist() == [-1]
    assert FacetOf(feature="y", above=0).members(rows_of([1])).tolist() == [-1]


@pytest.mark.parametrize(
    ("facet", "fault"),
    [
        (FacetOf(), "nothing named, expected one of feature, header and group"),
        (FacetOf(feature="a", group="b", values=("f",)), "feature and group named, expected one of"),
        (FacetOf(feature="a"), "expected one of values, below and above"),
        (FacetOf(feature="a", values=("f",), above=1), "expected one of values, below and above"),
        (FacetOf(feature="a", below=0, above=1), "expected one of values, below and above"),
        (FacetOf(feature="a", above=math.nan), "expected a finite number"),
        (FacetOf(feature="a", below=math.inf), "expected a finite number"),
        (FacetOf(feature="a", below=0), ""),
    ],
)
def test_what_is_wrong_with_a_facet_is_said(facet: FacetOf, fault: str) -> None:
    assert facet.fault()[: len(fault)] == fault
    assert bool(facet.fault()) == bool(fault)


@pytest.mark.parametrize(
    ("facet", "value", "called"),
    [
        (FacetOf(feature="x", values=("f",)), "f", True),
        (FacetOf(feature="x", values=("f",)), "m", False),
        (FacetOf(feature="x", values=("1",)), "1.0", True),
        (FacetOf(feature="x", values=("f", "d")), "d, f", True),
        (FacetOf(feature="x", values=("f", "d")), "f", False),
        (FacetOf(feature="x", values=("a,b",)), "a,b", True),
        (FacetOf(feature="x", above=100), "(100.0, 2278.0]", True),
        (FacetOf(feature="x", above=100), "(100, inf)", True),
        (FacetOf(feature="x", above=100), "[100, 200]", False),
        (FacetOf(feature="x", above=100), "(101, 200]", False),
        (FacetOf(feature="x", above=100), "100", False),
        (FacetOf(feature="x", below=40), "(-inf, 40)", True),
        (FacetOf(feature="x", below=40), "[17, 40.0)", True),
        (FacetOf(feature="x", below=40), "(17, 40]", False),
        (FacetOf(feature="x", below=40), "", False),
    ],
)
def test_a_group_is_known_again_in_clarify_s_file(facet: FacetOf, value: str, called: bool) -> None:
    assert facet.is_called("x", value) == called
    assert not facet.is_called("y", value)


def test_a_column_is_found_among_features_or_groups() -> None:
    rows = rows_of(["f"])

    found = column_of(rows, "x", features=True)
    assert found is not None
    assert (found.table, found.place) == (rows.features, 0)
    assert column_of(rows, "x", features=False) is None
    assert column_of(rows, "y", features=True) is None


def test_strata_have_numbers_as_they_come_and_further_ones_share_the_last() -> None:
    strata = Strata()

    assert strata.places(["b", "a", None, "b", ""]).tolist() == [0, 1, 2, 0, 2]
    many = [f"s{number}" for number in range(MAX_STRATA)]
    assert strata.places(many).tolist() == [*range(3, MAX_STRATA), *[MAX_STRATA - 1] * 3]
    assert Strata(strata.texts).places(["a", "s0", "new"]).tolist() == [1, 3, MAX_STRATA - 1]


def test_no_rows_are_no_members() -> None:
    empty = Labelled(
        "a", "1", np.zeros(0), np.zeros(0), Table(("x",), np.empty((0, 1))), nothing(0), nothing(0), nothing(0)
    )

    assert FacetOf(feature="x", values=("f",)).members(empty).tolist() == []
    assert FacetOf(feature="x", above=1).members(empty).tolist() == []
