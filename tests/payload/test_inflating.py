import gzip
import tracemalloc
import zlib
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import PayloadError
from sidecar.payload.inflating import MAX_MEMBERS, inflate

LIMIT_BYTES = 1 << 20
TEXT = b'{"instances": [[1, 2, 3]]}' * 50


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize(
    ("codings", "data"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("X-GZip", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("zstd", zstd(TEXT)),
        ("zstd", zstd(TEXT[:100]) + zstd(TEXT[100:])),
        ("gzip, identity , zstd", zstd(gzip.compress(TEXT))),
        ("deflate,gzip,zstd", zstd(gzip.compress(zlib.compress(TEXT)))),
    ],
)
def test_codings_are_undone_last_first(codings: str, data: bytes) -> None:
    assert inflate(data, codings, LIMIT_BYTES) == TEXT


@given(st.binary(max_size=5000), st.integers(1, 200))
def test_a_body_of_just_the_limit_passes_and_one_byte_more_does_not(unit: bytes, times: int) -> None:
    data = unit * times
    for coding, coded in (("gzip", gzip.compress(data)), ("deflate", raw_deflate(data)), ("zstd", zstd(data))):
        assert inflate(coded, coding, len(data)) == data
        if data:
            with pytest.raises(PayloadError, match="inflates beyond"):
                inflate(coded, coding, len(data) - 1)


@pytest.mark.parametrize(
    ("codings", "data"),
    [
        ("br", TEXT),
        ("gzip", TEXT),
        ("gzip", b"\x1f"),
        ("gzip", gzip.compress(TEXT)[:-1]),
        ("gzip", gzip.compress(TEXT) + b"more"),
        ("gzip", gzip.compress(b"") * (MAX_MEMBERS + 1)),
        ("deflate", zlib.compress(TEXT)[:-3]),
        ("deflate", b"\xff\xff"),
        ("deflate", b"\x78"),
        ("zstd", TEXT),
        ("zstd", zstd(TEXT)[:-3]),
        ("zstd", zstd(b"") * (MAX_MEMBERS + 1)),
        ("gzip,gzip,gzip,gzip", TEXT),
    ],
)
def test_what_is_not_in_its_coding_is_told_as_inflate(codings: str, data: bytes) -> None:
    with pytest.raises(PayloadError) as raised:
        inflate(data, codings, LIMIT_BYTES)

    assert raised.value.reason == "inflate"


@given(st.binary(), st.sampled_from(["gzip", "deflate", "zstd", "gzip, zstd"]))
def test_no_bytes_raise_anything_else(data: bytes, codings: str) -> None:
    with suppress(PayloadError):
        inflate(data, codings, LIMIT_BYTES)


def gzip_bomb(mebibytes: int) -> bytes:
    """What a full flush ends can be repeated; the checksum of a gigabyte is nothing that anybody reads on to."""
    stream = zlib.compressobj(wbits=-15)
    mebibyte = stream.compress(bytes(1 << 20)) + stream.flush(zlib.Z_FULL_FLUSH)
    return gzip.compress(b"")[:10] + mebibyte * mebibytes + stream.flush() + bytes(8)


def zstd_bomb(mebibytes: int) -> bytes:
    """A frame of run-length blocks (RFC 8878, section 3.1.1.2.3): four bytes for 128 KiB of zeros."""
    header = b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x38"  # no content size; a window of 128 KiB
    size = 1 << 17
    run = (size << 3 | 1 << 1).to_bytes(3, "little") + b"\x00"
    return header + run * (8 * mebibytes - 1) + (size << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\x00"


@pytest.mark.parametrize(
    ("codings", "bomb"),
    [
        ("gzip", gzip_bomb(1024)),
        ("zstd", zstd_bomb(1024)),
        ("gzip, gzip", gzip.compress(gzip_bomb(1024))),
        ("gzip, zstd", zstd(gzip_bomb(1024))),
        ("zstd, zstd", zstd(zstd_bomb(1024))),
    ],
)
def test_a_bomb_costs_no_more_than_the_limit_and_a_block(codings: str, bomb: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(PayloadError) as raised:
        inflate(bomb, codings, LIMIT_BYTES)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert raised.value.reason == "too_large"
    assert peak_bytes < 3 * LIMIT_BYTES + len(bomb)  # zlib hands back a copy of what it did not read


def test_the_zstd_bomb_is_a_real_one() -> None:
    assert inflate(zstd_bomb(1), "zstd", LIMIT_BYTES) == bytes(LIMIT_BYTES)


def test_a_zstd_window_beyond_what_http_allows_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=24, compression_level=1)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = stream.compress(bytes(100)) + stream.flush()

    with pytest.raises(PayloadError) as raised:
        inflate(data, "zstd", LIMIT_BYTES)

    assert raised.value.reason == "inflate"
