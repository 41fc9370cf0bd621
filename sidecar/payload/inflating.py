"""Content codings undone (RFC 9110, section 8.4), with a hard limit on what comes out.

A kilobyte may inflate to a gigabyte: the limit holds while inflating, so that no more than it and one block are held.
"""

import zlib
from collections.abc import Callable
from functools import partial

import zstandard

from sidecar.errors import PayloadError

MAX_CODINGS = 3
MAX_MEMBERS = 64  # of one gzip or zstd body: many empty ones would cost the square of its length
ZSTD_WINDOW_BYTES = 1 << 23  # what RFC 9659 allows over HTTP
ZSTD_BLOCK_BYTES = 1 << 17  # RFC 8878, section 3.1.1.2; the densest block, a run, takes four bytes
ZSTD_SLICE_BYTES = 8

_GZIP, _RAW_DEFLATE = zlib.MAX_WBITS | 16, -zlib.MAX_WBITS


def inflate(data: bytes, codings: str, limit_bytes: int) -> bytes:
    """`data` without the codings that a Content-Encoding field names, the last applied undone first.

    Raises:
        PayloadError: Reason `too_large`: more than `limit_bytes` come out, of any of the codings.
            Reason `inflate`: a coding is unknown, there are more than three, or the bytes are not in it or cut short.
    """
    names = [name for item in codings.split(",") if (name := item.strip().lower()) not in {"", "identity"}]
    if len(names) > MAX_CODINGS:
        raise PayloadError("inflate", f"content-encoding: {len(names)} codings, expected at most {MAX_CODINGS}")
    for name in reversed(names):
        if name not in _CODINGS:
            raise PayloadError("inflate", f"content-encoding: {name[:40]!r}, expected one of {', '.join(_CODINGS)}")
        try:
            data = _undo(_CODINGS[name], data, limit_bytes)
        except (zlib.error, zstandard.ZstdError) as error:
            raise PayloadError("inflate", f"body: {error}, expected {name}") from None
    return data


_Member = Callable[[bytes, int], tuple[bytes, bytes]]
"""Inflates the first member of `data` until it ends or its size passes `room`; gives it and the bytes after it."""


def _undo(member: _Member, data: bytes, limit_bytes: int) -> bytes:
    parts, room = [], limit_bytes
    for _ in range(MAX_MEMBERS):
        part, data = member(data, room)
        room -= len(part)
        if room < 0:
            raise PayloadError("too_large", f"body: inflates beyond {limit_bytes} bytes")
        parts.append(part)
        if not data:
            return b"".join(parts)
    raise PayloadError("inflate", f"body: more than {MAX_MEMBERS} members, expected one")


def _zlib_member(data: bytes, room: int, *, wbits: int) -> tuple[bytes, bytes]:
    stream = zlib.decompressobj(wbits)
    part = stream.decompress(data, room + 1)
    if not stream.eof and len(part) <= room:
        raise zlib.error("cut short")
    return part, stream.unused_data


def _deflate_member(data: bytes, room: int) -> tuple[bytes, bytes]:
    """RFC 9110 says zlib's format; some senders leave its two bytes of header (RFC 1950, section 2.2) out."""
    wrapped = len(data) > 1 and data[0] & 15 == zlib.DEFLATED and (data[0] << 8 | data[1]) % 31 == 0
    return _zlib_member(data, room, wbits=zlib.MAX_WBITS if wrapped else _RAW_DEFLATE)


def _zstd_member(data: bytes, room: int) -> tuple[bytes, bytes]:
    """Fed in slices that cannot inflate to much more than what there is room for: the library knows no limit."""
    stream = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
    parts, end = [], 0
    while end < len(data) and not stream.eof and room >= 0:
        start, end = end, end + max(ZSTD_SLICE_BYTES, room * 4 // ZSTD_BLOCK_BYTES)
        parts.append(stream.decompress(data[start:end]))
        room -= len(parts[-1])
    if not stream.eof and room >= 0:
        raise zstandard.ZstdError("cut short")
    return b"".join(parts), stream.unused_data + data[end:]


_CODINGS: dict[str, _Member] = {
    "gzip": partial(_zlib_member, wbits=_GZIP),
    "x-gzip": partial(_zlib_member, wbits=_GZIP),
    "deflate": _deflate_member,
    "zstd": _zstd_member,
}
