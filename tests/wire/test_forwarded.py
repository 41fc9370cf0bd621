import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.forwarded import forwarded_for

CLIENT = b"203.0.113.7"
CASES = {
    "nothing": (b"", b"x-forwarded-for: 203.0.113.7\r\n"),
    "other fields": (b"Host: m\r\n", b"Host: m\r\nx-forwarded-for: 203.0.113.7\r\n"),
    "one that it came by": (
        b"X-Forwarded-For: 10.0.0.1\r\nA:b\r\n",
        b"X-Forwarded-For: 10.0.0.1, 203.0.113.7\r\nA:b\r\n",
    ),
    "several": (b"x-forwarded-for:10.0.0.1,10.0.0.2\r\n", b"x-forwarded-for:10.0.0.1,10.0.0.2, 203.0.113.7\r\n"),
    "several lines": (
        b"X-Forwarded-For: 10.0.0.1\r\nHost: m\r\nx-forwarded-for: 10.0.0.2\r\nA: b\r\n",
        b"X-Forwarded-For: 10.0.0.1\r\nHost: m\r\nx-forwarded-for: 10.0.0.2, 203.0.113.7\r\nA: b\r\n",
    ),
    "an empty one": (b"X-Forwarded-For: \r\nA: b\r\n", b"X-Forwarded-For: 203.0.113.7\r\nA: b\r\n"),
    "space behind it": (b"X-Forwarded-For: a \t\r\n", b"X-Forwarded-For: a, 203.0.113.7 \t\r\n"),
    "fields that look alike": (
        b"X-X-Forwarded-For: a\r\nForwarded: for=b\r\n",
        b"X-X-Forwarded-For: a\r\nForwarded: for=b\r\nx-forwarded-for: 203.0.113.7\r\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), CASES.values(), ids=CASES.keys())
def test_the_client_stands_behind_whom_it_came_by(before: bytes, after: bytes) -> None:
    assert forwarded_for(before, CLIENT) == after


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (b"2001:db8::1", b"2001:db8::1"),
        (b"::ffff:203.0.113.7", CLIENT),
        (b"::ffff:1", b"::ffff:1"),
        (b"fe80::1%eth0", b"fe80::1"),
    ],
)
def test_an_address_is_told_as_others_know_it(address: bytes, told: bytes) -> None:
    assert forwarded_for(b"", address) == b"x-forwarded-for: %b\r\n" % told


@given(st.lists(st.sampled_from([b"Host: m", b"X-Forwarded-For: 10.0.0.1", b"x-forwarded-for:", b"A: \xff "])))
def test_one_line_changes_at_most(fields: list[bytes]) -> None:
    lines = b"".join(field + b"\r\n" for field in fields)
    after = forwarded_for(lines, CLIENT).split(b"\r\n")[:-1]
    changed = [(old, new) for old, new in zip(fields, after, strict=False) if old != new]
    assert len(after) + len(changed) == len(fields) + 1
    assert all(new.startswith(old) and new.endswith(CLIENT) for old, new in changed)
