from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import msgspec
import pytest
from msgspec import Meta, Struct

from sidecar.admin.expecting import SHOWN, told

Word = Literal["hold", "resume"]


class Pair(NamedTuple):
    word: Word
    number: Annotated[int, Meta(ge=1)]


@dataclass(frozen=True)
class Inner:
    pairs: Sequence[Pair] = ()
    words: Mapping[str, Word] | None = None


class Outer(Struct, forbid_unknown_fields=True):
    order: Annotated[Word, Meta(description="What to do.")]
    inner: Inner | None = None
    name: str = ""


def refused(body: bytes, kind: type[object] = Outer) -> str:
    with pytest.raises((ValueError, RecursionError)) as caught:
        msgspec.json.decode(body, type=kind)
    return told(caught.value, kind)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"order": "stop"}', "Invalid enum value 'stop' - at `$.order`; expected one of hold, resume"),
        (b'{"order": 7}', "Expected `str`, got `int` - at `$.order`; expected one of hold, resume"),
        (b'{"order": null}', "Expected `str`, got `null` - at `$.order`; expected one of hold, resume"),
        (b"{}", "Object missing required field `order`; expected one of hold, resume"),
        (
            b'{"order": "hold", "inner": {"pairs": [["hold", 1], ["stop", 1]]}}',
            "Invalid enum value 'stop' - at `$.inner.pairs[1][0]`; expected one of hold, resume",
        ),
        (
            b'{"order": "hold", "inner": {"words": {"a": "stop"}}}',
            "Invalid enum value 'stop' - at `$.inner.words[...]`; expected one of hold, resume",
        ),
        (b'{"order": "hold", "by": ""}', "Object contains unknown field `by`; expected one of order, inner, name"),
        (b'{"order": "hold", "name": 7}', "Expected `str`, got `int` - at `$.name`"),
        (
            b'{"order": "hold", "inner": {"pairs": [["hold", 0]]}}',
            "Expected `int` >= 1 - at `$.inner.pairs[0][1]`",
        ),
        (b'{"order": "hold",}', "JSON is malformed: trailing comma in object (byte 17)"),
        (b"[]", "Expected `object`, got `array`"),
    ],
)
def test_where_there_is_a_choice_it_is_told(body: bytes, expected: str) -> None:
    assert refused(body) == f"the body: {expected}"


@pytest.mark.parametrize("text", ["x" * 9000, "a` - at `$.name`", "\n\x1b[2J", "\u202e"])
def test_whatever_was_sent_the_place_and_the_choice_are_told_on_one_line(text: str) -> None:
    said = refused(msgspec.json.encode({"order": text}))
    assert said.startswith("the body: Invalid enum value ")
    assert said.endswith(" - at `$.order`; expected one of hold, resume")
    assert said.isprintable()
    assert len(said) < SHOWN + 80


def test_too_deep_a_body_is_told() -> None:
    assert refused(b"[" * 100_000, list) == "the body: nested too deeply"


def test_of_a_place_that_is_not_known_no_choice_is_made_up() -> None:
    error = msgspec.ValidationError("Invalid enum value 'a' - at `$.gone[0].order`")
    assert told(error, Outer) == "the body: Invalid enum value 'a' - at `$.gone[0].order`"
