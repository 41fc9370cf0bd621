import numpy as np
import pytest

from sidecar.stats.history import History, Key
from tests.admin.rig import STARTED_S, Answer, Client, Sidecar, asking, faults, message


def kept(sidecar: Sidecar) -> History:
    """In two steps."""
    history = sidecar.history
    for now_s, psi in ((STARTED_S, 0.1), (STARTED_S + 10, np.nan)):
        for series, values in (("psi", (psi, 0.5)), ("evidence_nats", (-np.inf, 2.0))):
            history.put(Key("drift", "champion", series), ("amount", "b\ud800"), np.array(values), now_s)
        history.put(Key("quality", "champion", "value", "3"), ("f1",), np.array([0.9]), now_s)
        history.put(Key("quality", "champion", "value", "4"), ("f1",), np.array([0.8]), now_s)
        history.put(Key("experiments", "b", "low"), ("b/errors",), np.array([-1.0]), now_s)
    return history


def asked(query: str) -> Answer:
    sidecar = Sidecar()
    kept(sidecar)
    sidecar.now_s += 2.0

    async def ask(client: Client) -> Answer:
        return await client.get(f"/v1/history?{query}")

    answer = asking(sidecar, ask)
    assert faults("/v1/history", answer) == []
    return answer


def test_all_series_of_a_column_are_told_and_what_is_no_number_is_null() -> None:
    assert asked("of=drift&variant=champion&name=amount").json() == {
        "times_s": [STARTED_S + 10, STARTED_S + 12],
        "series": {"psi": [0.1, None], "evidence_nats": [None, None]},
    }


@pytest.mark.parametrize(
    ("query", "series"),
    [
        ("of=drift&variant=champion&name=b%5Cud800", {"psi": [0.5, 0.5], "evidence_nats": [2.0, 2.0]}),
        ("of=drift&variant=champion&name=nothing", {}),
        ("of=drift&variant=challenger&name=amount", {}),
        ("of=traffic&variant=champion", {}),
        ("of=evidence&variant=champion&name=", {}),
        ("of=quality&variant=champion&name=f1", {"value": [0.8, 0.8]}),
        ("of=quality&variant=champion&name=f1&version=3", {"value": [0.9, 0.9]}),
        ("of=experiments&name=b/errors", {"low": [-1.0, -1.0]}),
        ("of=experiments&name=b/errors&variant=", {"low": [-1.0, -1.0]}),
    ],
)
def test_what_is_asked_is_told(query: str, series: dict[str, list[float]]) -> None:
    assert asked(query).json()["series"] == series


def test_the_last_day_is_told_in_coarser_steps() -> None:
    found = asked("of=drift&variant=champion&name=amount&span=day").json()
    assert found == {"times_s": [STARTED_S + 12], "series": {"psi": [None], "evidence_nats": [None]}}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", "of: expected one of traffic, drift, evidence, quality, experiments, got ''"),
        ("of=Drift", "of: expected one of traffic, drift, evidence, quality, experiments, got 'Drift'"),
        ("of=traffic", "variant: missing; of=traffic is of one variant"),
        ("of=drift&variant=champion", "name: missing; of=drift is of one name"),
        ("of=experiments", "name: missing; of=experiments is of one name"),
        ("of=traffic&variant=a&span=week", "span: expected one of hour, day, got 'week'"),
        ("of=traffic&variant=a&columns=b", "columns: unknown field of the query; expected one of of, variant"),
        (f"of={'x' * 5000}", "of: expected one of traffic, drift, evidence, quality, experiments, got 'xxx"),
    ],
)
def test_what_leaves_open_what_is_asked_is_refused_by_name(query: str, told: str) -> None:
    answer = asked(query)
    assert answer.status == 400
    assert message(answer).startswith(told)
    assert len(answer.body) < 400
