from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.records import Attributes, Buckets, Kind, Metric, Report
from sidecar.sinks.otlp_data import changes, resource_attributes

POD = {
    "POD_NAME": "model-7d9f",
    "POD_UID": "0a1b",
    "POD_NAMESPACE": "fraud",
    "NODE_NAME": "node-3",
    "CONTAINER_NAME": "sidecar",
}
OURS = {"service.name": "scorer", "service.version": "1.2.3"}


@pytest.mark.parametrize(
    ("environ", "attributes"),
    [
        ({}, OURS),
        ({"POD_NAME": "", "PATH": "/bin"}, OURS),
        ({"POD_NAME": "a", "NODE_NAME": "b"}, OURS | {"k8s.pod.name": "a", "k8s.node.name": "b"}),
        ({"POD_NAMESPACE": "n"}, OURS | {"k8s.namespace.name": "n", "service.namespace": "n"}),
        (
            POD,
            OURS
            | {
                "k8s.pod.name": "model-7d9f",
                "k8s.pod.uid": "0a1b",
                "k8s.namespace.name": "fraud",
                "k8s.node.name": "node-3",
                "k8s.container.name": "sidecar",
                "service.namespace": "fraud",
                "service.instance.id": "fraud.model-7d9f.sidecar",
            },
        ),
    ],
)
def test_the_downward_api_names_the_resource(environ: dict[str, str], attributes: dict[str, str]) -> None:
    assert resource_attributes(environ, service="scorer", version="1.2.3") == attributes


def metric(kind: Kind, *points: tuple[Attributes, float | Buckets]) -> Metric:
    return Metric(kind, "s", kind, kind, list(points))


def report(time_s: float, *metrics: Metric) -> Report:
    return Report(100.0, time_s, metrics)


def test_what_only_grows_is_told_as_its_growth_and_the_rest_as_it_is() -> None:
    before = report(
        110.0,
        metric("counter", ({"a": 1}, 3), ({"a": 2}, 5), ({"b": 1, "c": 2}, 7)),
        metric("up_down", ({}, 4)),
        metric("gauge", ({}, 2.5)),
        metric("histogram", ({}, Buckets((1.0,), (3, 4), 9.0))),
    )
    after = report(
        120.0,
        metric("counter", ({"a": 1}, 10), ({"a": 2}, 5), ({"a": 3}, 1), ({"c": 2, "b": 1}, 8)),
        metric("up_down", ({}, 3)),
        metric("gauge", ({}, 2.5)),
        metric("histogram", ({}, Buckets((1.0,), (3, 6), 12.5))),
    )
    assert changes(after, before) == [
        metric("counter", ({"a": 1}, 7), ({"a": 3}, 1), ({"c": 2, "b": 1}, 1)),
        metric("up_down", ({}, 3)),
        metric("gauge", ({}, 2.5)),
        metric("histogram", ({}, Buckets((1.0,), [0, 2], 3.5))),
    ]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), min_size=2))
def test_differences_add_up_to_the_last_report(steps: list[dict[str, int]]) -> None:
    totals: dict[str, int] = {}
    reports = []
    for step in steps:
        totals = totals | {key: totals.get(key, 0) + more for key, more in step.items()}
        reports.append(report(0.0, metric("counter", *[({"k": key}, value) for key, value in totals.items()])))
    summed = {str(at["k"]): value for at, value in reports[0].metrics[0].points}
    for before, after in pairwise(reports):
        for at, value in changes(after, before)[0].points:
            assert isinstance(value, int)
            summed[str(at["k"])] = summed.get(str(at["k"]), 0) + value  # type: ignore[operator]  # counters are numbers
    assert summed == totals
