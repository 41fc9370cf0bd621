from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.routes import Routes
from sidecar.config.schema import Split, Variant
from sidecar.routing.aliases import Meanings, followed, lasting, resolutions

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
SWAPPED = {"@champion": "4", "@challenger": "3"}


@pytest.mark.parametrize(
    ("written", "versions", "meant", "expected", "unfollowed"),
    [
        pytest.param(BOTH, {}, {}, {}, {}, id="nobody has answered"),
        pytest.param(BOTH, {}, STOOD, STOOD, {}, id="the first time"),
        pytest.param(BOTH, {}, {"@champion": "4", "@challenger": "4"}, dict.fromkeys(STOOD, "4"), {}, id="both as one"),
        pytest.param(BOTH, STOOD, {"@challenger": "4"}, STOOD, {}, id="one is gone"),
        pytest.param(
            BOTH, STOOD, {**STOOD, "@challenger": "5"}, {**STOOD, "@challenger": "5"}, {}, id="a new challenger"
        ),
        pytest.param(BOTH, STOOD, {**STOOD, "@champion": "4"}, STOOD, {"@champion": "4"}, id="it has won"),
        pytest.param(BOTH, STOOD, SWAPPED, STOOD, SWAPPED, id="they have changed places"),
        pytest.param(
            BOTH,
            STOOD,
            {"@champion": "4", "@challenger": "5"},
            {"@champion": "4", "@challenger": "5"},
            {},
            id="it has won and another one comes",
        ),
        pytest.param(
            BOTH,
            STOOD,
            {"@champion": "5", "@challenger": "5"},
            {"@champion": "5", "@challenger": "4"},
            {"@challenger": "5"},
            id="of two that go to the same the first has it",
        ),
        pytest.param(
            routes(a="@x", b="@x", c="4"), {"@x": "3"}, {"@x": "5"}, {"@x": "5"}, {}, id="two of one alias go together"
        ),
        pytest.param(
            routes(a="@x", c="4"), {"@x": "3"}, {"@x": "4"}, {"@x": "3"}, {"@x": "4"}, id="who has it by number"
        ),
        pytest.param(routes(a="4"), {"@x": "3"}, {"@x": "5"}, {"@x": "3"}, {}, id="nobody is called so"),
    ],
)
def test_an_alias_takes_its_variants_where_nobody_else_is(
    written: Routes,
    versions: dict[str, str],
    meant: dict[str, str],
    expected: dict[str, str],
    unfollowed: dict[str, str],
) -> None:
    assert followed(written, Meanings(versions, {}), meant) == (expected, unfollowed)


WON = Meanings(STOOD, {"@champion": "4"})
"""The challenger, to which the champion's alias was moved."""


@pytest.mark.parametrize(
    ("written", "meant", "expected"),
    [
        pytest.param(BOTH, {"@champion": "4", "@challenger": "5"}, ({**STOOD, "@challenger": "5"}, WON.unfollowed)),
        pytest.param(routes(champion="@champion", challenger="5"), {"@champion": "4"}, WON),
        pytest.param(routes(champion="@champion"), {"@champion": "4"}, WON),
        pytest.param(BOTH, {"@champion": "5"}, ({**STOOD, "@champion": "5"}, {})),
        pytest.param(BOTH, STOOD, (STOOD, {})),
        pytest.param(BOTH, {}, WON),
    ],
    ids=["another challenger", "by number", "no challenger", "moved on", "moved back", "gone"],
)
def test_who_was_not_followed_is_not_followed_later_until_it_is_moved_again(
    written: Routes, meant: dict[str, str], expected: tuple[Mapping[str, str], Mapping[str, str]]
) -> None:
    assert followed(written, WON, meant) == expected


def test_one_that_is_moved_back_and_then_where_nobody_is_any_more_is_followed() -> None:
    back = followed(BOTH, WON, STOOD)
    assert followed(routes(champion="@champion"), back, {"@champion": "4"}).versions["@champion"] == "4"


@given(SAID, MEANT, MEANT, MEANT)
def test_to_follow_twice_is_to_follow_once(
    said: dict[str, str], versions: dict[str, str], unfollowed: dict[str, str], meant: dict[str, str]
) -> None:
    once = followed(routes(**said), Meanings(versions, unfollowed), meant)
    assert followed(routes(**said), once, meant) == once
    assert all(
        version in {versions.get(alias, meant.get(alias)), meant.get(alias)} for alias, version in once.versions.items()
    )
    assert once.versions.keys() >= versions.keys()
    assert not once.unfollowed.items() & once.versions.items()


@given(SAID, SAID, MEANT, MEANT)
def test_while_no_alias_is_moved_no_version_changes_whatever_becomes_of_the_routes(
    said: dict[str, str], later: dict[str, str], versions: dict[str, str], meant: dict[str, str]
) -> None:
    now = followed(routes(**said), Meanings(versions, {}), meant)
    after = followed(routes(**later), now, meant)
    assert all(after.versions[alias] == now.versions[alias] for alias in now.versions.keys() & set(said.values()))


@given(SAID, MEANT, MEANT, st.lists(st.tuples(ALIASES, st.integers(0, 4)), max_size=6))
def test_aliases_that_go_to_versions_that_serve_change_nobodys(
    said: dict[str, str], versions: dict[str, str], meant: dict[str, str], moves: list[tuple[str, int]]
) -> None:
    written = routes(**said)
    now = followed(written, Meanings(versions, {}), meant)
    settled = behind(written, now.versions)
    numbers = [version for version in settled.values() if version.isdecimal()]
    for alias, place in moves if numbers else ():
        meant = {**meant, alias: numbers[place % len(numbers)]}
        now = followed(written, now, meant)
        resolved = {name for name in settled if settled[name].isdecimal()}
        serving = behind(written, now.versions)
        assert {name: serving[name] for name in resolved} == {name: settled[name] for name in resolved}


def test_routes_that_come_after_keep_what_their_aliases_mean() -> None:
    before = Meanings({"@x": "1", "@z": "2"}, {"@x": "3", "@z": "4"})
    assert lasting(routes(a="@x", b="@y", c="4"), before) == ({"@x": "1"}, {"@x": "3"})


def test_what_has_changed_is_told_by_variant() -> None:
    written = routes(a="@x", b="@y", c="@x", d="4")
    before = Meanings({"@x": "3"}, {"@x": "5"})
    assert resolutions(written, before, Meanings({"@x": "4", "@y": "5", "@unused": "6"}, {})) == [
        "variants.a.version: 3 → 4 (@x)",
        "variants.b.version: 5 (@y)",
        "variants.c.version: 3 → 4 (@x)",
    ]
    assert resolutions(written, before, Meanings({"@x": "3", "@unused": "6"}, {"@x": "5", "@unused": "7"})) == []


def test_of_an_alias_that_was_moved_and_is_not_followed_it_is_told_whose_version_it_means() -> None:
    written = routes(a="@x", b="@x", c="4")
    stood, moved = Meanings({"@x": "3"}, {}), Meanings({"@x": "3"}, {"@x": "4"})
    assert resolutions(written, stood, moved) == ["@x: 3 → 4, which c serves"]
    assert resolutions(written, moved, stood) == ["@x: 4 → 3, which a and b serve"]
