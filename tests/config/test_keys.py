from typing import Annotated, Literal

import pytest
from msgspec import Meta

from sidecar.config.keys import Key, keys, options, shape, table
from tests.config.parts import FAMILIES, Shelf, bin_

KEYS = {key.path: key for key in keys()}


def test_every_key_says_what_it_means_in_one_line() -> None:
    assert [path for path, key in KEYS.items() if not key.description.endswith(".") or "\n" in key.description] == []


@pytest.mark.parametrize(
    ("path", "flag", "variable", "default"),
    [
        ("listen", "--listen", "SIDECAR_LISTEN", "0.0.0.0:8080"),
        ("timeouts.connect_s", "--timeouts-connect-s", "SIDECAR_TIMEOUTS__CONNECT_S", "3.0"),
        ("headers.request_id", "--headers-request-id", "SIDECAR_HEADERS__REQUEST_ID", "true"),
        ("admin_token", "--admin-token", "SIDECAR_ADMIN_TOKEN", ""),
        ("capture.sinks", "--capture-sinks", "SIDECAR_CAPTURE__SINKS", ""),
        ("tls.cert", "--tls-cert", "SIDECAR_TLS__CERT", "required"),
        ("variants", "--variants", "SIDECAR_VARIANTS", ""),
        ("variants.<name>.tls.ca", "", "SIDECAR_VARIANTS__<NAME>__TLS__CA", ""),
        ("monitors", "--monitors", "SIDECAR_MONITORS", '[{"kind":"data"}]'),
        ("alerts.rules[].hold_s", "", "", "10.0"),
    ],
)
def test_a_key_has_a_flag_and_a_variable(path: str, flag: str, variable: str, default: str) -> None:
    key: Key = KEYS[path]

    assert (key.flag, key.variable, key.default_text) == (flag, variable, default)


@pytest.mark.parametrize(
    ("annotation", "meaning"),
    [
        (Annotated[Literal["a", "b"], Meta(description="How.")], "How. One of: a, b."),
        (Annotated[Literal["a", "b"] | None, Meta(description="How, if at all.")], "How, if at all. One of: a, b."),
        (Annotated[tuple[Literal["a", "b"], ...], Meta(description="When.")], "When. Any of: a, b."),
        (Annotated[Literal["up", "down"], Meta(description="Whether it goes up or down.")], None),
        (Annotated[str, Meta(description="A name.")], None),
        (Annotated[tuple[str, ...], Meta(description="Names.")], None),
    ],
)
def test_what_a_key_means_names_the_words_that_it_may_be(annotation: object, meaning: str | None) -> None:
    key = Key("a", annotation, required=True, default=None)

    assert key.meaning == (meaning or key.description)


def test_flags_and_variables_name_one_key_each() -> None:
    flags = [key.flag for key in KEYS.values() if key.flag]

    assert len(set(flags)) == len(flags)
    variables = [key.variable for key in KEYS.values() if key.variable]
    assert len(set(variables)) == len(variables) == sum("[" not in path for path in KEYS)


def test_the_innermost_and_the_outermost_notes_of_a_type_are_found() -> None:
    inner = shape(Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="A number.")])

    assert (inner.bare, inner.optional, inner.description) == (int, True, "A number.")
    assert [note.ge for note in inner.notes] == [None, 1]
    assert not inner.secret
    assert shape(int | str).bare == int | str


def test_options_of_a_part_are_its_keyword_only_fields() -> None:
    found = {option.name: (option.required, option.default) for option in options(Shelf)}

    assert found == {
        "path": (True, None),
        "size": (False, 10),
        "order": (False, "old"),
        "tags": (False, ()),
        "ratios": (False, []),
        "note": (False, None),
        "token": (False, ""),
    }
    assert options(bin_) == []


def test_the_table_has_a_row_for_every_key_and_option() -> None:
    rows = table(FAMILIES).splitlines()

    assert "| `limits.fields` | `200` | `SIDECAR_LIMITS__FIELDS` | Header fields of a message. |" in rows
    assert "| `capture.sinks[] kind: shelf` |  |  | Puts captures on a shelf. |" in rows
    assert "| `capture.sinks[].path` | `required` |  | Where it hangs. |" in rows
    assert "| `capture.sinks[].size` | `10` |  | How many fit. |" in rows
    assert all(any(row.startswith(f"| `{path}` |") for row in rows) for path in KEYS)
    assert {row.replace("\\|", "").count("|") for row in rows} == {5}
