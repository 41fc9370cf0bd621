import gzip
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.errors import PayloadError
from sidecar.scraping import exposition
from sidecar.scraping.exposition import MAX_LINE_CHARACTERS, OPENMETRICS, Page, families

METER = b"# TYPE a_total counter\na_total 3\n"
NEWER = b"# TYPE a counter\na_total 3\n"


def still() -> None:
    """Needs no air."""


def read(data: bytes, media: str = "text/plain", coding: str = "", breathe: Callable[[], None] = still) -> list[str]:
    """The samples of a page, family by family."""
    return [
        f"{family.type} {sample.name} {sample.value}"
        for family in families(Page(media, coding, data), breathe)
        for sample in family.samples
    ]


@pytest.mark.parametrize(
    ("data", "media", "coding", "samples"),
    [
        (b"", "text/plain", "", []),
        (METER, "text/plain", "", ["counter a_total 3"]),
        (METER, "", "", ["counter a_total 3"]),
        (METER.replace(b"\n", b"\r\n"), "text/plain", "", ["counter a_total 3"]),
        (METER.rstrip(), "text/plain", "", ["counter a_total 3"]),
        (gzip.compress(METER), "text/plain", "gzip", ["counter a_total 3"]),
        (NEWER + b"# EOF\n", OPENMETRICS, "", ["counter a_total 3"]),
        (NEWER + b"# EOF", OPENMETRICS, "", ["counter a_total 3"]),
        (b"a 1\nb 2\na 3\n", "text/plain", "", ["unknown a 1", "unknown b 2", "unknown a 3"]),
    ],
)
def test_either_format_is_read(data: bytes, media: str, coding: str, samples: list[str]) -> None:
    assert read(data, media, coding) == samples


@pytest.mark.parametrize(
    ("data", "media", "coding", "reason"),
    [
        (b"<html><body>Not Found</body></html>", "text/html", "", "format"),
        (b'{"a": 1}', "application/json", "", "format"),
        (b'a{b="c 1\n', "text/plain", "", "format"),
        (b"a\n", "text/plain", "", "format"),
        (b"a one\n", "text/plain", "", "format"),
        (b"# TYPE a whatever\na 1\n", "text/plain", "", "format"),
        (b"# HELP a caf\xe9\na 1\n", "text/plain", "", "format"),
        (NEWER, OPENMETRICS, "", "format"),
        (b"\n", OPENMETRICS, "", "format"),
        (NEWER + NEWER + b"# EOF\n", OPENMETRICS, "", "format"),
        (METER, "text/plain", "gzip", "format"),
        (gzip.compress(METER)[:-9], "text/plain", "gzip", "format"),
        (gzip.compress(METER) * 2, "text/plain", "gzip", "format"),
        (b'a{b="' + b"c" * MAX_LINE_CHARACTERS + b'"} 1\n', "text/plain", "", "too_large"),
    ],
)
def test_what_is_neither_is_refused_by_a_word(data: bytes, media: str, coding: str, reason: str) -> None:
    with pytest.raises(PayloadError) as caught:
        read(data, media, coding)
    assert caught.value.reason == reason


def test_a_page_of_too_many_lines_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "MAX_LINES", 3)
    assert len(read(b"a 1\n" * 3)) == 3
    with pytest.raises(PayloadError) as caught:
        read(b"a 1\n" * 4)
    assert (caught.value.reason, str(caught.value)) == ("too_large", "exposition: expected at most 3 lines")


def test_a_page_that_inflates_beyond_the_bound_is_not_inflated_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "MAX_BYTES", 1000)
    with pytest.raises(PayloadError) as caught:
        read(gzip.compress(bytes(1001)), coding="gzip")
    assert (caught.value.reason, str(caught.value)) == ("too_large", "exposition: inflates beyond 1000 bytes")


def test_it_breathes_between_lines_and_may_be_stopped_there() -> None:
    breaths = 0

    def breathe() -> None:
        nonlocal breaths
        breaths += 1
        if breaths == 3:
            raise PayloadError("timeout", "enough")

    with pytest.raises(PayloadError, match="enough"):
        read(b"a 1\n" * 1000, breathe=breathe)
    assert breaths == 3


# What the grammar is made of, in any order.
_WORDS = st.sampled_from(
    [
        *(
            "# TYPE ",
            "# HELP ",
            "# UNIT ",
            "# EOF",
            "# {",
            "{count:1,sum:2",
            "{",
            "}",
            'le="1"',
            "le=",
            "quantile",
            '"',
        ),
        *("a", "a_bucket", "a_sum", "a_total", "a_info", "_", ":", ",", "=", "\\", " ", "\t", "\n", "\0", "\x85", "é"),
        *("1", "-1", "NaN", "+Inf", "1e999", "9" * 400, "seconds"),
        *("histogram", "gaugehistogram", "counter", "summary", "stateset", "info"),
    ]
)


@given(st.lists(_WORDS, max_size=40).map("".join), st.sampled_from(["", OPENMETRICS]))
@example("# TYPE a histogram\na {count:1,sum:2}\n# EOF", OPENMETRICS)
@example('# TYPE a stateset\na{b="c"} 1\n# EOF', OPENMETRICS)
def test_whatever_comes_it_is_read_or_refused(text: str, media: str) -> None:
    with suppress(PayloadError):
        read(text.encode(), media)
