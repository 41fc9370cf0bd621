import json
import math
from dataclasses import replace
from typing import get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.alerts.document import FEATURES, NAME_LENGTH, document, timestamp, title
from sidecar.records import JSON, Alert, Carrier, Finding, Key, Subject

LINK = "http://127.0.0.1:9901/alerts"
STARTED_S = 1_700_000_000.0
MAX_BYTES = 60 << 10

AMOUNT = Carrier(
    "amount",
    share=0.75,
    statistic=0.35,
    threshold=0.0025,
    sentence="above 120: 20 % → 55 %",
    nats=17.25,
    needed_nats=13.8155,
    since_s=STARTED_S - 90,
    rows=1200,
)
COUNTRY = Carrier("country", share=0.25, statistic=0.125, threshold=math.nan, sentence="'BR': 2 % → 19 %", p_value=2e-7)
ALERT = Alert(
    id="0123456789abcdef",
    state="firing",
    severity="critical",
    finding=Finding(
        Key("data", "sequential", "champion", "features"),
        "3",
        (AMOUNT, COUNTRY),
        1200,
        10_000,
        "features of champion have drifted: amount, country",
    ),
    pending_s=STARTED_S,
    fired_s=STARTED_S + 10.25,
    told_s=STARTED_S + 10.25,
    told=1,
)
RESOLVED = replace(
    ALERT, state="resolved", gone_s=STARTED_S + 600, resolved_s=STARTED_S + 660, told_s=STARTED_S + 660, told=2
)


def about(**fields: object) -> Alert:
    """The alert, with these fields of its finding."""
    return replace(ALERT, finding=replace(ALERT.finding, **fields))  # type: ignore[arg-type]  # the test names them


def carriers(*names: str) -> tuple[Carrier, ...]:
    return tuple(replace(AMOUNT, name=name) for name in names)


def features(alert: Alert) -> JSON:
    return document(alert, link=LINK)["features"]


def test_a_document_has_all_that_is_known_of_the_alert() -> None:
    assert document(ALERT, link=LINK) == {
        "id": "0123456789abcdef",
        "state": "firing",
        "severity": "critical",
        "monitor": "data",
        "check": "sequential",
        "variant": "champion",
        "version": "3",
        "subject": "features",
        "title": "Data drift in variant champion: amount, country",
        "text": "features of champion have drifted: amount, country. Variant champion, version 3, by sequential: amount"
        " 35 % of the rows have moved (evidence 17.25 against 13.82 nats); country 12.5 % of the rows have moved"
        " (p = 2e-07)."
        " Since 2023-11-14T22:11:50.000Z: 1,200 rows, compared with 10,000 of the reference.",
        "cause": "",
        "reason": "",
        "since": "2023-11-14T22:11:50.000Z",
        "pending": "2023-11-14T22:13:20.000Z",
        "fired": "2023-11-14T22:13:30.250Z",
        "gone": None,
        "resolved": None,
        "silenced_until": None,
        "rows": 1200,
        "reference_rows": 10_000,
        "features": [
            {
                "name": "amount",
                "share": 0.75,
                "statistic": 0.35,
                "threshold": 0.0025,
                "evidence_nats": 17.25,
                "needed_nats": 13.8155,
                "p_value": None,
                "since": "2023-11-14T22:11:50.000Z",
                "rows": 1200,
                "text": "above 120: 20 % → 55 %",
            },
            {
                "name": "country",
                "share": 0.25,
                "statistic": 0.125,
                "threshold": None,
                "evidence_nats": None,
                "needed_nats": None,
                "p_value": 2e-7,
                "since": None,
                "rows": 0,
                "text": "'BR': 2 % → 19 %",
            },
        ],
        "features_omitted": 0,
        "link": LINK,
    }


def test_a_resolved_alert_says_until_when_it_was() -> None:
    found = document(RESOLVED, link=LINK)
    assert (found["gone"], found["resolved"]) == ("2023-11-14T22:23:20.000Z", "2023-11-14T22:24:20.000Z")
    assert found["title"] == "Resolved: Data drift in variant champion: amount, country"
    assert found["text"].startswith("Resolved at 2023-11-14T22:24:20.000Z. features of champion have")
    assert "From 2023-11-14T22:11:50.000Z to 2023-11-14T22:23:20.000Z: 1,200 rows" in found["text"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"version": ""}, "Variant champion, by sequential: amount"),
        ({"carriers": (replace(AMOUNT, since_s=None),)}, "Since 2023-11-14T22:13:20.000Z: 1,200 rows"),
        ({"carriers": (replace(COUNTRY, statistic=0.0),)}, ": country 0 % of the rows have moved (p = 2e-07). "),
        (
            {"carriers": (replace(COUNTRY, threshold=0.0, p_value=0.0),)},
            ": country 12.5 % of the rows have moved (p = 0). ",
        ),
        ({"carriers": (replace(COUNTRY, statistic=math.nan, threshold=0.1),)}, ": country (p = 2e-07). "),
        ({"carriers": (replace(COUNTRY, statistic=math.inf, p_value=math.nan),)}, ", by sequential: country. "),
        (
            {"carriers": (replace(AMOUNT, needed_nats=None),)},
            ": amount 35 % of the rows have moved (evidence 17.25 nats). ",
        ),
        ({"carriers": (replace(AMOUNT, nats=math.inf),)}, ": amount 35 % of the rows have moved. "),
        (
            {"carriers": carriers(*"abcdefg")},
            "; e 35 % of the rows have moved (evidence 17.25 against 13.82 nats) and 2 more. ",
        ),
        ({"carriers": ()}, "Variant champion, version 3, by sequential. "),
        ({"rows": 1, "reference_rows": 0}, "Z: 1 row."),
        ({"rows": 0, "reference_rows": 0}, "Z: no rows."),
        ({"sentence": "What is that? "}, "What is that? Variant champion"),
        ({"sentence": ""}, "Variant champion, version 3"),
    ],
)
def test_the_text_says_what_there_is_to_say(fields: dict[str, object], text: str) -> None:
    assert text in document(about(**fields), link=LINK)["text"]


def test_a_text_without_a_sentence_begins_with_the_next() -> None:
    assert document(about(sentence=""), link=LINK)["text"].startswith("Variant champion, version 3, by")


TITLES: list[tuple[str, str, Subject, str]] = [
    ("data", "psi", "features", "Data drift in variant champion: amount, country"),
    ("data", "baseline_drift_check", "features", "Data drift in variant champion: amount, country"),
    ("data", "sequential", "predictions", "Prediction drift in variant champion: amount, country"),
    ("data", "missing_column_check", "features", "Missing column check in variant champion: amount, country"),
    ("data", "data_type_check", "predictions", "Data type check of predictions in variant champion: amount, country"),
    ("quality", "F1", "predictions", "Quality F1 of predictions in variant champion: amount, country"),
    ("bias", "DPPL", "features", "Bias DPPL in variant champion: amount, country"),
    ("quality", "performance", "quality", "Worse quality in variant champion: amount, country"),
    ("quality", "champion", "quality", "Worse than the champion in variant champion: amount, country"),
    (
        "quality",
        "LessThanThreshold",
        "quality",
        "Quality metric below its limit in variant champion: amount, country",
    ),
    (
        "quality",
        "GreaterThanThreshold",
        "quality",
        "Quality metric above its limit in variant champion: amount, country",
    ),
    ("bias", "bias_drift_check", "groups", "Bias drift in variant champion: amount, country"),
    (
        "attribution",
        "feature_attribution_drift_check",
        "features",
        "Attribution drift in variant champion: amount, country",
    ),
    ("data", "performance", "features", "Data drift in variant champion: amount, country"),
]


@pytest.mark.parametrize(("monitor", "check", "subject", "expected"), TITLES)
def test_a_title_says_what_and_where(monitor: str, check: str, subject: Subject, expected: str) -> None:
    assert title(about(key=Key(monitor, check, "champion", subject))) == expected


@pytest.mark.parametrize(
    ("monitor", "check", "cause", "headline"),
    [
        ("data", "sequential", "", "Data drift"),
        ("data", "sequential", "inputs", "Data drift"),
        ("data", "sequential", "relation", "Data drift and concept drift"),
        ("data", "dependence", "both", "Data drift and concept drift"),
        ("data", "sequential", "pipeline", "Broken data pipeline"),
        ("quality", "performance", "", "Worse quality"),
        ("quality", "performance", "inputs", "Worse quality (moved inputs)"),
        ("quality", "performance", "relation", "Concept drift"),
        ("quality", "performance", "both", "Concept drift and moved inputs"),
        ("quality", "performance", "pipeline", "Changed quality (broken data pipeline)"),
        ("quality", "champion", "relation", "Worse than the champion (concept drift)"),
        ("quality", "LessThanThreshold", "", "Quality metric below its limit"),
        ("quality", "LessThanThreshold", "inputs", "Quality metric below its limit (moved inputs)"),
        ("quality", "LessThanThreshold", "relation", "Quality metric below its limit (concept drift)"),
        ("quality", "GreaterThanThreshold", "both", "Quality metric above its limit (concept drift and moved inputs)"),
        ("quality", "GreaterThanThreshold", "pipeline", "Quality metric above its limit (broken data pipeline)"),
        ("bias", "bias_drift_check", "", "Bias drift"),
        ("bias", "bias_drift_check", "inputs", "Bias drift (moved inputs)"),
        ("odd {what}", "{cause}", "inputs", "Odd {what} {cause} (moved inputs)"),
        ("data", "sequential", "the moon", "Data drift"),
    ],
)
def test_a_title_says_why_where_that_is_known(monitor: str, check: str, cause: str, headline: str) -> None:
    alert = about(key=Key(monitor, check, "champion", "features"), cause=cause, carriers=())
    assert title(alert) == f"{headline} in variant champion"


MOVED = "labels are not what the inputs make one expect"


@pytest.mark.parametrize(
    ("cause", "reason", "told"),
    [
        ("relation", MOVED, "Cause: concept drift. Labels are not what the inputs make one expect. "),
        (
            "inputs",
            "inputs moved: amount; given these, the labels of 800 rows are as expected",
            "Cause: moved inputs. Inputs moved: amount; given these, the labels of 800 rows are as expected. ",
        ),
        ("both", "inputs moved (amount)", "Cause: concept drift and moved inputs. Inputs moved (amount). "),
        (
            "pipeline",
            "the pipeline that brings the values broke: amount (values are missing)",
            "Cause: broken data pipeline. The pipeline that brings the values broke: amount (values are missing). ",
        ),
        ("relation", "", "Cause: concept drift. "),
        ("", MOVED, ""),
        ("the moon", MOVED, ""),
    ],
)
def test_the_text_names_the_cause_and_how_it_is_known(cause: str, reason: str, told: str) -> None:
    found = document(about(cause=cause, reason=reason), link=LINK)
    start = "features of champion have drifted: amount, country. "
    assert found["text"].startswith(f"{start}{told}Variant champion, version 3, by sequential: amount 35 %")
    assert (found["cause"], found["reason"]) == (cause if cause != "the moon" else "", reason)


def test_a_fall_of_quality_reads_well() -> None:
    carrier = replace(
        AMOUNT, name="wrong answers", share=1.0, statistic=0.121, threshold=0.074, sentence="5 % → 12.1 %"
    )
    found = document(
        about(
            key=Key("quality", "performance", "champion", "quality"),
            carriers=(carrier,),
            rows=1200,
            reference_rows=2000,
            sentence="champion has become worse: wrong answers 5 % → 12.1 %; most where country 'BR': 9 % → 31 %",
            cause="relation",
            reason=MOVED,
        ),
        link=LINK,
    )
    assert found["title"] == "Concept drift in variant champion: wrong answers"
    assert found["text"] == (
        "champion has become worse: wrong answers 5 % → 12.1 %; most where country 'BR': 9 % → 31 %."
        " Cause: concept drift. Labels are not what the inputs make one expect."
        " Variant champion, version 3, by performance: wrong answers 0.121 against 0.074"
        " (evidence 17.25 against 13.82 nats)."
        " Since 2023-11-14T22:11:50.000Z: 1,200 rows, compared with 2,000 of the reference."
    )


def test_a_bias_drift_reads_well() -> None:
    carrier = Carrier("DPPL of gender f", 1.0, 0.214, 0.1, "0.214, expected -0.1 to 0.1", rows=900)
    found = document(
        about(
            key=Key("bias", "bias_drift_check", "champion", "groups"),
            carriers=(carrier,),
            rows=900,
            reference_rows=0,
            sentence="champion treats groups unequally: DPPL of gender f (0.214, expected -0.1 to 0.1)",
        ),
        link=LINK,
    )
    assert (found["check"], found["subject"]) == ("bias_drift_check", "groups")
    assert found["title"] == "Bias drift in variant champion: DPPL of gender f"
    assert found["text"] == (
        "champion treats groups unequally: DPPL of gender f (0.214, expected -0.1 to 0.1)."
        " Variant champion, version 3, by bias_drift_check: DPPL of gender f 0.214 against 0.1."
        " Since 2023-11-14T22:13:20.000Z: 900 rows."
    )


def test_who_is_worse_than_the_champion_is_compared_with_its_rows() -> None:
    found = document(about(key=Key("quality", "champion", "b", "quality"), rows=7, reference_rows=7), link=LINK)
    assert found["text"].endswith(": 7 rows, compared with 7 of the champion.")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("", "Data drift in variant champion"),
        ("a", "Data drift in variant champion: a"),
        ("abcde", "Data drift in variant champion: a, b, c, d, e"),
        ("abcdef", "Data drift in variant champion: a, b, c, d, e and 1 more"),
        ("abcdefgh", "Data drift in variant champion: a, b, c, d, e and 3 more"),
    ],
)
def test_a_title_names_five_columns(names: str, expected: str) -> None:
    assert title(about(carriers=carriers(*names))) == expected


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("x" * NAME_LENGTH, "x" * NAME_LENGTH),
        ("x" * (NAME_LENGTH + 1), "x" * (NAME_LENGTH - 1) + "…"),
        ("\0" * (1 << 20), "\\x00" * 19 + "\\x0…"),
        ("a\r\nb\tc\x7f\x85", "a\\r\\nb\\tc\\x7f\\x85"),
        ("\u2028\u202e\ufeff", "\\u2028\\u202e\\ufeff"),
        ("\ud83d", "\\ud83d"),
        ("größe 大きさ 👩\u200d💻 %s {} <b>\\", "größe 大きさ 👩\u200d💻 %s {} <b>\\"),
        ("", ""),
    ],
)
def test_names_are_short_and_can_be_shown(name: str, shown: str) -> None:
    alert = about(carriers=carriers(name))
    assert features(alert)[0]["name"] == shown
    assert title(alert).removeprefix("Data drift in variant champion").removeprefix(": ") == shown


def test_a_name_is_escaped_wherever_it_is_said() -> None:
    told = replace(AMOUNT, sentence="a\nb")
    alert = about(carriers=(told,), sentence="c\nd", version="e\nf", cause="relation", reason="g\nh")
    assert features(alert)[0]["text"] == "a\\nb"
    assert document(alert, link=LINK)["version"] == "e\\nf"
    assert document(alert, link=LINK)["reason"] == "g\\nh"
    assert document(alert, link=LINK)["text"].startswith(
        "c\\nd. Cause: concept drift. G\\nh. Variant champion, version e\\nf, by"
    )


@pytest.mark.parametrize(
    ("until_s", "shown"),
    [
        (0.0, None),
        (-1.0, None),
        (math.nan, None),
        (STARTED_S, "2023-11-14T22:13:20.000Z"),
        (math.inf, "9999-12-31T23:59:59.000Z"),
        (1e300, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_a_silence_without_end_lasts_as_long_as_there_are_dates(until_s: float, shown: str | None) -> None:
    assert document(replace(ALERT, silenced_until_s=until_s), link=LINK)["silenced_until"] == shown


@pytest.mark.parametrize("moment_s", [math.nan, math.inf, -math.inf, -1.0, 1e18])
def test_a_moment_that_is_no_date_is_null(moment_s: float) -> None:
    alert = replace(ALERT, pending_s=moment_s, fired_s=moment_s, gone_s=moment_s, resolved_s=moment_s)
    found = document(alert, link=LINK)
    assert [found[name] for name in ("pending", "fired", "gone", "resolved")] == [None] * 4
    assert features(about(carriers=(replace(AMOUNT, since_s=moment_s),)))[0]["since"] is None


def test_a_document_of_many_columns_is_carried_on_whatever_their_names() -> None:
    for character in "x", '"', "\0", "\U0001f980":
        long = character * 5000
        wide = tuple(replace(COUNTRY, name=long, sentence=long, statistic=-1 / 3e-200) for _ in range(1000))
        key = Key(long, long, long, "features")
        alert = about(key=key, version=long, carriers=wide, sentence=long, cause="pipeline", reason=long)
        found = document(alert, link=LINK)
        assert (len(found["features"]), found["features_omitted"]) == (FEATURES, 1000 - FEATURES)
        assert len(orjson.dumps(found)) < MAX_BYTES


ANY_TEXT = st.text(st.characters(codec=None), max_size=100)
ANY_NUMBER = st.floats()
CARRIERS = st.builds(
    Carrier,
    ANY_TEXT,
    share=ANY_NUMBER,
    statistic=ANY_NUMBER,
    threshold=ANY_NUMBER,
    sentence=ANY_TEXT,
    nats=st.none() | ANY_NUMBER,
    needed_nats=st.none() | ANY_NUMBER,
    p_value=st.none() | ANY_NUMBER,
    since_s=st.none() | ANY_NUMBER,
)
FINDINGS = st.builds(
    Finding,
    st.builds(Key, ANY_TEXT, ANY_TEXT, ANY_TEXT, st.sampled_from(get_args(Subject))),
    ANY_TEXT,
    st.lists(CARRIERS, max_size=7).map(tuple),
    st.integers(0, 1 << 50),
    st.integers(0, 1 << 50),
    ANY_TEXT,
    st.sampled_from(["", "inputs", "relation", "both", "pipeline"]) | ANY_TEXT,
    ANY_TEXT,
)
ALERTS = st.builds(
    Alert,
    id=st.just("0123456789abcdef"),
    state=st.sampled_from(["pending", "firing", "resolved"]),
    severity=st.just("info"),
    finding=FINDINGS,
    pending_s=ANY_NUMBER,
    fired_s=st.none() | ANY_NUMBER,
    gone_s=st.none() | ANY_NUMBER,
    resolved_s=st.none() | ANY_NUMBER,
    silenced_until_s=ANY_NUMBER,
)


@given(ALERTS)
def test_whatever_is_found_the_document_is_json_in_lines_of_text(alert: Alert) -> None:
    found = document(alert, link=LINK)
    written = json.dumps(found, allow_nan=False, ensure_ascii=False)
    assert orjson.loads(orjson.dumps(found)) == json.loads(written) == found
    assert all(len(line.splitlines()) <= 1 for line in (found["title"], found["text"]))


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.9999, "2023-11-14T22:13:20.999Z"),
        (1e300, "9999-12-31T23:59:59.000Z"),
        (float("inf"), "9999-12-31T23:59:59.000Z"),
    ],
)
def test_a_moment_has_four_digits_for_its_year(time_s: float, text: str) -> None:
    assert timestamp(time_s) == text
