import gzip
import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest

from sidecar.admin.guard import HEADERS
from sidecar.admin.pages import Page, policy
from tests.admin.rig import Answer, Client, Sidecar, asking, faults

PAGE = files("sidecar.admin") / "page"
STRICT = {name.lower(): value for name, value in HEADERS.items()}


def asked(path: str, method: str = "GET", **headers: str) -> Answer:
    async def ask(client: Client) -> Answer:
        return await client.get(path, method, **headers)

    return asking(Sidecar(), ask)


def test_the_page_is_html_that_is_asked_for_anew() -> None:
    answer = asked("/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.body == (PAGE / "index.html").read_bytes()


def test_the_page_may_load_its_own_files_and_its_own_inline_scripts_and_nothing_else() -> None:
    answer = asked("/")
    directives = dict(each.strip().split(" ", 1) for each in answer.headers["content-security-policy"].split(";"))
    inline = re.findall(rb"<script(?![^>]*src=)[^>]*>(.*?)</script>", answer.body, re.DOTALL)
    hashes = {f"'sha256-{b64encode(sha256(each).digest()).decode()}'" for each in inline}

    assert set(directives.pop("script-src").split()) == {"'self'"} | hashes
    assert directives == {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize(
    ("page", "scripts"),
    [
        (b"", "'self'"),
        (b'<script src="/ui/a.js"></script>', "'self'"),
        (b"<script type='module' src='/ui/a.js'></script >", "'self'"),
        (b"<SCRIPT type=importmap>{}</SCRIPT>", "'self' 'sha256-RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o='"),
        (
            b"<script>{}</script>\n<script>\n</script>",
            "'self' 'sha256-RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=' "
            "'sha256-AbpHGcgLb+kRsJGnwFEktk7uzpZOCcBY74+YBdrKVGs='",
        ),
    ],
)
def test_inline_scripts_are_allowed_by_what_they_are(page: bytes, scripts: str) -> None:
    assert f"script-src {scripts};" in policy(page)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("app.css", "text/css"),
        ("vendor/preact.mjs", "text/javascript"),
        ("vendor/uPlot.iife.min.js", "text/javascript"),
    ],
)
def test_files_have_their_type_and_the_strict_policy(path: str, kind: str) -> None:
    answer = asked(f"/ui/{path}")
    assert (answer.status, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    assert answer.body == PAGE.joinpath(path).read_bytes()
    assert answer.headers["content-security-policy"] == STRICT["content-security-policy"]


def test_what_the_browser_has_is_not_sent_again() -> None:
    first = asked("/ui/app.css")
    again = asked("/ui/app.css", If_None_Match=f'"other", W/{first.headers["etag"]}')
    changed = asked("/ui/app.css", If_None_Match='"other"')
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (changed.status, changed.body) == (200, first.body)


def test_files_are_compressed_for_those_who_read_that() -> None:
    plain, packed = asked("/ui/vendor/preact.mjs"), asked("/ui/vendor/preact.mjs", Accept_Encoding="gzip, br")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2
    assert packed.headers["etag"] != plain.headers["etag"]
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", ["/", "/ui/app.css"])
def test_head_is_get_without_a_body(path: str) -> None:
    head, get = asked(path, "HEAD"), asked(path)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", get.headers["content-length"])


@pytest.mark.parametrize(
    "path",
    [
        "nothing.js",
        "../server.py",
        "%2e%2e/server.py",
        "..%2fserver.py",
        "vendor/../../server.py",
        "%00",
        "vendor",
        "vendor/",
        "vendor/preact.LICENSE",
        "/etc/passwd",
        "x" * 5000,
    ],
)
def test_what_is_no_file_of_the_page_is_not_there(path: str) -> None:
    answer = asked(f"/ui/{path}")
    assert (answer.status, answer.json()["error"]["type"]) == (404, "not_found")
    assert faults("/ui/{path}", answer) == []


def test_what_is_written_beside_them_later_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<script>1</script>")
    page = Page(tmp_path)
    (tmp_path / "secret.js").write_text("2")
    assert page.paths == ["index.html"]


def test_all_that_the_page_names_is_there() -> None:
    named = set(re.findall(rb'"(/ui/[^"]+)"', (PAGE / "index.html").read_bytes()))
    assert named
    for path in sorted(named):
        assert PAGE.joinpath(path.decode().removeprefix("/ui/")).is_file(), path


def test_nothing_comes_from_elsewhere() -> None:
    for path in Page().paths:
        if not path.startswith("vendor/"):
            text = PAGE.joinpath(path).read_text(encoding="utf-8")
            assert not re.search(r"""(?:src|href|from|import|fetch\()\s*=?\s*["'(](?:https?:)?//""", text), path
            assert not re.search(
                r"\.innerHTML|dangerouslySetInnerHTML|\beval\(|new Function\(|<style|\son\w+=\"", text
            ), path
