import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.prometheus_names import UNITS, family_name, label_name, sample_names


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("http.server.request.body.size", "By", "histogram", "http_server_request_body_size_bytes"),
        ("http.server.active_requests", "{request}", "up_down", "http_server_active_requests"),
        ("sidecar.captured.size", "By", "counter", "sidecar_captured_size_bytes_total"),
        ("sidecar.payload.rows", "{row}", "counter", "sidecar_payload_rows_total"),
        ("sidecar.feature.mean", "", "gauge", "sidecar_feature_mean"),
        ("a-b c", "", "gauge", "a_b_c"),
        ("vllm:tokens", "", "counter", "vllm:tokens_total"),
        ("cost_total", "", "counter", "cost_total"),
        ("cost_total", "s", "counter", "cost_seconds_total"),
        ("cost_total", "s", "gauge", "cost_total_seconds"),
        ("wait_seconds", "s", "gauge", "wait_seconds"),
        ("milliseconds", "s", "gauge", "milliseconds_seconds"),
        ("part", "1", "gauge", "part"),
    ],
)
def test_names_follow_the_translation(name: str, unit: str, kind: str, expected: str) -> None:
    assert family_name(name, unit, kind) == expected


def test_no_two_units_have_one_word() -> None:
    assert len(set(UNITS.values())) == len(UNITS)


@given(st.text(max_size=5), st.sampled_from(["", *UNITS]), st.sampled_from(["counter", "gauge", "histogram"]))
def test_what_is_translated_stays_as_it_is(name: str, unit: str, kind: str) -> None:
    family = family_name(name, unit, kind)
    assert family_name(family, unit, kind) == family
    assert label_name(label_name(name)) == label_name(name)


@pytest.mark.parametrize(
    ("kind", "suffixes"),
    [
        ("counter", {"_total"}),
        ("gauge", {""}),
        ("up_down", {""}),
        ("value", {""}),
        ("histogram", {"", "_bucket", "_sum", "_count"}),
    ],
)
def test_a_metric_takes_the_names_of_all_its_samples(kind: str, suffixes: set[str]) -> None:
    assert sample_names("a.b", "s", kind) == {f"a_b_seconds{suffix}" for suffix in suffixes}
