import json
from collections.abc import Iterator
from typing import cast

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.json_schema import schema
from sidecar.config.reading import read
from tests.config.parts import FAMILIES
from tests.config.test_reading import ACCEPTED, FAULTS

SCHEMA = json.loads(msgspec.json.encode(schema(FAMILIES)))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

# What a schema cannot say: addresses are parsed, numbers are finite, and parts refuse what they want.
BEYOND = (
    "listen: expected host",
    "a number, got inf",
    "bottomless",
)


def nodes(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, dict):
        yield cast("dict[str, object]", value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        yield from nodes(item)


def test_it_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_no_object_takes_unknown_keys() -> None:
    objects = [node for node in nodes(SCHEMA) if node.get("type") == "object"]

    assert len(objects) > 10
    assert all(node["additionalProperties"] is False or "propertyNames" in node for node in objects)


def test_every_default_is_valid() -> None:
    for name, definition in SCHEMA["$defs"].items():
        for key, node in definition["properties"].items():
            if "default" in node:
                jsonschema.Draft202012Validator({**node, "$defs": SCHEMA["$defs"]}).validate(node["default"])
            else:
                assert key in definition["required"], (name, key)


@pytest.mark.parametrize("document", [document for document, _ in ACCEPTED])
def test_what_is_read_is_valid(document: object) -> None:
    assert VALIDATOR.is_valid(document)


@pytest.mark.parametrize(("document", "messages"), FAULTS)
def test_what_is_refused_is_not_valid(document: object, messages: list[str]) -> None:
    beyond = any(message in messages[0] for message in BEYOND) and document != {"listen": 8080}

    assert VALIDATOR.is_valid(document) == beyond


def test_parts_are_told_apart_by_their_kind() -> None:
    shelf = {"capture": {"sinks": [{"kind": "shelf", "path": "/x", "size": 3, "tags": ["a"]}, {"kind": "bin"}]}}

    assert VALIDATOR.is_valid(shelf)
    assert SCHEMA["$defs"]["Capture"]["properties"]["sinks"]["items"]["oneOf"][1]["properties"] == {
        "kind": {"const": "bin"}
    }
    assert SCHEMA["$defs"]["Payload"]["properties"]["format"]["enum"] == ["auto", "csv", "mlflow"]


values: st.SearchStrategy[object] = st.sampled_from(
    [None, True, 0, 1, -1, 0.5, 2.0, 1e12, "", "a", "a b", "/a", "auto", "always", "x" * 200, [], ["a"], ["/a/*"], {}]
)
sections = {
    name: sorted(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]]["properties"])
    for name, node in SCHEMA["$defs"]["Config"]["properties"].items()
    if "$ref" in node
}


@given(st.sampled_from(sorted(sections)), st.data())
def test_the_schema_and_the_reader_agree(section: str, data: st.DataObject) -> None:
    document = {section: data.draw(st.dictionaries(st.sampled_from([*sections[section], "odd"]), values, max_size=4))}

    assert VALIDATOR.is_valid(document) == (read(document, FAMILIES).faults == [])
