import base64
import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import PayloadError
from sidecar.payload.labels import MAX_ENTRIES, LabelFault, Parsed, parse_labels
from sidecar.records import Label, Scalar

JSON = "application/json"
LINES = "application/jsonlines"

Scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
Tree = st.recursive(Scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
Key = st.sampled_from(["id", "label", "groups", "metric", "value", "groundTruthData", "eventMetadata", "eventVersion"])
Truth = st.fixed_dictionaries({"data": Tree}, optional={"encoding": st.sampled_from(["CSV", "JSON", "BASE64"]) | Tree})
Entry = st.dictionaries(Key, Tree | Truth | st.fixed_dictionaries({"eventId": Tree}))


def parsed(document: object, media: str = JSON) -> Parsed:
    return parse_labels(json.dumps(document).encode(), media)


def truth(data: object, encoding: str = "CSV", **metadata: object) -> dict[str, object]:
    """A record of SageMaker's."""
    return {
        "groundTruthData": {"data": data, "encoding": encoding},
        "eventMetadata": metadata or {"eventId": "e"},
        "eventVersion": "0",
    }


def fault(document: object) -> tuple[str, str]:
    """The one fault of an entry: its field, and what is wrong."""
    found = parsed([document])
    assert found.labels == []
    [wrong] = found.faults
    return wrong.place.removeprefix("[0]").removeprefix("."), wrong.message


@pytest.mark.parametrize(
    ("entry", "label"),
    [
        ({"id": "a", "label": 1}, Label("a", (1,))),
        ({"id": "a", "label": "fraud"}, Label("a", ("fraud",))),
        ({"id": "a", "label": False}, Label("a", (False,))),
        ({"id": "a", "label": [1, 0.5, "x", True]}, Label("a", (1, 0.5, "x", True))),
        ({"id": "a", "label": 2**63}, Label("a", (2.0**63,))),
        (
            {"id": "a", "label": 1, "groups": {"age": 31, "gender": "f", "x": None}},
            Label("a", (1,), groups={"age": 31, "gender": "f", "x": None}),
        ),
        ({"id": "a", "metric": "click", "value": 1}, Label("a", (1,), "click")),
        ({"id": "a", "metric": "amount", "value": [1.5, -2]}, Label("a", (1.5, -2), "amount")),
        ({"id": "a", "metric": "m", "value": 1, "groups": {"g": True}}, Label("a", (1,), "m", {"g": True})),
        ({"id": "i" * 512, "label": 1}, Label("i" * 512, (1,))),
        (truth("1"), Label("e", (1.0,))),
        (truth("1,0"), Label("e", (1.0, 0.0))),
        (truth("1\n0\n"), Label("e", (1.0, 0.0))),
        (truth('cat, "a,b",0.5'), Label("e", ("cat", "a,b", 0.5))),
        (truth("[1, 0]", "JSON"), Label("e", (1, 0))),
        (truth('"cat"', "JSON"), Label("e", ("cat",))),
        (truth(base64.b64encode(b"1,0").decode(), "BASE64"), Label("e", (1.0, 0.0))),
        (truth(1), Label("e", (1,))),
        (truth("1", inferenceId="i"), Label("i", (1.0,))),
        (truth("1", eventId="e", inferenceId="i", inferenceTime="2026-01-01T00:00:00Z"), Label("e", (1.0,))),
        ({"groundTruthData": {"data": "1"}, "eventMetadata": {"eventId": "e"}, "more": {}}, Label("e", (1.0,))),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_an_entry_is_a_label_or_an_outcome(entry: object, label: Label) -> None:
    assert parsed(entry) == Parsed([label], [], [""])
    assert parsed([entry]) == Parsed([label], [], ["[0]"])
    assert parsed(entry, LINES) == Parsed([label], [], ["line 1"])


SCALAR = "expected a text of at most 1000 characters, a finite number, true or false"


@pytest.mark.parametrize(
    ("entry", "field", "message"),
    [
        ({}, "id", "expected a text of 1 to 512 characters"),
        ({"label": 1}, "id", "expected a text of 1 to 512 characters"),
        ({"id": "", "label": 1}, "id", "expected a text of 1 to 512 characters"),
        ({"id": "i" * 513, "label": 1}, "id", "expected a text of 1 to 512 characters"),
        ({"id": 7, "label": 1}, "id", "expected a text of 1 to 512 characters"),
        ({"id": "a"}, "label", "missing, expected label, or metric and value"),
        ({"id": "a", "label": None}, "label", f"null, {SCALAR}"),
        ({"id": "a", "label": float("nan")}, "label", f"NaN, {SCALAR}"),
        ({"id": "a", "label": float("-inf")}, "label", f"infinite, {SCALAR}"),
        ({"id": "a", "label": ""}, "label", f"empty, {SCALAR}"),
        ({"id": "a", "label": "x" * 1001}, "label", f"1001 characters, {SCALAR}"),
        ({"id": "a", "label": {}}, "label", f"an object, {SCALAR}"),
        ({"id": "a", "label": [1, [2]]}, "label[1]", f"a list, {SCALAR}"),
        ({"id": "a", "label": [1, None]}, "label[1]", f"null, {SCALAR}"),
        ({"id": "a", "label": []}, "label", "0 values, expected 1 to 10000"),
        ({"id": "a", "label": [1] * 10_001}, "label", "10001 values, expected 1 to 10000"),
        ({"id": "a", "lable": 1}, "lable", "unknown key, expected some of id, label, groups, metric, value"),
        ({"id": "a", "label": 1, "metric": "m"}, "metric", "beside label, expected label, or metric and value"),
        ({"id": "a", "label": 1, "value": 1}, "metric", "missing, expected metric and value"),
        ({"id": "a", "metric": "m"}, "value", "missing, expected metric and value"),
        ({"id": "a", "value": 1}, "metric", "missing, expected metric and value"),
        ({"id": "a", "metric": "", "value": 1}, "metric", "expected a name of 1 to 100 characters"),
        ({"id": "a", "metric": "m" * 101, "value": 1}, "metric", "expected a name of 1 to 100 characters"),
        ({"id": "a", "metric": "m", "value": "1"}, "value", '"1", expected a number'),
        ({"id": "a", "metric": "m", "value": [1, True]}, "value[1]", "true, expected a number"),
        ({"id": "a", "metric": "m", "value": None}, "value", f"null, {SCALAR}"),
        ({"id": "a", "label": 1, "groups": []}, "groups", "expected an object of at most 50 scalars"),
        (
            {"id": "a", "label": 1, "groups": {str(number): 1 for number in range(51)}},
            "groups",
            "expected an object of at most 50 scalars",
        ),
        ({"id": "a", "label": 1, "groups": {"": 1}}, "groups", "'': expected names of 1 to 100 characters"),
        ({"id": "a", "label": 1, "groups": {"g": [1]}}, "groups.g", f"a list, {SCALAR}"),
        (truth(""), "groundTruthData.data", "0 values, expected 1 to 10000"),
        (truth("1,,0"), "groundTruthData.data[1]", f"null, {SCALAR}"),
        (truth("nan"), "groundTruthData.data[0]", f"NaN, {SCALAR}"),
        (truth("1," * 10_001), "groundTruthData.data", "10001 values, expected 1 to 10000"),
        (truth('"1'), "groundTruthData.data", "unexpected end of data, expected CSV"),
        (truth("[", "JSON"), "groundTruthData.data", "unexpected end of data: line 1 column 2 (char 1)"),
        (truth("1", "BASE64"), "groundTruthData.data", "Invalid base64-encoded string"),
        (truth("é", "BASE64"), "groundTruthData.data", "string argument should contain only ASCII characters"),
        (truth("/w==", "BASE64"), "groundTruthData.data", "'utf-8' codec can't decode byte 0xff"),
        (truth("1", "XML"), "groundTruthData.encoding", "expected CSV, JSON or BASE64"),
        (truth("1", eventID="e"), "eventMetadata.eventId", "expected a text of 1 to 512 characters"),
        ({"groundTruthData": {"data": "1"}}, "eventMetadata", "expected an object with eventId"),
        (
            {"groundTruthData": "1", "eventMetadata": {"eventId": "e"}},
            "groundTruthData",
            "expected an object with data and encoding",
        ),
        (1, "", "expected an object with id and label"),
        ([{"id": "a", "label": 1}], "", "expected an object with id and label"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_bad_entry_is_a_fault_that_names_its_field(entry: object, field: str, message: str) -> None:
    told = fault(entry)
    assert told[0] == field
    assert told[1].startswith(message)


def test_label_and_value_may_not_be_in_one_entry() -> None:
    assert fault({"id": "a", "label": 1, "metric": "m", "value": 1})[0] == "metric"


def test_a_bad_entry_does_not_hold_back_the_others() -> None:
    entries = [{"id": "a", "label": 1}, {"id": "b", "label": [1, None]}, 3, {"id": "c", "label": 0}]

    assert parsed(entries) == Parsed(
        [Label("a", (1,)), Label("c", (0,))],
        [
            LabelFault("[1].label[1]", "b", f"null, {SCALAR}", 1),
            LabelFault("[2]", None, "expected an object with id and label", 2),
        ],
        ["[0]", "[3]"],
    )


MIXED = b'{"id": "a", "label": 1}\r\n\n{"id": \n\xff\n{"id": "b", "lable": 1}\n{"id": "c", "label": 0}'


@pytest.mark.parametrize("media", [LINES, "application/x-ndjson", "application/x-jsonlines", JSON])
def test_lines_are_read_one_by_one(media: str) -> None:
    found = parse_labels(MIXED, media)

    assert (found.labels, found.places) == ([Label("a", (1,)), Label("c", (0,))], ["line 1", "line 6"])
    assert [(each.place, each.id, each.order) for each in found.faults] == [
        ("line 3", None, 1),
        ("line 4", None, 2),
        ("line 5, lable", "b", 3),
    ]


def test_forms_may_be_mixed() -> None:
    entries = [truth("1"), {"id": "a", "label": 1}, {"id": "a", "metric": "m", "value": 2}]

    assert [(each.id, each.metric) for each in parsed(entries).labels] == [("e", ""), ("a", ""), ("a", "m")]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse_labels(b'\xef\xbb\xbf{"id": "a", "label": 1}', LINES).labels == [Label("a", (1,))]


def test_a_list_may_be_empty() -> None:
    assert parse_labels(b"[]", JSON) == Parsed([], [], [])


@pytest.mark.parametrize(
    ("data", "media", "reason"),
    [
        (b"", JSON, "empty"),
        (b" \n ", LINES, "empty"),
        (b"{", JSON, "json"),
        (b'{\n"id": "a",\n"label": 1\n', JSON, "json"),
        (b"{\n{", LINES, "json"),
        (b"id,label\na,1\n", JSON, "json"),
        (b"[" * 100_000, JSON, "json"),
        (b"1", JSON, "shape"),
        (b"null", JSON, "shape"),
        (b"[" + b"1," * MAX_ENTRIES + b"1]", JSON, "too_large"),
        (b"1\n" * (MAX_ENTRIES + 1), LINES, "too_large"),
        (b"\n" * (8 << 20) + b"1", LINES, "too_large"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_not_readable_at_all_is_a_payload_error(data: bytes, media: str, reason: str) -> None:
    with pytest.raises(PayloadError) as raised:
        parse_labels(data, media)

    assert raised.value.reason == reason
    assert len(str(raised.value)) < 400


def test_numbers_beyond_a_double_are_faults_though_json_may_have_them() -> None:
    """The reader that allows NaN gives integers of any length."""
    found = parse_labels(b'[{"id": "a", "label": ' + b"1" * 4000 + b'}, {"id": "b", "label": NaN}]', JSON)

    assert [each.place for each in found.faults] == ["[0].label", "[1].label"]


def test_what_is_told_of_a_bad_entry_is_short_and_showable() -> None:
    found = parsed([{"id": "a", "x" * 10_000: 1}, {"id": "a", "\n\u202e": 1}])

    assert [len(each.place) < 60 and each.place.isprintable() for each in found.faults] == [True, True]


@given(st.binary() | st.text('[]{},:"\\uNan0idlabe \n').map(str.encode), st.sampled_from([JSON, LINES]))
def test_no_bytes_raise_anything_but_a_payload_error(data: bytes, media: str) -> None:
    with suppress(PayloadError):
        parse_labels(data, media)


@settings(max_examples=40)
@given(st.lists(Entry | Tree, max_size=5))
def test_every_entry_is_a_label_or_a_fault(entries: list[object]) -> None:
    found = parsed(entries)

    assert len(found.labels) + len(found.faults) == len(entries)
    assert len(found.places) == len(found.labels)
    taken = {int(place[1:-1]) for place in found.places}
    assert taken.isdisjoint(each.order for each in found.faults)


Value = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.lists(Value, min_size=1, max_size=9))
def test_what_was_posted_is_what_is_read(name: str, values: list[Scalar]) -> None:
    found = parsed({"id": name, "label": values})

    assert repr(found.labels) == repr([Label(name, tuple(values))])


def test_ten_thousand_labels_take_a_fraction_of_a_second() -> None:
    data = b"".join(b'{"id": "%032d", "label": 1}\n' % number for number in range(10_000))
    start_s = time.process_time()

    found = parse_labels(data, LINES)

    assert len(found.labels) == 10_000
    assert time.process_time() - start_s < 1
