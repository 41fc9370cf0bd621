import pytest

from sidecar.routing import templates
from sidecar.routing.templates import KNOWN, Templates

MANY = 3000


@pytest.mark.parametrize("template", KNOWN)
def test_every_known_template_finds_its_own_paths(template: str) -> None:
    path = template.replace("{model}", "fraud-2.1").replace("{version}", "17").replace("{label}", "stable")

    assert Templates().find(path.encode()) == template


@pytest.mark.parametrize(
    ("target", "template"),
    [
        (b"/v2/models/fraud/infer?x=/v2/models/a/infer", "/v2/models/{model}/infer"),
        (b"/v1/models/m:predict", "/v1/models/{model}:predict"),
        (b"/v1/models/a:b:predict", "/v1/models/{model}:predict"),
        (b"/v1/models/a:b", "/v1/models/{model}"),
        (b"/v1/models/m/versions/3:predict", "/v1/models/{model}/versions/{version}:predict"),
        (b"/", "/"),
        (b"/?q", "/"),
        (b"", ""),
        (b"*", ""),
        (b"/invocations/", ""),
        (b"//invocations", ""),
        (b"/INVOCATIONS", ""),
        (b"/invocations\n", ""),
        (b"/v2/models//infer", ""),
        (b"/v2/models/a/b/infer", ""),
        (b"/\xff", ""),
        (b"/wp-login.php", ""),
    ],
)
def test_finds(target: bytes, template: str) -> None:
    assert Templates().find(target) == template


def test_ones_own_come_first_and_in_order() -> None:
    own = Templates(["/v2/models/{name}/infer", "/a/{x}", "/a/{y}", "/a.b/{id}.json"])

    assert own.find(b"/v2/models/m/infer") == "/v2/models/{name}/infer"
    assert own.find(b"/a/1") == "/a/{x}"
    assert own.find(b"/a.b/1.json") == "/a.b/{id}.json"
    assert own.find(b"/axb/1.json") == ""


def test_an_answer_is_the_same_the_second_time() -> None:
    found = Templates()

    assert [found.find(path) for path in (b"/ping", b"/x", b"/ping", b"/x")] == ["/ping", "", "/ping", ""]


def test_what_is_remembered_is_bounded() -> None:
    found = Templates()
    for number in range(MANY):
        assert found.find(b"/v1/models/%d" % number) == "/v1/models/{model}"
        found.find(b"/" + b"x" * 10_000 + b"%d" % number)

    assert len(found._remembered) <= templates._REMEMBERED_PATHS
    assert sum(map(len, found._remembered)) <= 1 << 20
