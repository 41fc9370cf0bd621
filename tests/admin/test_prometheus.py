import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from sidecar.admin.prometheus import metric_name, render
from sidecar.instruments import INSTRUMENTS
from sidecar.records import Attributes, Buckets, ExponentialBuckets, Metric, Report


def rendered(*metrics: Metric) -> str:
    return render(Report(0.0, 1.0, metrics)).decode()


def samples(text: str) -> list[tuple[str, dict[str, str], float]]:
    """What Prometheus' own parser reads."""
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def test_every_exported_metric_has_a_name_of_its_own() -> None:
    names = [metric_name(Metric(name, each.unit, "", each.kind, [])) for name, each in INSTRUMENTS.items()]
    assert len(set(names)) == len(names)


def test_no_points_no_metric() -> None:
    assert rendered(Metric("m", "s", "What", "counter", [])) == ""


def test_a_histogram_is_cumulative() -> None:
    text = rendered(Metric("d", "s", "Time", "histogram", [({"v": "a"}, Buckets((0.1, 1.0), (3, 0, 2), 7.5))]))
    assert text == (
        "# HELP d_seconds Time\n"
        "# TYPE d_seconds histogram\n"
        'd_seconds_bucket{v="a",le="0.1"} 3\n'
        'd_seconds_bucket{v="a",le="1.0"} 3\n'
        'd_seconds_bucket{v="a",le="+Inf"} 5\n'
        'd_seconds_sum{v="a"} 7.5\n'
        'd_seconds_count{v="a"} 5\n'
    )


def test_no_attributes_no_braces() -> None:
    text = rendered(
        Metric("c", "", "C", "counter", [({}, 3)]), Metric("d", "", "D", "histogram", [({}, Buckets((), (2,), 1.0))])
    )
    assert "\nc_total 3\n" in text
    assert '\nd_bucket{le="+Inf"} 2\nd_sum 1.0\nd_count 2\n' in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [(math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (0.1, "0.1"), (12, "12"), (1e-7, "1e-07")],
)
def test_numbers_are_spelled_as_the_format_wants(value: float, expected: str) -> None:
    assert rendered(Metric("g", "", "G", "gauge", [({}, value)])).endswith(f"\ng {expected}\n")


@pytest.mark.parametrize(
    ("attributes", "labels"),
    [
        ({"http.route": "/a"}, {"http_route": "/a"}),
        ({"status": 200, "ok": True, "no": False}, {"status": "200", "ok": "true", "no": "false"}),
        ({"f": 'a "b"\\\n}'}, {"f": 'a "b"\\\n}'}),
        ({"f": "a\udc80"}, {"f": "a\\udc80"}),
    ],
)
def test_labels_arrive_whatever_is_in_them(attributes: Attributes, labels: dict[str, str]) -> None:
    assert samples(rendered(Metric("g", "", "a\\b\nc", "gauge", [(attributes, 1)]))) == [("g", labels, 1.0)]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(allow_nan=False))
def test_another_parser_reads_what_we_write(label: str, value: float) -> None:
    text = rendered(Metric("g", "", "G", "gauge", [({"l": label}, value)]))
    assert samples(text) == [("g", {"l": label}, value)]


def test_what_the_format_cannot_tell_is_left_out_whole() -> None:
    value = ExponentialBuckets(3, 1, (0, [1]), (0, []), 1.0, 0.0, 1.0)
    duration = Buckets((1.0,), (2, 3), 9.0, value)
    text = rendered(
        Metric("value", "", "", "histogram", [({}, value)]), Metric("d", "s", "", "histogram", [({}, duration)])
    )
    assert "value" not in text
    assert [sample for sample in samples(text) if sample[0] == "d_seconds_count"] == [("d_seconds_count", {}, 5.0)]


@pytest.mark.parametrize(
    ("value", "total"),
    [
        (Buckets((0.0, 1.0), (0, 3, 4), 9.0), 9.0),
        (Buckets((), (3,), 9.0), 9.0),
        (Buckets((-1.0, 1.0), (0, 3, 4), 9.0), None),
        (Buckets((0.0, 1.0), (7, 3, 4), -9.0), None),
        (Buckets((0.0, 1.0), (0, 3, 4), math.nan), None),
        (Buckets((0.0, 1.0), (0, 3, 4), math.inf), None),
    ],
)
def test_a_sum_is_told_where_it_is_a_counter(value: Buckets, total: float | None) -> None:
    """As OTLP has it: a rate of what may fall means nothing, and one of NaN is NaN for ever."""
    told = {name: found for name, _, found in samples(rendered(Metric("d", "s", "", "histogram", [({}, value)])))}
    assert told.get("d_seconds_sum") == total
    assert told["d_seconds_count"] == sum(value.counts)
