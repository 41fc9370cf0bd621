"""What values of the configuration may be: types that name their limits, and what a refusal says was expected."""

from typing import Annotated

from msgspec import Meta

from sidecar.config.addresses import parse_address, parse_upstream

MIB = 1 << 20
LONGEST_S = 7 * 24 * 3600.0  # a limit beyond a week is a typing error: milliseconds given for seconds
END = r"(?![\s\S])"  # what `$` means in JSON Schema; Python's also stands before a last line end

_NAME = {"expected": "1 to 63 letters, digits, `_`, `.` or `-`"}
_FIELD_NAME = {"expected": "the name of a header field"}

# A folder is named after each of these: `.` and `..` would name another one.
Name = Annotated[str, Meta(pattern=r"^(?!\.{1,2}" + END + r")[A-Za-z0-9_.-]{1,63}" + END, extra=_NAME)]
Seconds = Annotated[float, Meta(gt=0, le=LONGEST_S)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Listening = Annotated[str, Meta(extra={"parse": parse_address, "expected": "host:port, [v6]:port or unix:/path"})]
Url = Annotated[
    str, Meta(extra={"parse": parse_upstream, "expected": "http://host:port, https://host:port or unix:/path"})
]
File = Annotated[str, Meta(min_length=1, extra={"expected": "a file's path"})]
FieldName = Annotated[str, Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+" + END, extra=_FIELD_NAME)]
Pointer = Annotated[
    str,
    Meta(pattern=r"^(/([^~/]|~[01])*)+" + END, extra={"expected": "a JSON pointer, as in /instances/*/card_number"}),
]
Method = Annotated[str, Meta(pattern=r"^[A-Z][A-Z-]{0,31}" + END, extra={"expected": "a method, as in POST"})]
Template = Annotated[
    str,
    Meta(pattern=r"^/([^{}?#\s]|\{[^{}/\s]+\})*" + END, extra={"expected": "a path, as in /score/{model}"}),
]
