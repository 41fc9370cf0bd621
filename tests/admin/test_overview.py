import asyncio
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import orjson
import pytest

from sidecar.admin.documents import Documents
from sidecar.admin.overview import REASONS
from sidecar.admin.reasons import moment
from sidecar.admin.routing import Routing
from sidecar.admin.view import VariantView
from sidecar.config.schema import Rollout
from sidecar.records import JSON, Key
from sidecar.stats.traffic import Labels
from tests.admin.rig import ROUTED, STARTED_S, Sidecar, alert, busy_sidecar, follow, learned, undescribed
from tests.instruments.rig import comparing, grading, labelled


def told(sidecar: Sidecar) -> JSON:
    async def make() -> bytes:
        view = sidecar.view()
        return await Documents(view, Routing(view)).makers["overview"]()

    document = orjson.loads(asyncio.run(make()))
    assert undescribed("Overview", document) == []
    return document


def verdict(sidecar: Sidecar) -> tuple[str, str]:
    """Of the first variant."""
    found = told(sidecar)["variants"][0]
    return found["state"], found["sentence"]


def serving(requests: int = 5, *others: str, version: str = "3") -> Sidecar:
    """A champion that has served so many, and others that have served nobody."""
    sidecar = Sidecar()
    sidecar.variants = [
        VariantView("champion", version, 9.0, ""),
        *(VariantView(each, "4", 0.0, "") for each in others),
    ]
    series = sidecar.traffic.series(Labels("champion", version, "POST", "/", 200, ""))
    for _ in range(requests):
        series.add(0.01, 0.01, 0.0001, 1, 1)
    return sidecar


def labelled_sidecar(sidecar: Sidecar) -> Sidecar:
    sidecar.judge(grading(labelled(300)), comparing(labelled(300)))
    return sidecar


def test_without_traffic_nothing_is_known() -> None:
    assert verdict(Sidecar()) == ("unknown", "Nothing is known of champion (version 3): it has had no traffic yet.")


@pytest.mark.parametrize(
    ("requests", "version", "who"),
    [
        (1, "3", "champion (version 3) is well is not known after 1 request:"),
        (12_400, "", "champion is well is not known after 12,400 requests:"),
    ],
)
def test_without_reference_and_labels_what_is_missing_is_said(requests: int, version: str, who: str) -> None:
    assert verdict(serving(requests, version=version)) == (
        "unknown",
        f"Whether {who} there is no reference to see drift by: expected reference.path or reference.learn_rows; "
        "no monitor of kind quality asks for labels.",
    )


def test_while_a_reference_is_learned_that_is_said() -> None:
    sidecar = serving()
    sidecar.watching.learn(2000, None)
    assert "the reference to see drift by is being learned: 0 of 2,000 rows so far" in verdict(sidecar)[1]


def test_without_rows_nothing_can_have_drifted() -> None:
    sidecar = serving()
    sidecar.watch(learned())
    state, sentence = verdict(sidecar)
    assert (state, "no row of it could be compared with the reference yet" in sentence) == ("unknown", True)


def test_what_is_watched_and_has_not_moved_is_well() -> None:
    sidecar = serving(12_400)
    follow(sidecar.watch(learned()), 300)
    assert verdict(sidecar) == (
        "good",
        "champion (version 3) is well: 12,400 requests, nothing has drifted in 300 rows.",
    )


def test_since_when_nothing_has_drifted_is_said() -> None:
    sidecar = serving()
    following = sidecar.watch(learned())
    follow(following, 300)
    following.since_s = sidecar.wall_s() - 7300.0
    assert "nothing has drifted in 300 rows of 2 h." in verdict(sidecar)[1]


def test_after_a_drift_that_is_over_it_is_said_since_when_there_is_none() -> None:
    sidecar = serving()
    follow(sidecar.watch(learned()), 300)
    gone_s = sidecar.wall_s() - 600.0
    of_another = replace(alert().finding, key=alert().finding.key._replace(variant="challenger"))
    sidecar.alerting.alerts = [
        alert("1", state="resolved", gone_s=gone_s - 600.0),
        alert("2", state="resolved", gone_s=gone_s),
        alert("3", state="resolved", gone_s=gone_s + 60.0, finding=of_another),
    ]
    assert verdict(sidecar) == (
        "good",
        f"champion (version 3) is well: 5 requests, nothing has drifted since {moment(gone_s, sidecar.wall_s())}.",
    )


def test_quality_is_told_with_its_error_and_the_number_of_labels() -> None:
    state, sentence = verdict(labelled_sidecar(serving()))
    assert state == "good"
    assert sentence == "champion (version 3) is well: 5 requests, f1 0.863 ± 0.02 by 300 labels."


def test_without_labels_that_is_said() -> None:
    sidecar = serving()
    sidecar.judge(grading(), None)
    assert "no labels have come, by which quality would be known" in verdict(sidecar)[1]


def test_an_alert_is_told_in_few_words_and_in_its_findings_own_with_its_beginning_and_cause() -> None:
    sidecar = serving()
    fired = alert()
    carrier = replace(fired.finding.carriers[0], since_s=STARTED_S)
    finding = replace(fired.finding, carriers=(carrier,), cause="relation", reason="labels are not what they were")
    sidecar.alerting.alerts = [replace(fired, finding=finding)]
    assert verdict(sidecar) == (
        "bad",
        "champion (version 3) is not well: amount has drifted (concept drift), since 22:13 UTC.",
    )
    [told_of] = told(sidecar)["variants"]
    assert told_of["alerts"] == [fired.id]
    assert told_of["reasons"] == [
        {
            "state": "bad",
            "text": "it has drifted, since 22:13 UTC (concept drift: labels are not what they were)",
            "since_s": STARTED_S,
        }
    ]


def test_drift_that_no_alert_tells_is_told() -> None:
    sidecar = serving()
    follow(sidecar.watch(learned()), 300, shift=2.0)
    state, sentence = verdict(sidecar)
    assert state == "warn"
    assert sentence.startswith("champion (version 3) may not be well: amount has drifted, since ")
    reasons = [each["text"] for each in told(sidecar)["variants"][0]["reasons"]]
    assert reasons[0].startswith("features of champion have drifted: amount (")
    assert reasons[0].endswith("(no alert is made of that)")


def test_of_many_reasons_the_worst_come_first_and_the_others_are_counted() -> None:
    sidecar = serving()
    found = [
        replace(alert().finding, key=alert().finding.key._replace(monitor="bias", check=name), sentence=f"{name} is so")
        for name in "abcde"
    ]
    sidecar.alerting.alerts = [
        alert(f"{place:016d}", finding=each, severity="critical" if each.key.check == "e" else "info")
        for place, each in enumerate(found)
    ]
    assert verdict(sidecar) == ("bad", "champion (version 3) is not well: e is so; a is so; and 3 more.")
    reasons = told(sidecar)["variants"][0]["reasons"]
    assert [each["text"] for each in reasons] == [f"{name} is so" for name in "eabcd"]


def test_what_two_say_in_the_same_words_is_said_once() -> None:
    sidecar = serving()
    both = ("sequential", "psi")
    keys = [alert().finding.key._replace(check=check) for check in both]
    sidecar.alerting.alerts = [alert(str(key), finding=replace(alert().finding, key=key)) for key in keys]
    assert verdict(sidecar) == ("bad", "champion (version 3) is not well: amount has drifted.")


def test_however_much_is_wrong_twenty_reasons_are_listed() -> None:
    sidecar = serving()
    key = alert().finding.key
    sidecar.alerting.alerts = [
        alert(str(each), finding=replace(alert().finding, key=key._replace(check=str(each)))) for each in range(50)
    ]
    assert len(told(sidecar)["variants"][0]["reasons"]) == REASONS


def test_what_is_no_unicode_and_longer_than_anybody_reads_is_told_in_part() -> None:
    sidecar = serving()
    carrier = replace(alert().finding.carriers[0], name="\ud800\n" * 5000)
    finding = replace(alert().finding, sentence="\ud800\n" * 5000, carriers=(carrier,))
    sidecar.alerting.alerts = [alert(finding=finding)]
    state, sentence = verdict(sidecar)
    [reason] = told(sidecar)["variants"][0]["reasons"]
    assert (state, "\n" in sentence + reason["text"]) == ("bad", False)
    assert (len(sentence) < 120, len(reason["text"]) <= 600) == (True, True)


def headline(sidecar: Sidecar) -> tuple[str, str]:
    found = told(sidecar)["headline"]
    return found["state"], found["sentence"]


def well(*names: str) -> Sidecar:
    """All of these have rows that have not moved."""
    sidecar = serving()
    following = sidecar.watch(learned())
    follow(following, 300)
    for name in names:
        following.variants[name] = following.variants["champion"]
        sidecar.variants.append(VariantView(name, "4", 1.0, ""))
        sidecar.traffic.series(Labels(name, "4", "POST", "/", 200, "")).add(0.01, 0.01, 0.0001, 1, 1)
    return sidecar


CHAMPION = "champion (version 3) is well: 5 requests, nothing has drifted in 300 rows."


@pytest.mark.parametrize(
    ("names", "more"),
    [((), ""), (("b",), " b is well too."), (("b", "c", "d"), " b, c and d are well too.")],
)
def test_the_headline_says_who_is_well(names: Sequence[str], more: str) -> None:
    assert headline(well(*names)) == ("good", CHAMPION + more)


def test_the_headline_is_of_the_worst() -> None:
    sidecar = well("b")
    sidecar.upstreams.known["b"] = ("ejected", 0.0)
    state, sentence = headline(sidecar)
    assert (state, sentence) == (
        "bad",
        "b (version 4) is not well: it is ejected and gets no traffic: too many of its requests failed. "
        "champion is well.",
    )


def test_who_else_is_not_well_is_named() -> None:
    sidecar = well("b", "c")
    sidecar.upstreams.known.update(b=("ejected", 0.0), c=("unhealthy", 0.0))
    assert headline(sidecar) == (
        "bad",
        "b (version 4) is not well: it is ejected and gets no traffic: too many of its requests failed. "
        "c is not well either. champion is well.",
    )


def test_who_serves_nobody_and_is_not_known_spoils_no_headline() -> None:
    sidecar = well()
    sidecar.variants.append(VariantView("b", "4", 0.0, ""))
    assert headline(sidecar) == ("good", CHAMPION)


def test_who_has_served_nobody_yet_spoils_none_either() -> None:
    sidecar = well()
    sidecar.variants.append(VariantView("b", "4", 1.0, ""))
    assert headline(sidecar) == ("good", CHAMPION)
    assert told(sidecar)["variants"][1]["sentence"] == "Nothing is known of b (version 4): it has had no traffic yet."


def test_who_serves_and_is_not_known_does() -> None:
    sidecar = well()
    sidecar.variants.append(VariantView("b", "4", 1.0, ""))
    sidecar.traffic.series(Labels("b", "4", "POST", "/", 200, "")).add(0.01, 0.01, 0.0001, 1, 1)
    state, sentence = headline(sidecar)
    assert state == "unknown"
    assert sentence.startswith("Whether b (version 4) is well is not known after 1 request: no row of it could be")
    assert sentence.endswith("champion is well.")


def test_who_serves_nobody_and_is_not_well_is_told_after_who_serves() -> None:
    sidecar = well()
    sidecar.variants.insert(0, VariantView("b", "4", 0.0, ""))
    finding = replace(
        alert().finding,
        key=Key("rollout", "rollback", "b", "traffic"),
        sentence="b was rolled back, champion serves: complaints",
    )
    sidecar.alerting.alerts = [alert(finding=finding)]
    assert headline(sidecar) == (
        "warn",
        f"{CHAMPION} b (version 4) is not well: it was rolled back, champion serves: complaints.",
    )


def test_who_serves_most_comes_first_and_of_equals_the_champion() -> None:
    plan = Rollout(champion="champion", challenger="challenger")
    weights = {"a": 10.0, "challenger": 45.0, "champion": 45.0, "d": 0.0}
    variants = [VariantView(name, "1", weight, "") for name, weight in weights.items()]
    orders = []
    for config in (ROUTED, msgspec.structs.replace(ROUTED, rollout=plan)):
        sidecar = Sidecar(config=config)
        sidecar.variants = variants
        orders.append([each["name"] for each in told(sidecar)["variants"]])

    assert orders == [["challenger", "champion", "a", "d"], ["champion", "challenger", "a", "d"]]


def test_of_many_who_are_well_some_are_named() -> None:
    assert headline(well(*"bcdefghi"))[1] == f"{CHAMPION} b, c, d, e and 4 others are well too."


def test_why_a_configuration_was_refused_is_told_in_few_words() -> None:
    sidecar = well()
    sidecar.refused = "variants.b.url: expected an address, " * 20
    state, sentence = headline(sidecar)
    assert (state, sentence.startswith(f"{CHAMPION} But the latest configuration was refused: variants.b.url:")) == (
        "warn",
        True,
    )
    assert sentence.endswith(" …")


def test_a_sidecar_that_is_not_ready_is_told_so_first() -> None:
    sidecar = well()
    sidecar.reasons = ["no upstream answers"]
    assert headline(sidecar) == ("bad", "Requests should not come: no upstream answers.")


def test_without_variants_there_is_a_headline() -> None:
    sidecar = Sidecar()
    sidecar.variants = []
    assert told(sidecar) == {"headline": {"state": "unknown", "sentence": "There is no variant."}, "variants": []}


def test_of_all_that_a_busy_sidecar_has_something_is_told() -> None:
    assert len(told(busy_sidecar())["variants"]) == 2
