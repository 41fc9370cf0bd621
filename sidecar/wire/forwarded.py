"""Where a request came from, for those who get it from us: `x-forwarded-for`."""

import re

_FORWARDED = re.compile(rb"\nx-forwarded-for:[ \t]*+([^\r]*)", re.IGNORECASE)
_MAPPED = b"::ffff:"


def forwarded_for(lines: bytes, address: bytes) -> bytes:
    r"""The lines with the client's address behind those that `x-forwarded-for` names already, in its last line.

    Args:
        address: IPv4 or IPv6, without port; an IPv4 address in an IPv6 one is named by itself, a zone is left out.

    Example:
        >>> forwarded_for(b"X-Forwarded-For: 10.0.0.1\r\nHost: m\r\n", b"203.0.113.7")
        b'X-Forwarded-For: 10.0.0.1, 203.0.113.7\r\nHost: m\r\n'
        >>> forwarded_for(b"Host: m\r\n", b"2001:db8::1")
        b'Host: m\r\nx-forwarded-for: 2001:db8::1\r\n'
    """
    address = address.partition(b"%")[0]
    if address.startswith(_MAPPED) and b"." in address:
        address = address[len(_MAPPED) :]
    found = list(_FORWARDED.finditer(b"\n" + lines))
    if not found:
        return b"%bx-forwarded-for: %b\r\n" % (lines, address)
    before = found[-1][1].rstrip(b" \t")
    end = found[-1].start(1) - 1 + len(before)
    return b"%b%b%b%b" % (lines[:end], b", " if before else b"", address, lines[end:])
