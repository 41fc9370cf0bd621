from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.addresses import (
    Address,
    SocketAddress,
    UnixAddress,
    UpstreamAddress,
    parse_address,
    parse_upstream,
)

LISTENING = [
    ("0.0.0.0:8080", SocketAddress("0.0.0.0", 8080)),
    ("localhost:0", SocketAddress("localhost", 0)),
    ("model-7.svc.:65535", SocketAddress("model-7.svc.", 65535)),
    ("[::]:80", SocketAddress("::", 80)),
    ("[0:0:0:0:0:0:0:1]:80", SocketAddress("::1", 80)),
    ("unix:/run/sidecar.sock", UnixAddress("/run/sidecar.sock")),
]
NOT_LISTENING = [
    "", "8080", ":8080", "localhost:", "localhost:http", "localhost:65536", "localhost:-1", "localhost:٣", "a b:80",
    "::1:80", "[::1]", "[::g]:80", "[]:80", "999.1.1.1:80", "1.2.3:80", "a..b:80", "-a:80", "user@host:80",
    "http://localhost:80", "unix:", "unix:relative", "unix:/a\0b", "unix:/" + "x" * 107, "x" * 254 + ":80",
]  # fmt: skip
UPSTREAMS = [
    ("http://127.0.0.1:8081", UpstreamAddress("http", SocketAddress("127.0.0.1", 8081))),
    ("http://model", UpstreamAddress("http", SocketAddress("model", 80))),
    ("https://model/", UpstreamAddress("https", SocketAddress("model", 443))),
    ("https://[::1]:8443", UpstreamAddress("https", SocketAddress("::1", 8443))),
    ("https://[::1]", UpstreamAddress("https", SocketAddress("::1", 443))),
    ("unix:/run/model.sock", UpstreamAddress("http", UnixAddress("/run/model.sock"))),
    ("http+unix:///run/model.sock", UpstreamAddress("http", UnixAddress("/run/model.sock"))),
    ("http+unix://%2Frun%2fmodel.sock", UpstreamAddress("http", UnixAddress("/run/model.sock"))),
]
NOT_UPSTREAMS = [
    ("", "http://host:port"),
    ("127.0.0.1:8081", "http://host:port"),
    ("ftp://model", "http://host:port"),
    ("HTTP://model", "http://host:port"),
    ("http://", "a host"),
    ("http://:80", "a host"),
    ("http://model:0", "a port from 1"),
    ("http://model:99999", "a port from 0 to 65535"),
    ("http://model/v1", "without path"),
    ("http://model?x=1", "without path"),
    ("http://model#x", "without path"),
    ("unix:model.sock", "absolute path"),
    ("http+unix://model.sock", "absolute path"),
]


@pytest.mark.parametrize(("text", "address"), LISTENING)
def test_listening_addresses_are_read(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", NOT_LISTENING)
def test_what_is_no_address_says_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected "):
        parse_address(text)


@pytest.mark.parametrize(("url", "address"), UPSTREAMS)
def test_upstream_urls_are_read(url: str, address: UpstreamAddress) -> None:
    assert parse_upstream(url) == address


@pytest.mark.parametrize(("url", "expected"), NOT_UPSTREAMS)
def test_what_is_no_upstream_says_what_was_expected(url: str, expected: str) -> None:
    with pytest.raises(ValueError, match=r"^expected ") as caught:
        parse_upstream(url)

    assert expected in str(caught.value)


@pytest.mark.parametrize("url", ["http://user:hush@model", "ftp://user:hush@model", "http://model/?key=hush"])
def test_a_refusal_does_not_repeat_credentials(url: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        parse_upstream(url)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "loopback", "wildcard"),
    [
        ("127.0.0.1:1", True, False),
        ("127.9.9.9:1", True, False),
        ("[::1]:1", True, False),
        ("LOCALHOST:1", True, False),
        ("unix:/a", True, None),
        ("0.0.0.0:1", False, True),
        ("[::]:1", False, True),
        ("[fe80::1]:1", False, False),
        ("10.0.0.1:1", False, False),
        ("127.0.0.1.example:1", False, False),
    ],
)
def test_reach_of_an_address(text: str, loopback: bool, wildcard: bool | None) -> None:
    address = parse_address(text)

    assert address.loopback is loopback
    assert wildcard is None or (isinstance(address, SocketAddress) and address.wildcard is wildcard)


@given(
    st.builds(SocketAddress, st.ip_addresses().map(str), st.integers(0, 65535))
    | st.builds(UnixAddress, st.from_regex(r"/[a-z/]{0,50}", fullmatch=True))
)
def test_an_address_written_and_read_is_itself(address: Address) -> None:
    assert parse_address(str(address)) == address


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    for parse in (parse_address, parse_upstream):
        with suppress(ValueError):
            parse(text)
