from math import inf, nan

import msgspec
import orjson
import pytest

from sidecar.admin.experiments import experiments, shadow
from sidecar.experiments.standing import Standing
from sidecar.experiments.users import Mismatch, Sides
from sidecar.experiments.verdicts import Compared, Decision, Guarded, Verdict
from sidecar.monitors.shadowed import Shadowed
from sidecar.records import JSON, Rows
from tests.admin.rig import SHADOWED, Answer, Client, Sidecar, Trials, asking, capture, faults, message, undescribed


def verdict(compared: Compared, **changes: object) -> Verdict:
    told = {"word": "worse", "margin": 0.002, "relative": False, "decided": Decision("worse", 5.0), "rows_to_go": 0.0}
    made = {"measure": "errors", "challenger": "b", "compared": compared, "omitted": 3, "sentence": "b errs", **told}
    return Verdict(**{**made, **changes})  # type: ignore[arg-type]  # of whatever field


KNOWN = Compared(0.007, 0.003, 0.011, 0.012, 0.019, 900, 800)
UNKNOWN = Compared(nan, -inf, inf, nan, nan, 0, 0)


def standing(
    *verdicts: Verdict, guards: tuple[Guarded, ...] = (), shares: float = 0.5, since_s: float = 1.0
) -> Standing:
    mismatch = Mismatch(p_value=1.0, nats=-0.5, alarm=False, counts=(9, 8), shares=(shares, shares))
    rows = {"a": 900, "b": 800}
    sides = Sides(17, shares, 0.0)
    return Standing(
        "new", ("a", "b"), since_s, since_s, rows, 4, verdicts, guards, mismatch, sides, ("look",), 0.05, 200
    )


def told(**standings: Standing) -> list[JSON]:
    document = experiments(Trials(standings))
    assert undescribed("Experiments", document) == []
    found: list[JSON] = orjson.loads(orjson.dumps(document))["experiments"]
    return found


def test_all_that_is_known_of_an_experiment_is_told() -> None:
    guard = Guarded("errors", "b", "fine", "b is fine")
    [experiment] = told(experiment=standing(verdict(KNOWN), guards=(guard,)))
    assert experiment == {
        "kind": "experiment",
        "name": "new",
        "variants": ["a", "b"],
        "since_s": 1.0,
        "epoch_s": 1.0,
        "rows": {"a": 900, "b": 800},
        "late": 4,
        "wrong": 0.05,
        "min_rows": 200,
        "verdicts": [
            {
                "measure": "errors",
                "challenger": "b",
                "word": "worse",
                "sentence": "b errs",
                "estimate": 0.007,
                "low": 0.003,
                "high": 0.011,
                "margin": 0.002,
                "relative": False,
                "values": {"champion": 0.012, "challenger": 0.019},
                "rows": {"champion": 900, "challenger": 800},
                "rows_to_go": 0.0,
                "decided": {"word": "worse", "at_s": 5.0},
                "omitted": 3,
            }
        ],
        "guards": [{"measure": "errors", "challenger": "b", "word": "fine", "sentence": "b is fine"}],
        "mismatch": {
            "p_value": 1.0,
            "nats": -0.5,
            "alarm": False,
            "users": [{"variant": "a", "count": 9, "share": 0.5}, {"variant": "b", "count": 8, "share": 0.5}],
        },
        "sides": {"users": 17, "crossed": 0.5, "moved": 0.0},
        "cautions": ["look"],
    }


def test_what_nobody_knows_is_null() -> None:
    nothing = verdict(UNKNOWN, word="too_few", decided=None, rows_to_go=nan)
    [experiment] = told(experiment=standing(nothing, shares=nan, since_s=inf))
    [found] = experiment["verdicts"]
    assert [found[name] for name in ("estimate", "low", "high", "rows_to_go", "decided")] == [None] * 5
    assert found["values"] == {"champion": None, "challenger": None}
    assert (experiment["since_s"], experiment["sides"]["crossed"]) == (None, None)


def test_the_rollouts_guardrails_stand_beside_the_experiment() -> None:
    kinds = [each["kind"] for each in told(experiment=standing(), rollout=standing())]
    assert kinds == ["experiment", "rollout"]


@pytest.mark.parametrize("trials", [None, Trials()])
def test_without_experiments_there_are_none(trials: Trials | None) -> None:
    assert experiments(trials) == {"experiments": []}


def test_a_sentence_that_is_no_unicode_is_told_as_its_escape() -> None:
    [experiment] = told(experiment=standing(verdict(KNOWN, sentence="\ud800", measure="metric(\udc80)")))
    assert experiment["verdicts"][0]["sentence"] == "\\ud800"


def got(sidecar: Sidecar, path: str) -> Answer:
    async def ask(client: Client) -> Answer:
        return await client.get(path)

    return asking(sidecar, ask)


def test_without_a_shadow_that_is_told() -> None:
    answer = got(Sidecar(), "/v1/shadow")
    assert (answer.status, faults("/v1/shadow", answer)) == (404, [])
    assert message(answer) == "no shadow: expected one in the configuration, or put in /v1/routes"


@pytest.mark.parametrize("trials", [None, Trials()])
def test_a_shadow_of_which_nothing_is_known_yet_is_told(trials: Trials | None) -> None:
    sidecar = Sidecar(config=SHADOWED)
    sidecar.trials = trials
    answer = got(sidecar, "/v1/shadow")
    assert (answer.status, faults("/v1/shadow", answer)) == (200, [])
    assert (answer.json()["variant"], answer.json()["comparisons"]) == ("shadow", [])


def test_what_a_shadow_answers_and_what_became_of_copies_is_told() -> None:
    sidecar, shadowed = Sidecar(config=SHADOWED), Shadowed("shadow")
    original = capture("r1")
    copy = original._replace(variant="shadow", version="5", shadow=True)
    texts, numbers = (("verdict", "score"), [["yes", 0.5]]), (("verdict", "score"), [["no", 0.75]])
    shadowed.offer([(original, Rows((), [], *texts)), (copy, Rows((), [], *numbers))])
    shadowed.offer([(capture("r2"), Rows((), []))])
    shadowed.settle()
    sidecar.trials = Trials(shadowed=shadowed)
    counts = sidecar.upstreams.shadowed
    counts.sent, counts.in_flight = 7, 1
    counts.shed["bytes"] += 2
    counts.failed["timeout"] += 1

    document = shadow(sidecar.view())

    assert undescribed("Shadow", document) == []
    [comparison] = document["comparisons"]
    assert (comparison["version"], comparison["original"]["variant"], comparison["lifetime"]["pairs"]) == (
        "5",
        "champion",
        1,
    )
    assert (document["sent"], document["in_flight"], document["shed"], document["failed"]) == (
        7,
        1,
        {"bytes": 2},
        {"timeout": 1},
    )


def test_a_shadow_that_was_taken_away_is_not_told_any_more() -> None:
    config = msgspec.structs.replace(SHADOWED, shadow=None)
    assert shadow(Sidecar(config=config).view()) is None
