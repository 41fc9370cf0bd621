from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.routes import Routes
from sidecar.config.schema import Split, Variant
from sidecar.routing.aliases import followed, lasting, resolutions

NUMBERS = st.sampled_from("12345")
ALIASES = st.sampled_from(["@a", "@b", "@c"])
SAID = st.dictionaries(st.sampled_from("vwxyz"), ALIASES | NUMBERS, min_size=1)
MEANT = st.dictionaries(ALIASES, NUMBERS)


def routes(**versions: str) -> Routes:
    return Routes({name: Variant(url=f"http://{name}", version=each) for name, each in versions.items()}, Split(), None)


def behind(written: Routes, versions: Mapping[str, str]) -> dict[str, str]:
    return {name: each.version for name, each in written.resolved(versions).variants.items()}


BOTH = routes(champion="@champion", challenger="@challenger")
STOOD = {"@champion": "3", "@challenger": "4"}


@pytest.mark.parametrize(
    ("written", "versions", "meant", "expected"),
    [
        pytest.param(BOTH, {}, {}, {}, id="nobody has answered"),
        pytest.param(BOTH, {}, STOOD, STOOD, id="the first time"),
        pytest.param(BOTH, {}, {"@champion": "4", "@challenger": "4"}, dict.fromkeys(STOOD, "4"), id="both the same"),
        pytest.param(BOTH, STOOD, {"@challenger": "4"}, STOOD, id="one is gone"),
        pytest.param(BOTH, STOOD, {**STOOD, "@challenger": "5"}, {**STOOD, "@challenger": "5"}, id="a new challenger"),
        pytest.param(BOTH, STOOD, {**STOOD, "@champion": "4"}, STOOD, id="it has won"),
        pytest.param(BOTH, STOOD, {"@champion": "4", "@challenger": "3"}, STOOD, id="they have changed places"),
        pytest.param(
            BOTH,
            STOOD,
            {"@champion": "4", "@challenger": "5"},
            {"@champion": "4", "@challenger": "5"},
            id="it has won and another one comes",
        ),
        pytest.param(
            BOTH,
            STOOD,
            {"@champion": "5", "@challenger": "5"},
            {"@champion": "5", "@challenger": "4"},
            id="of two that go to the same the first has it",
        ),
        pytest.param(
            routes(a="@x", b="@x", c="4"), {"@x": "3"}, {"@x": "5"}, {"@x": "5"}, id="two of one alias go together"
        ),
        pytest.param(routes(a="@x", c="4"), {"@x": "3"}, {"@x": "4"}, {"@x": "3"}, id="who has its version by number"),
        pytest.param(routes(a="4"), {"@x": "3"}, {"@x": "5"}, {"@x": "3"}, id="nobody is called so"),
    ],
)
def test_an_alias_takes_its_variants_where_nobody_else_is(
    written: Routes, versions: dict[str, str], meant: dict[str, str], expected: dict[str, str]
) -> None:
    assert followed(written, versions, meant) == expected


@given(SAID, MEANT, MEANT)
def test_to_follow_twice_is_to_follow_once(
    said: dict[str, str], versions: dict[str, str], meant: dict[str, str]
) -> None:
    once = followed(routes(**said), versions, meant)
    assert followed(routes(**said), once, meant) == once
    assert all(once[alias] in {versions.get(alias, meant.get(alias)), meant.get(alias)} for alias in once)
    assert once.keys() >= versions.keys()


@given(SAID, MEANT, MEANT, st.lists(st.tuples(ALIASES, st.integers(0, 4)), max_size=6))
def test_aliases_that_go_to_versions_that_serve_change_nobodys(
    said: dict[str, str], versions: dict[str, str], meant: dict[str, str], moves: list[tuple[str, int]]
) -> None:
    written = routes(**said)
    now = followed(written, versions, meant)
    settled = behind(written, now)
    numbers = [version for version in settled.values() if version.isdecimal()]
    for alias, place in moves if numbers else ():
        meant = {**meant, alias: numbers[place % len(numbers)]}
        now = followed(written, now, meant)
        resolved = {name for name in settled if settled[name].isdecimal()}
        assert {name: behind(written, now)[name] for name in resolved} == {name: settled[name] for name in resolved}


def test_routes_that_come_after_keep_what_their_aliases_mean() -> None:
    assert lasting(routes(a="@x", b="@y", c="4"), {"@x": "1", "@z": "2"}) == {"@x": "1"}


def test_what_has_changed_is_told_by_variant() -> None:
    written = routes(a="@x", b="@y", c="@x", d="4")
    assert resolutions(written, {"@x": "3"}, {"@x": "4", "@y": "5", "@unused": "6"}) == [
        "variants.a.version: 3 → 4 (@x)",
        "variants.b.version: 5 (@y)",
        "variants.c.version: 3 → 4 (@x)",
    ]
    assert resolutions(written, {"@x": "3"}, {"@x": "3", "@unused": "6"}) == []
