from dataclasses import replace

import pytest

from sidecar.catalog.bounds import (
    LINKS,
    NAME,
    NAMED,
    NOTES,
    SIGNATURE_BYTES,
    STEP,
    VALUE,
    check_draft,
    check_group,
    check_live,
    check_log,
    check_number,
    check_words,
)
from sidecar.entries import Draft, Link, Point
from sidecar.errors import ConfigError
from tests.catalog.contract import DIGEST, DRAFT


@pytest.mark.parametrize("group", ["fraud", "Fraud 2", "a", "a.b-c+d", "é", "_", "-a.", "..a", "x" * 128])
def test_a_group_may_be_called_so(group: str) -> None:
    check_group(group)


@pytest.mark.parametrize(
    "group", ["", ".", "..", "a  b", " a", "a ", "a/b", "a:b", "a\n", "a\0b", "@a", "a%2Fb", "\ud800", "x" * 129]
)
def test_a_group_may_not_be_called_so(group: str) -> None:
    with pytest.raises(ConfigError, match="group: expected letters"):
        check_group(group)


@pytest.mark.parametrize(
    ("draft", "path"),
    [
        (Draft(artefact="x" * (VALUE + 1)), "artefact"),
        (Draft(artefact="a\nb"), "artefact"),
        (Draft(framework="a\0b"), "framework"),
        (Draft(reference="x" * (VALUE + 1)), "reference"),
        (Draft(digest="abc"), "digest"),
        (Draft(digest=DIGEST + "\n"), "digest"),
        (Draft(notes="x" * (NOTES + 1)), "notes"),
        (Draft(notes="a\0"), "notes"),
        (Draft(notes="\ud800"), "draft"),
        (Draft(signature="x" * SIGNATURE_BYTES), "signature"),
        (Draft(signature={1, object()}), "draft"),
        (Draft(parameters={f"p{n}": "" for n in range(NAMED + 1)}), "parameters"),
        (Draft(parameters={"": ""}), "parameters"),
        (Draft(parameters={"a\nb": ""}), "parameters"),
        (Draft(parameters={"a": "x" * (VALUE + 1)}), "parameters.a"),
        (Draft(parameters={"a": 1}), "draft"),  # type: ignore[dict-item]  # from outside
        (Draft(metrics={"x" * (NAME + 1): 0.0}), "metrics"),
        (Draft(metrics={"a": "much"}), "draft"),  # type: ignore[dict-item]  # from outside
        (Draft(links=[Link("trained_on", "a")] * (LINKS + 1)), "links"),
        (Draft(links=[Link("trained_on", "")]), "links[0].target"),
        (Draft(links=[Link("trained_on", "a", "b")]), "links[0].digest"),
        (Draft(links=[Link("trained_on", "a"), Link("derived_from", "fraud/0")]), "links[1].target"),
        (Draft(links=[Link("derived_from", "fraud/01")]), "links[0].target"),
        (Draft(links=[Link("made_of", "fraud/1")]), "draft"),  # type: ignore[arg-type]  # from outside
    ],
)
def test_a_draft_is_refused_by_the_path_of_what_is_wrong(draft: Draft, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_draft(draft)
    assert [fault.path for fault in caught.value.faults] == [path]


def test_a_signature_that_is_nested_too_deeply_is_refused() -> None:
    nested: list[object] = []
    for _ in range(10_000):
        nested = [nested]
    with pytest.raises(ConfigError, match="draft: "):
        check_draft(Draft(signature=nested))


def test_every_fault_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        check_draft(Draft(digest="abc", notes="\0", parameters={"": "\0"}))
    assert [fault.path for fault in caught.value.faults] == ["digest", "notes", "parameters", "parameters."]


def test_what_just_fits_is_taken() -> None:
    check_draft(DRAFT)
    check_draft(Draft())
    names = [f"{n:0{NAME}}" for n in range(NAMED)]
    links = [Link("derived_from", "fraud/999999999")] * LINKS
    check_draft(replace(DRAFT, parameters=dict.fromkeys(names, ""), links=links, notes="x" * NOTES))
    check_log({"a": "x" * VALUE}, [Point("a", -STEP, float("nan"), 0.0)], {"a\tb"[:1]: ""})
    check_number("metrics", NAMED)
    check_words(by="Ada Lovelace", why="two\nlines", name="xgb-7")


@pytest.mark.parametrize(
    "point",
    [
        Point("", 0, 0.0, 0.0),
        Point("a\n", 0, 0.0, 0.0),
        Point("a", STEP + 1, 0.0, 0.0),
        Point("a", 0, 0.0, float("nan")),
        Point("a", 0, 0.0, float("inf")),
    ],
    ids=str,
)
def test_a_point_that_nobody_could_keep_is_refused(point: Point) -> None:
    with pytest.raises(ConfigError, match="points: "):
        check_log({}, [point], {})


def test_what_else_is_too_much_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"artefacts\.a: expected at most 6000 characters, got 6001"):
        check_log({}, [], {"a": "x" * 6001})
    with pytest.raises(ConfigError, match="live: expected at most 1000, got 1001"):
        check_live({str(n): 0.0 for n in range(1001)})
    with pytest.raises(ConfigError, match="metrics: expected at most 1000, got 1001"):
        check_number("metrics", 1001)
    with pytest.raises(ConfigError, match="by: expected one line of text"):
        check_words(by="a\r\nb")
    with pytest.raises(ConfigError, match="why: expected text"):
        check_words(why="\0")
    with pytest.raises(ConfigError, match="name: expected at most 250 characters, got 251"):
        check_words(name="x" * 251)
