import pytest

from sidecar.entries import Change
from sidecar.routing.course import DECLARED, Course, decode, encode, serving
from sidecar.routing.rollout import Progress

CHANGE = Change(1.5, "ann", "routes", 'ü "x"\n')
COURSE = Course(3, ["a"], {"variants": {"a": {"url": "http://a", "weight": 0.1}}}, CHANGE)
FULL = Course(
    4,
    ["a", "b"],
    {"variants": {}},
    CHANGE,
    challenger="b",
    progress=Progress(version="4", phase="held", step=2, since_s=1.25, reason="r", changed_s=2.5, by="bob"),
    begun_s=1e9 + 0.1,
    earlier={"variants": {"c": {}}},
    versions={"@champion": "3"},
    unfollowed={"@champion": "4"},
)


@pytest.mark.parametrize("course", [COURSE, FULL])
def test_what_is_encoded_is_decoded(course: Course) -> None:
    assert decode(encode(course)) == course
    assert encode(decode(encode(course))) == encode(course)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        encode(FULL)[:-1],
        encode(FULL).replace(b'"revision":4', b'"revision":"4"'),
        encode(FULL).replace(b'"revision":4', b'"revision":-1'),
        encode(FULL).replace(b'"revision":4', b'"revision":9007199254740993'),
        encode(FULL).replace(b'"revision":4', b'"revision":9223372036854775808'),
        encode(FULL).replace(b'"revision":4', b'"revision":' + b"9" * 99),
        encode(FULL).replace(b'[1.5,"ann"', b'[1e999,"ann"'),
        encode(FULL).replace(b'"changed_s":2.5', b'"changed_s":-1e999'),
        encode(FULL).replace(b'"held"', b'"lost"'),
        encode(FULL).replace(b'"step":2', b'"step":-1'),
        encode(FULL).replace(b'"time_s"', b'"time"') + b"x",
        encode(FULL).replace(b'"routes":{"variants":{}}', b'"routes":7'),
        encode(FULL).replace(b'"routes":{"variants":{}}', b'"routes":{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    ],
)
def test_what_is_something_else_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(document)


def test_what_a_later_version_adds_is_left() -> None:
    assert decode(encode(FULL)[:-1] + b',"later":1}') == FULL


def test_what_an_earlier_version_has_written_knows_no_aliases() -> None:
    document = encode(COURSE).replace(b',"versions":{},"unfollowed":{}', b"")
    assert b"versions" not in document
    assert decode(document) == COURSE


def test_who_serves_has_the_versions_that_aliases_mean() -> None:
    said = {"a": "@champion", "b": "@nobody", "c": "7"}
    course = COURSE.after(
        CHANGE,
        routes={"variants": {name: {"url": "http://m", "version": each} for name, each in said.items()}},
        versions={"@champion": "3"},
    )
    versions = {name: each.version for name, each in serving(course).variants.items()}
    assert versions == {"a": "3", "b": "@nobody", "c": "7"}
    assert serving(COURSE).document["variants"] == COURSE.routes["variants"]


def test_the_next_course_has_the_next_revision() -> None:
    after = COURSE.after(CHANGE._replace(who="bob"), routes={}, begun_s=7.0)
    assert (after.revision, after.change.who, after.routes, after.begun_s) == (4, "bob", {}, 7.0)
    assert (COURSE.revision, COURSE.change.who) == (3, "ann")


def test_the_latest_declarations_are_remembered_each_once() -> None:
    course = COURSE
    for name in (*map(str, range(40)), "30"):
        course = course.after(CHANGE, declared=course.declaring(name))
    assert len(course.declared) == DECLARED
    assert course.declared[-3:] == ["38", "39", "30"]
    assert course.declared.count("30") == 1
