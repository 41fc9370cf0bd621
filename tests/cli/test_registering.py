import json
import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sidecar.__main__ import main
from sidecar.catalog.bounds import SIGNATURE_BYTES
from sidecar.catalog.digests import digest_of
from sidecar.catalog.opening import PLACE
from sidecar.catalog.sqlite import Sqlite
from sidecar.cli.asking import login
from sidecar.entries import Draft, Link, Point
from tests.catalog.contract import DIGEST, GROUP, NOW_S, register
from tests.cli.served import served

Told = pytest.CaptureFixture[str]
OTHER = "sha256:" + "b" * 64


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sqlite]:
    """An empty one, and the working directory beside it."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv(PLACE, str(tmp_path / "catalog.sqlite"))
    with closing(Sqlite(path=str(tmp_path / "catalog.sqlite"))) as made:
        yield made


def ask(*arguments: str) -> int:
    return main(["versions", "register", GROUP, *arguments])


def test_all_that_is_said_is_registered(catalog: Sqlite, capsys: Told) -> None:
    register(catalog, Draft(), group="base")
    register(catalog)
    Path("signature.json").write_text('{"inputs": [{"name": "amount"}]}')
    capsys.readouterr()

    assert (
        ask(
            *["--artefact", "s3://models/fraud/8", "--digest", DIGEST.upper(), "--framework", "xgboost 2.1"],
            *["--signature", "signature.json", "--parameter", "depth=8", "--parameter", "objective=a=b"],
            *["--metric", "auc=0.95", "--metric", "loss=nan", "--reference", "/var/reference"],
            *["--derived-from", "fraud/1", "--derived-from", "base/1", "--notes", "two\nlines", "--by", "ada"],
            *["--trained-on", f"s3://data@{OTHER}", "--trained-on", "s3://more", "--evaluated-on", "s3://test"],
        )
        == 0
    )

    assert capsys.readouterr() == ("fraud/2\n", "")
    version = catalog.version(GROUP, "2")
    draft = version.draft
    assert (version.by, version.approval) == ("ada", "pending")
    assert (draft.artefact, draft.digest, draft.framework) == ("s3://models/fraud/8", DIGEST, "xgboost 2.1")
    assert (draft.signature, draft.reference, draft.notes) == (
        {"inputs": [{"name": "amount"}]},
        "/var/reference",
        "two\nlines",
    )
    assert dict(draft.parameters) == {"depth": "8", "objective": "a=b"}
    assert (draft.metrics["auc"], math.isnan(draft.metrics["loss"])) == (0.95, True)
    assert list(draft.links) == [
        Link("derived_from", "fraud/1"),
        Link("derived_from", "base/1"),
        Link("trained_on", "s3://data", OTHER),
        Link("trained_on", "s3://more"),
        Link("evaluated_on", "s3://test"),
    ]


def test_the_digest_of_what_is_here_is_taken(catalog: Sqlite) -> None:
    Path("model").mkdir()
    Path("model/weights").write_text("w")
    Path("data.csv").write_text("a\n1\n")

    assert ask("--artefact", "model", "--trained-on", "data.csv", "--evaluated-on", f"data.csv@{OTHER}") == 0
    assert ask("--artefact", "model", "--digest", "auto") == 0
    assert ask("--artefact", "model", "--digest", OTHER) == 0
    assert [each.draft.digest for each in catalog.versions(GROUP)] == [OTHER, *[digest_of("model")] * 2]
    links = catalog.version(GROUP, "1").draft.links
    assert [link.digest for link in links] == [digest_of("data.csv"), OTHER]
    assert catalog.version(GROUP, "1").by == login()


@pytest.mark.parametrize("place", ["models:/fraud/7", "file:///models/7", "s3://gone", "oci://host/image:3"])
def test_what_has_a_scheme_may_be_anywhere(catalog: Sqlite, place: str) -> None:
    assert ask("--artefact", place) == 0
    assert [(each.draft.artefact, each.draft.digest) for each in catalog.versions(GROUP)] == [(place, "")]


def test_a_path_elsewhere_is_meant_where_its_digest_is_known_or_a_run_logged_it(catalog: Sqlite) -> None:
    run = catalog.begin(GROUP, "xgb-7", now_s=NOW_S).id
    catalog.log(run, artefacts={"model": "/of/the/trainer"}, parameters={}, points=[])

    assert ask("--artefact", "/of/another/machine", "--digest", OTHER) == 0
    assert ask("--run", run) == 0

    found = [(each.draft.artefact, each.draft.digest) for each in catalog.versions(GROUP)]
    assert found == [("/of/the/trainer", ""), ("/of/another/machine", OTHER)]


def test_a_run_fills_in_what_is_not_said(catalog: Sqlite, capsys: Told) -> None:
    run = catalog.begin(GROUP, "xgb-7", now_s=NOW_S).id
    catalog.log(
        run,
        parameters={"depth": "6"},
        points=[Point("auc", 0, 0.9, NOW_S), Point("auc", 1, 0.91, NOW_S)],
        artefacts={"model": "s3://models/fraud/7"},
    )

    assert ask("--run", run, "--json") == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["number"], told["approval"]) == (1, "pending")
    draft = catalog.version(GROUP, "1").draft
    assert (draft.artefact, dict(draft.parameters), dict(draft.metrics)) == (
        "s3://models/fraud/7",
        {"depth": "6"},
        {"auc": 0.91},
    )
    assert list(draft.links) == [Link("produced_by", run)]


def test_a_sidecar_with_a_catalogue_takes_it_too(monkeypatch: pytest.MonkeyPatch, capsys: Told) -> None:
    with served() as made:
        monkeypatch.setenv(PLACE, made.url)
        assert ask("--artefact", "s3://a", "--derived-from", "gone/1") == 1
        assert ask("--artefact", "s3://a", "--metric", "auc=inf") == 0
        assert made.sidecar.catalog.version(GROUP, "1").draft.metrics == {"auc": math.inf}
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), "gone" in err) == ("fraud/1\n", 1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ([], 64, "expected where the model is"),
        (["--run", "a" * 32], 1, f"there is no run '{'a' * 32}'"),
        (["--artefact", ""], 64, "expected where the model is"),
        (["--artefact", "modle.pkl"], 64, "--artefact: modle.pkl is not here; expected a file or folder, or its URL"),
        (["--artefact", "/of/another/machine"], 64, "--artefact: /of/another/machine is not here; expected"),
        (["--artefact", "host/image:3"], 64, "--artefact: host/image:3 is not here; expected"),
        (["--artefact", "C:\\model"], 64, "--artefact: C:\\model is not here; expected"),
        (["--artefact", "gone.pkl", "--digest", "auto"], 64, "--digest: gone.pkl is not here"),
        (["--artefact", "s3://a", "--digest", "auto"], 64, "--digest: s3://a is not here"),
        (["--artefact", "s3://a", "--digest", "md5:1"], 64, "expected auto, or sha256: and 64 hexadecimal digits"),
        (["--artefact", "x" * 5000], 64, "--artefact: "),
        (["--artefact", "circle"], 64, "--artefact: "),
        (["--artefact", "two\nlines"], 64, "--artefact: two\\nlines is not here; expected"),
        (["--artefact", "s3://two\nlines"], 64, "artefact: expected one line of text"),
        (["--artefact", "s3://a", "--parameter", "depth"], 64, "'--parameter': expected NAME=VALUE, got 'depth'."),
        (["--artefact", "s3://a", "--parameter", "a=1", "--parameter", "a=2"], 64, "a is said twice"),
        (["--artefact", "s3://a", "--metric", "auc=high"], 64, "'--metric': expected NAME=NUMBER, got 'auc=high'."),
        (["--artefact", "s3://a", "--metric", "a=1", "--metric", "a=2"], 64, "a is said twice"),
        (["--artefact", "s3://a", "--derived-from", "fraud"], 64, "links[0].target: expected the group and number"),
        (["--artefact", "s3://a", "--derived-from", "fraud/7"], 1, "fraud has no version '7'"),
        (["--artefact", "s3://a", "--trained-on", "s3://a@sha256:1"], 64, "64 hexadecimal digits"),
        (["--artefact", "s3://a", "--trained-on", "circle"], 64, "--trained-on: "),
        (["--artefact", "s3://a", "--signature", "gone.json"], 64, "--signature: gone.json: No such file or directory"),
        (["--artefact", "s3://a", "--signature", "bad.json"], 64, "--signature: bad.json: "),
        (["--artefact", "s3://a", "--signature", "deep.json"], 64, "--signature: deep.json: "),
        (["--artefact", "s3://a", "--signature", "large.json"], 64, f"expected at most {SIGNATURE_BYTES} bytes"),
        (["--artefact", "s3://a", "--by", "\udcff"], 64, "by: expected one line of text"),
        (["--artefact", "s3://a", "--notes", "\udcff"], 64, "expected"),
    ],
)
def test_what_is_refused_is_told_in_one_line_and_registers_nothing(
    catalog: Sqlite, capsys: Told, arguments: list[str], code: int, expected: str
) -> None:
    catalog.begin(GROUP, "", now_s=NOW_S)
    Path("circle").mkdir()
    Path("circle/again").symlink_to(Path("circle").resolve())
    Path("bad.json").write_text("{")
    Path("deep.json").write_text("[" * 100_000)
    Path("large.json").write_text(" " * SIGNATURE_BYTES + "1")

    assert ask(*arguments) == code

    out, err = capsys.readouterr()
    assert (out, err.count("\n"), expected in err) == ("", 1, True), err
    assert catalog.versions(GROUP) == []


@pytest.mark.parametrize("group", ["", "a/b", "..", "two\nlines", "x" * 129, "\udcff"])
def test_a_model_has_a_name_that_an_address_can_hold(catalog: Sqlite, capsys: Told, group: str) -> None:
    assert main(["versions", "register", group, "--artefact", "s3://a"]) == 64

    assert capsys.readouterr().err.startswith("group: expected letters, digits")
    assert catalog.groups() == []
