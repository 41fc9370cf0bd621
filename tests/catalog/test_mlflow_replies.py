import fnmatch
from math import inf, nan

import msgspec
import pytest

from sidecar.catalog.mlflow_replies import (
    Metric,
    RunReply,
    Tag,
    VersionReply,
    as_millis,
    as_tags,
    holding,
    quoted,
    texts,
    value_of,
)


def test_fields_that_protobuf_leaves_out_have_its_defaults() -> None:
    version = msgspec.json.decode(b'{"model_version":{"name":"m","version":"3"}}', type=VersionReply, strict=False)
    assert (version.model_version.version, version.model_version.tags, version.model_version.run_id) == (3, [], "")
    run = msgspec.json.decode(b'{"run":{"info":{"run_id":"r"},"data":{}}}', type=RunReply, strict=False)
    assert (run.run.data.params, run.run.inputs.dataset_inputs, run.run.info.end_time) == ([], [], 0)


@pytest.mark.parametrize("millis", ["9" * 400, "253402300800000", "-62135596800001"])
def test_times_beyond_all_reason_are_refused(millis: str) -> None:
    text = b'{"model_version":{"name":"m","version":1,"creation_timestamp":' + millis.encode() + b"}}"
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=VersionReply, strict=False)


def test_tags_go_there_and_back() -> None:
    named = {"a": "1", "b": ""}
    assert texts(Tag(**each) for each in as_tags(named)) == named


def test_a_time_is_the_nearest_millisecond() -> None:
    assert [as_millis(time_s) for time_s in (0.0, 1.0004, 1.0006, -0.5)] == [0, 1000, 1001, -500]


@pytest.mark.parametrize(("value", "expected"), [(1.5, 1.5), (1.7976931348623157e308, inf), (-inf, -inf), (nan, nan)])
def test_the_largest_number_stands_for_infinity(value: float, expected: float) -> None:
    assert repr(value_of(Metric("m", value))) == repr(expected)


@pytest.mark.parametrize("text", ["fraud", "it's", 'a "b"', 'it\'s "b"', "a\\b", "'"])
def test_a_filter_has_no_quote_of_its_texts_but_its_own(text: str) -> None:
    word, pattern = quoted(text).split(" ", 1)
    assert pattern[0] == pattern[-1]
    assert pattern[0] not in pattern[1:-1]
    assert (pattern[1:-1] == text) if word == "=" else fnmatch.fnmatchcase(text, pattern[1:-1].replace("_", "?"))
    assert fnmatch.fnmatchcase(f'["{text}/1"]', holding(text)[6:-1].replace("%", "*").replace("_", "?"))
