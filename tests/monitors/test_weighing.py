import threading
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from sidecar.experiments import GUARDRAILS
from sidecar.experiments.experiment import Experiment
from sidecar.monitors import weighing as module
from sidecar.monitors.weighing import Weighing
from sidecar.quality.reading import Reading
from sidecar.records import Body, Capture, Joined, Label, Prediction, Rows
from sidecar.stats.served import Outcome
from tests.admin.rig import capture as made

SHARES = {"champion": 1.0, "challenger": 1.0}
ERRORS = {"kind": "errors", "margin": 0.05}
METRIC = {"kind": "metric", "pointer": "/cost", "better": "lower"}
OUTCOME = {"kind": "outcome", "metric": "click", "better": "lower"}
QUALITY = {"kind": "quality"}
DRIFT = {"kind": "drift"}


def weighing(*measures: Mapping[str, object], reading: Reading | None = None, now_s: float = 100.0) -> Weighing:
    parts = [GUARDRAILS[str(each["kind"])](**{k: v for k, v in each.items() if k != "kind"}) for each in measures]
    experiment = Experiment("t", "champion", ("challenger",), parts, wrong=0.05, min_rows=2)
    built = Weighing({"experiment": experiment}, reading)
    built.begin(SHARES, now_s)
    return built


def capture(variant: str = "champion", unit: int = 1, answer: bytes = b'{"cost": 2}', **fields: object) -> Capture:
    told = made(data=b"{}")._replace(
        variant=variant, unit=unit, started_s=200.0, reply=Body("application/json", answer)
    )
    return told._replace(**fields)  # type: ignore[arg-type]  # its own fields


def rows(*answered: object) -> Rows:
    return Rows((), [[] for _ in answered], ("p",), [[each] for each in answered])


def counts(built: Weighing) -> dict[str, tuple[float, float]]:
    """Rows of champion and challenger, by measure."""
    verdicts = built.look({}, 300.0)["experiment"].verdicts
    return {each.measure: (each.compared.champion_rows, each.compared.challenger_rows) for each in verdicts}


def means(built: Weighing) -> dict[str, float]:
    return {each.measure: each.compared.estimate for each in built.look({}, 300.0)["experiment"].verdicts}


def offered(built: Weighing, *captures: Capture) -> None:
    built.offer([(each, rows(0.5)) for each in captures])


def test_outcomes_go_to_their_variants() -> None:
    built = weighing(ERRORS)
    built.take(
        Outcome(variant, unit, failed=failed, time_s=200.0, duration_s=0.1)
        for unit, (variant, failed) in enumerate([("champion", False)] * 4 + [("challenger", True)] * 4 + [("x", True)])
    )
    assert (counts(built), means(built)) == ({"errors": (4, 4)}, {"errors": 1.0})
    built.take([])
    assert counts(built) == {"errors": (4, 4)}


def test_of_requests_that_a_variant_was_spared_only_the_users_count() -> None:
    built = weighing(ERRORS, {"kind": "latency"}, {"kind": "cost", "per_request": SHARES})
    one = Outcome("champion", 1, failed=False, time_s=200.0, duration_s=0.1)
    for variant in SHARES:
        built.take(one._replace(variant=variant, unit=unit) for unit in range(10))
        built.take(one._replace(variant=variant, unit=unit, failed=True, spared=True) for unit in range(5, 30))
    standing = built.look({}, 300.0)["experiment"]

    assert counts(built) == {"errors": (10, 10), "latency.mean": (10, 10), "cost": (10, 10)}
    assert (standing.rows, standing.sides.users) == ({"champion": 10, "challenger": 10}, 30)


def test_of_the_replies_the_named_number_is_weighed_once() -> None:
    built = weighing(METRIC)
    for variant, answer in (("champion", b'{"cost": 2}'), ("challenger", b'{"cost": 3}')):
        offered(built, *(capture(variant, unit, answer) for unit in range(1, 4)))
    assert list(counts(built).values()) == [(3, 3)]
    assert list(counts(built).values()) == [(3, 3)]


@pytest.mark.parametrize(
    "left",
    [
        capture(unit=0),  # a rule, an override or a fallback chose
        capture(shadow=True),
        capture(status=500),
        capture(status=302),
        capture(variant="another"),
        capture(started_s=99.0),  # before the weights changed
        capture(answer=b""),
        capture(answer=b"{"),
        capture(answer=b'{"cost": NaN}'),
        capture(answer=b'{"cost": "2"}'),
        capture(reply=Body("application/json", b'{"cost": 2}', "redact")),
        capture(answer=b'{"cost": 2, "rest": "' + b"x" * module.REPLY_BYTES + b'"}'),
    ],
)
def test_what_takes_no_part_or_says_nothing_is_not_weighed(left: Capture) -> None:
    built = weighing(METRIC)
    offered(built, left)
    assert list(counts(built).values()) == [(0, 0)]


def test_the_first_number_of_each_row_is_what_was_predicted() -> None:
    answers: Sequence[object] = (1.0, True, 2, "x", None, 10**400)
    assert [module._first(["a", each, 7.0]) for each in answers] == [1.0, 1.0, 2.0, 7.0, 7.0, 7.0]
    assert np.isnan(module._first(["a", None]))
    assert np.isnan(module._first([]))


def test_predictions_are_weighed_row_by_row() -> None:
    built = weighing(DRIFT)
    built.offer([(capture(variant), rows(0.1, 0.2, "x", 0.3)) for variant in SHARES])
    (verdict,) = built.look({}, 300.0)["experiment"].verdicts
    assert verdict.omitted == 2


def test_what_there_is_no_room_for_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 3)
    built = weighing(METRIC)
    offered(built, *(capture(unit=unit) for unit in range(1, 6)))
    assert built.dropped == 2
    assert list(counts(built).values()) == [(3, 0)]
    monkeypatch.setattr(module, "WAITING_BYTES", 30)
    offered(built, *(capture(unit=unit) for unit in range(1, 6)))
    assert built.dropped == 5


def test_offering_and_weighing_at_once_lose_nothing() -> None:
    built = weighing(METRIC)

    def offer() -> None:
        for unit in range(1, 200):
            offered(built, capture(unit=unit))

    threads = [threading.Thread(target=offer) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        built.look({}, 300.0)
    for thread in threads:
        thread.join()
    assert list(counts(built).values()) == [(597, 0)]
    assert (built._waiting, built._waiting_bytes) == ([], 0)


def joined(
    variant: str, actual: object, *, metric: str = "", unit: int = 5, time_s: float = 200.0, predicted: float = 1.0
) -> Joined:
    prediction = Prediction(
        ids=("r",),
        variant=variant,
        version="3",
        time_s=time_s,
        weight=1.0,
        features=("x",),
        asked=[[0.0]],
        predictions=("label",),
        answered=[[predicted]],
        unit=unit,
    )
    return Joined(1, prediction, Label("r", (actual,), metric))  # type: ignore[arg-type]  # as somebody posts it


def test_labels_become_losses() -> None:
    built = weighing(QUALITY, reading=Reading(task="binary"))
    for unit in range(1, 101):
        built.join([joined("champion", 1, unit=unit), joined("challenger", unit % 2, unit=-unit % 1000)])
    assert list(counts(built).values()) == [(100, 100)]
    assert list(means(built).values()) == pytest.approx([0.5])


def test_what_shadows_and_rules_answered_and_what_came_late_has_no_losses() -> None:
    built = weighing(QUALITY, OUTCOME, reading=Reading(task="binary"))
    for metric in ("", "click"):
        built.join([joined("champion", 1, metric=metric, unit=0), joined("champion", 1, metric=metric, time_s=99.0)])
    assert list(counts(built).values()) == [(0, 0), (0, 0)]


def test_outcomes_go_by_their_name() -> None:
    built = weighing(OUTCOME)
    pairs = [joined(variant, value, metric="click") for variant, value in (("champion", 1), ("challenger", 0))]
    built.join([*pairs, *pairs, joined("champion", 1, metric="other"), joined("champion", "x", metric="click")])
    assert list(counts(built).values()) == [(2, 2)]


def test_labels_without_a_task_are_left() -> None:
    built = weighing(ERRORS)
    built.join([joined("champion", 1)])
    assert counts(built) == {"errors": (0, 0)}
