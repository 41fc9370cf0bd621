from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.alerts.alertmanager import Alertmanager
from sidecar.errors import ConfigError
from sidecar.records import JSON, Key, Notice
from tests.alerts.receiver import FINDING, LINK, named, notice, posted, refused, status


def arrived(*notices: Notice, **given: object) -> list[JSON]:
    """The alerts that arrive, one a notice."""
    posts = posted(lambda url: Alertmanager(url=url, **given), *notices)  # type: ignore[arg-type]  # as a test has it
    return [alert for post in posts for alert in post.document]


@pytest.mark.parametrize("path", ["", "/", "/prefix", "/prefix//"])
def test_alerts_go_to_version_2_of_the_api(path: str) -> None:
    (post,) = posted(lambda url: Alertmanager(url=url + path), notice())

    assert (post.method, post.target) == ("POST", f"{path.rstrip('/')}/api/v2/alerts")
    assert post.headers["Content-Type"] == "application/json"
    assert "Authorization" not in post.headers


def test_an_alert_is_as_the_api_wants_it() -> None:
    assert arrived(notice(after_s=60.5)) == [
        {
            "labels": {
                "alertname": "SidecarDataSequential",
                "severity": "warning",
                "monitor": "data",
                "check": "sequential",
                "variant": "champion",
                "subject": "features",
            },
            "startsAt": "2023-11-14T22:13:20.000Z",
            "endsAt": "2023-11-15T00:14:20.500Z",  # two repeats after the notice
            "annotations": {
                "summary": "Data drift in variant champion: amount, country",
                "description": notice_text(after_s=60.5),
                "features": "amount, country",
                "version": "3",
            },
            "generatorURL": LINK,
        }
    ]


def notice_text(after_s: float) -> str:
    from sidecar.alerts.document import document

    text: str = document(notice(after_s=after_s).alert, link=LINK)["text"]
    return text


def test_repeats_and_the_end_are_known_by_the_same_labels() -> None:
    later = replace(FINDING, version="4", carriers=FINDING.carriers[:1], rows=5, sentence="Other.")

    first, repeat, end = arrived(notice(), notice(number=2, after_s=3600, finding=later), notice("resolved", 3, 7200))

    assert first["labels"] == repeat["labels"] == end["labels"]
    assert first["startsAt"] == repeat["startsAt"] == end["startsAt"]
    assert first["annotations"] != repeat["annotations"]


def test_an_alert_that_is_over_ends_when_it_was() -> None:
    (end,) = arrived(notice("resolved", after_s=7200))

    assert end["endsAt"] == "2023-11-15T00:13:20.000Z"


def test_no_alert_ends_before_it_starts_though_the_clock_goes_back() -> None:
    (end,) = arrived(notice("resolved", after_s=-3600))

    assert end["startsAt"] == end["endsAt"] == "2023-11-14T22:13:20.000Z"


def test_an_alert_that_never_fired_starts_now() -> None:
    told = notice(after_s=60)
    (alert,) = arrived(replace(told, alert=replace(told.alert, fired_s=None)))

    assert alert["startsAt"] == "2023-11-14T22:14:20.000Z"


def test_a_repeat_beyond_all_calendars_is_their_end() -> None:
    (alert,) = arrived(replace(notice(), repeat_s=float("inf")))

    assert alert["endsAt"] == "9999-12-31T23:59:59.000Z"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (Key("data", "baseline_drift_check", "a", "features"), "SidecarDataBaselineDriftCheck"),
        (Key("bias", "DPPL", "a", "features"), "SidecarBiasDPPL"),
        (Key("data", "x-y.2", "a", "features"), "SidecarDataXY2"),
    ],
)
def test_the_name_is_of_the_monitor_and_its_check(key: Key, name: str) -> None:
    (alert,) = arrived(notice(finding=replace(FINDING, key=key)))

    assert alert["labels"]["alertname"] == name


def test_labels_of_the_user_are_added() -> None:
    (alert,) = arrived(notice(), labels={"cluster": "eu", "team": "Zürich"})

    assert alert["labels"]["cluster"] == "eu"
    assert alert["labels"]["team"] == "Zürich"
    assert alert["labels"]["variant"] == "champion"


@pytest.mark.parametrize("link", ["", "unix:/run/admin.sock", "/alerts/1"])
def test_a_link_that_is_no_url_is_left_out(link: str) -> None:
    (alert,) = arrived(replace(notice(), link=link))

    assert "generatorURL" not in alert


def test_many_features_are_counted() -> None:
    (alert,) = arrived(named(*(f"f{number}" for number in range(100))))

    assert alert["annotations"]["features"].startswith("f0, f1, ")
    assert alert["annotations"]["features"].endswith(", f31, and 68 more")


@pytest.mark.parametrize("name", ['"}, {"', "\r\n", "a\ud800\0", "{{ .Labels }}", "x" * 100_000])
def test_a_name_changes_nothing_but_annotations(name: str) -> None:
    (alert,) = arrived(named(name))
    (other,) = arrived(notice())

    assert alert["labels"] == other["labels"]
    assert set(alert) == set(other)


def test_a_file_authorizes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("Basic YTpi\n")

    (post,) = posted(lambda url: Alertmanager(url=url, authorization_file=str(file)), notice())

    assert post.headers["Authorization"] == "Basic YTpi"


def test_a_refusal_is_a_failure() -> None:
    assert refused(lambda url: Alertmanager(url=url), status(400)) == ": answered 400, expected 2xx"


def test_only_the_states_asked_for_are_told() -> None:
    notices = [notice(), notice("resolved", after_s=60), notice("pending")]

    assert len(arrived(*notices)) == 2
    assert len(arrived(*notices, on=("firing",))) == 1


@pytest.mark.parametrize(
    ("given", "faulty"),
    [
        ({"url": "unix:/run/am.sock"}, ["url"]),
        ({"url": "http://am?x=1"}, ["url"]),
        ({"url": "http://am", "ca": "ca.pem"}, ["ca"]),
        ({"url": "http://am", "on": ()}, ["on"]),
        ({"url": "http://am", "labels": {"a-b": "c"}}, ["labels.a-b"]),
        ({"url": "http://am", "labels": {"__name__": "c"}}, ["labels.__name__"]),
        ({"url": "http://am", "labels": {"variant": "c"}}, ["labels.variant"]),
        ({"url": "http://am", "labels": {"a": "", "b": "\ud800", "c": "\n"}}, ["labels.a", "labels.b", "labels.c"]),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(given: dict[str, object], faulty: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Alertmanager(**given)  # type: ignore[arg-type]  # as in the table
    assert [fault.path for fault in caught.value.faults] == faulty


def test_its_url_is_shown_nowhere() -> None:
    assert "s3cret" not in repr(Alertmanager(url="https://am/s3cret"))
