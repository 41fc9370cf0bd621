import json
from math import inf, nan

import pytest

from sidecar.catalog.documents import decode
from sidecar.catalog.mlflow_replies import (
    Dataset,
    DatasetInput,
    Metric,
    RunData,
    RunDocument,
    RunInfo,
    RunInputs,
    Tag,
    VersionDocument,
)
from sidecar.catalog.mlflow_versions import (
    DECISIONS,
    DEPLOYMENTS,
    LINKS,
    LIVE,
    MAX_BYTES,
    NO_SOURCE,
    decision_tags,
    deployments,
    draft_tags,
    ended_tag,
    live_tag,
    parents,
    read_version,
    source_of,
)
from sidecar.entries import Decision, Deployment, Draft, Link, Version

NOW_S = 1_785_412_800.123456


def document(**tags: str) -> VersionDocument:
    return VersionDocument("fraud", 1, tags=[Tag(f"sidecar.{name}", text) for name, text in tags.items()])


def read(said: VersionDocument, run: RunDocument | None = None) -> Version:
    return read_version(said, run=run, aliases=(), children=())


def test_a_draft_comes_back_from_its_tags() -> None:
    draft = Draft(
        artefact="/models/7",
        digest="sha256:ab",
        framework="xgboost",
        signature=[{"a": None}],
        parameters={"p": ""},
        metrics={"a": nan, "b": -inf, "c": 0.1 + 0.2},
        reference="/reference",
        links=[Link("derived_from", "fraud/1"), Link("trained_on", "s3://d", "sha256:cd")],
        notes="ü",
    )
    tags = [Tag(name, text) for name, text in draft_tags(draft, by="ada", now_s=NOW_S).items()]
    version = read(VersionDocument("fraud", 2, description=draft.notes, source=source_of(draft), tags=tags))
    assert repr(version.draft) == repr(draft)
    assert (version.by, version.registered_s) == ("ada", NOW_S)
    assert parents(VersionDocument("fraud", 2, tags=tags)) == ["fraud/1"]


def test_an_empty_draft_says_only_who_registered_it() -> None:
    assert list(draft_tags(Draft(), by="ada", now_s=0.0)) == ["sidecar.registered"]


@pytest.mark.parametrize(
    ("artefact", "expected"),
    [
        ("s3://bucket/key", True),
        ("s3://bucket/key/", True),
        ("s3://bucket//key", True),
        ("hdfs:/a/b", True),
        ("models:/m-1", True),
        ("https://host/a?b", True),
        ("s3://bucket", False),
        ("s3://bucket/../key", False),
        ("s3://bucket/./key", False),
        ("s3://bucket/%2e%2E/key", False),
        ("", False),
        ("model.pkl", False),
        ("/models", False),
        ("file:///models", False),
        ("C:\\models", False),
        ("c:/models", False),
        ("http://[", False),
    ],
)
def test_a_source_is_what_mlflow_takes_for_one(artefact: str, expected: bool) -> None:
    assert source_of(Draft(artefact=artefact)) == (artefact if expected else NO_SOURCE)


def test_what_the_version_says_stands_before_what_its_run_says() -> None:
    run = RunDocument(RunInfo("r"), RunData([Metric("auc", 0.5), Metric("f1", 0.25)], [Tag("p", "1"), Tag("q", "2")]))
    draft = read(document(parameters='{"q":"3"}', metrics='{"f1":"NaN"}'), run).draft
    assert dict(draft.parameters) == {"p": "1", "q": "3"}
    assert repr(draft.metrics) == repr({"auc": 0.5, "f1": nan})


def test_the_data_of_a_run_are_links_unless_they_were_said() -> None:
    inputs = [
        DatasetInput(Dataset("july", "a1"), [Tag("mlflow.data.context", "Training")]),
        DatasetInput(Dataset("july", "a1"), [Tag("mlflow.data.context", "train")]),
        DatasetInput(Dataset("august", "b2"), [Tag("mlflow.data.context", "eval")]),
        DatasetInput(Dataset("june", "c3")),
    ]
    said = VersionDocument("fraud", 1, run_id="r", tags=[Tag(LINKS, '[["trained_on","june","sha256:00"]]')])
    links = read(said, RunDocument(RunInfo("r"), inputs=RunInputs(inputs))).draft.links
    assert list(links) == [
        Link("trained_on", "june", "sha256:00"),
        Link("produced_by", "r"),
        Link("trained_on", "july", "a1"),
        Link("evaluated_on", "august", "b2"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "1e999",
        "[]",
        "{}",
        '"x"',
        "[[1]]",
        '{"at":"2026-13-01T00:00:00Z","by":1}',
        '{"weight":[],"since":"yesterday"}',
        "[" * 100_000,
        "\ud800",
    ],
)
def test_a_tag_that_cannot_be_read_counts_as_none(text: str) -> None:
    names = ("registered", "decisions", "deployments", "deployment.a", "live", "links", "parameters", "metrics")
    version = read(document(**dict.fromkeys(names, text), approval=text))
    assert version == Version(
        group="fraud", number=1, draft=Draft(links=[]), registered_s=0.0, by="", decisions=[], deployments=[]
    )


@pytest.mark.parametrize(
    "at",
    [
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59.999999Z",
        "1e300",
        "-1e300",
    ],
)
def test_a_time_that_cannot_be_written_again_counts_as_none(at: str) -> None:
    whole: dict[str, str | float] = {"at": at, "since": at, "until": at, "approval": "rejected"}
    whole |= {"variant": "a", "weight": 1}
    spoiled = {name: json.dumps(whole | {"metrics": {}}) for name in ("registered", "deployment.a", "live")}
    said = document(**spoiled, decisions=json.dumps([whole]), deployments=json.dumps([whole]))
    assert read(said) == Version(
        group="fraud", number=1, draft=Draft(links=[]), registered_s=0.0, by="", decisions=[], deployments=[]
    )
    half = json.dumps([whole | {"since": "2026-07-30T00:00:00Z"}])
    assert deployments(document(deployments=half)) == []
    decided = decision_tags(said, Decision("approved", 0.0, "ada", "good"))
    assert json.loads(decided[DECISIONS])[0]["by"] == "ada"


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-00:00"])
def test_the_first_and_the_last_time_that_there_is_goes_there_and_back(at: str) -> None:
    noted = json.dumps([{"approval": "rejected", "at": at}])
    decided = decision_tags(document(decisions=noted, approval="rejected"), Decision("approved", 0.0, "ada", ""))
    assert json.loads(decided[DECISIONS])[0]["at"][:19] == at[:19]


def test_a_decision_is_kept_in_front_of_what_makes_it_hold() -> None:
    tags = decision_tags(document(), Decision("approved", 0.0, "ada", "good"))
    noted = '[{"approval":"approved","at":"1970-01-01T00:00:00.000000Z","by":"ada","why":"good"}]'
    assert list(tags.items()) == [(DECISIONS, noted), ("sidecar.approval", "approved")]


def test_a_decision_of_which_only_the_note_was_written_does_not_hold() -> None:
    tags = decision_tags(document(), Decision("approved", NOW_S, "ada", ""))
    half = document(decisions=tags[DECISIONS])
    assert read(half).approval == "approved"  # the tag is not there: nobody has said otherwise
    after = decision_tags(half, Decision("rejected", NOW_S, "bob", ""))
    half = document(decisions=after[DECISIONS], approval="approved")
    assert read(half).approval == "approved"


def test_to_decide_again_what_was_decided_changes_nothing() -> None:
    tags = decision_tags(document(), Decision("approved", NOW_S, "ada", "good"))
    said = VersionDocument("fraud", 1, tags=[Tag(*each) for each in tags.items()])
    assert decision_tags(said, Decision("approved", NOW_S + 9, "ada", "good")) == {}
    assert decision_tags(said, Decision("approved", NOW_S + 9, "bob", "good")) != {}


def test_histories_end_at_what_mlflow_takes_and_keep_the_latest() -> None:
    said = document()
    for number in range(100):
        tags = decision_tags(said, Decision("approved", NOW_S + number, "ada", f"{number}" + "é" * 50))
        ended = [Deployment("a", NOW_S + number, None, "ada", f"{number}", "", 1.0)]
        tags[DEPLOYMENTS] = ended_tag(said, ended, by="bob", why="", now_s=NOW_S + number + 1)
        assert max(len(text.encode()) for text in tags.values()) <= MAX_BYTES
        said = VersionDocument("fraud", 1, tags=[Tag(*each) for each in tags.items()])
    version = read(said)
    assert 10 < len(version.decisions) < 100
    assert [each.why[:2] for each in version.decisions][-2:] == ["98", "99"]
    assert [each.why for each in version.deployments][-2:] == ["98", "99"]


def test_an_entry_that_alone_is_too_long_is_kept() -> None:
    tags = decision_tags(document(), Decision("approved", NOW_S, "ada", "x" * 6000))
    assert len(decode(tags[DECISIONS], list[dict[str, str]])) == 1


def test_a_deployment_that_has_ended_counts_once_though_its_tag_is_still_there() -> None:
    said = document(**{"deployment.a": '{"weight":10,"since":"2026-07-30T12:00:00.123456Z"}'})
    (running,) = deployments(said)
    assert (running.variant, running.until_s, running.weight) == ("a", None, 10.0)
    said.tags.append(Tag(DEPLOYMENTS, ended_tag(said, [running], by="bob", why="worse", now_s=NOW_S + 1)))
    assert deployments(said) == [running._replace(until_s=NOW_S + 1, ended_by="bob", ended_why="worse")]


def test_what_is_measured_is_merged_and_the_oldest_names_go() -> None:
    text = live_tag(document(live='{"at":"2026-07-30T12:00:00Z","metrics":{"a":1.0,"b":2.0}}'), {"a": nan}, NOW_S)
    assert json.loads(text)["metrics"] == {"b": 2.0, "a": "NaN"}
    many = live_tag(document(live=text), {f"metric-{number:04}": 0.5 for number in range(1000)}, NOW_S)
    names = list(json.loads(many)["metrics"])
    assert len(many) <= MAX_BYTES
    assert names[-1] == "metric-0999"
    assert names == [f"metric-{number:04}" for number in range(1000 - len(names), 1000)]
    assert LIVE == "sidecar.live"
