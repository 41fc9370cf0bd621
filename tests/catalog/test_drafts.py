from pathlib import Path

import pytest

from sidecar.catalog.digests import digest_of
from sidecar.catalog.drafts import Said, draft_of
from sidecar.entries import Draft, Link


def test_what_is_said_is_in_the_draft() -> None:
    said: Said = {
        "artefact": "s3://models/7",
        "digest": "sha256:1",
        "framework": "xgboost 2.1",
        "signature": {"inputs": []},
        "parameters": {"depth": 6, "early": True, "none": None},
        "metrics": {"auc": 1},
        "reference": "reference",
        "links": [("trained_on", "s3://a")],  # type: ignore[list-item]  # a tuple will do
        "notes": "first",
        "derived_from": "fraud/3",
        "trained_on": "s3://b",
        "evaluated_on": "s3://c",
    }
    assert draft_of(said, Link("produced_by", "run")) == Draft(
        artefact="s3://models/7",
        digest="sha256:1",
        framework="xgboost 2.1",
        signature={"inputs": []},
        parameters={"depth": "6", "early": "True", "none": "None"},
        metrics={"auc": 1.0},
        reference="reference",
        links=(
            Link("produced_by", "run"),
            Link("trained_on", "s3://a"),
            Link("derived_from", "fraud/3"),
            Link("trained_on", "s3://b"),
            Link("evaluated_on", "s3://c"),
        ),
        notes="first",
    )


def test_nothing_is_a_draft_too() -> None:
    assert draft_of({}) == Draft()


def test_what_is_here_gets_its_digest(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("weights")
    (tmp_path / "data").mkdir()
    draft = draft_of({"artefact": tmp_path / "model", "trained_on": str(tmp_path / "data")})
    assert (draft.artefact, draft.digest) == (str(tmp_path / "model"), digest_of(tmp_path / "model"))
    assert draft.links == (Link("trained_on", str(tmp_path / "data"), digest_of(tmp_path / "data")),)


def test_a_digest_that_is_said_stands(tmp_path: Path) -> None:
    assert draft_of({"artefact": tmp_path, "digest": "sha256:1"}).digest == "sha256:1"


def test_what_cannot_be_said_is_told() -> None:
    with pytest.raises(TypeError, match="artifact"):
        draft_of({"artifact": "s3://models/7"})  # type: ignore[typeddict-unknown-key]  # a slip
