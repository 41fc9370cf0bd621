from collections.abc import Sequence
from math import inf, isnan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from sidecar.errors import PayloadError
from sidecar.records import Attributes, Buckets, Metric
from sidecar.scraping.exposition import OPENMETRICS, Page, families
from sidecar.scraping.patterns import included
from sidecar.scraping.points import MAX_BUCKETS, MAX_COUNT, MAX_NAME, Gathering, Scraped

HERE = Path(__file__).parent
OWN = {"feature_flag.result.variant": "champion", "sidecar.version": "3"}


def gather(
    data: bytes | str, *, media: str = "text/plain", include: Sequence[str] = ("*",), max_series: int = 1000
) -> Scraped:
    gathering = Gathering("champion", "3", include=included(include), max_series=max_series)
    page = Page(media, "", data.encode() if isinstance(data, str) else data)
    for family in families(page, lambda: None):
        gathering.add(family)
    return gathering.scraped()


def told(scraped: Scraped) -> dict[str, tuple[str, str, list[tuple[dict[str, object], object]]]]:
    """Kind, unit and points by name; the points without what all of them have."""
    return {
        metric.name: (metric.kind, metric.unit, [(_without_own(metric, at), value) for at, value in metric.points])
        for metric in scraped.metrics
    }


def _without_own(metric: Metric, at: Attributes) -> dict[str, object]:
    attributes: dict[str, object] = dict(at)
    assert {name: attributes.pop(name) for name in OWN} == OWN, metric.name
    return attributes


def test_what_vllm_says_is_told() -> None:
    model = {"engine": "0", "model_name": "meta-llama/Llama-3.1-8B-Instruct"}
    scraped = gather((HERE / "vllm.txt").read_bytes())
    assert told(scraped) == {
        "vllm:num_requests_running": ("gauge", "", [(model, 3.0)]),
        "vllm:kv_cache_usage_perc": ("gauge", "", [(model, 0.25)]),
        "vllm:prompt_tokens": ("counter", "", [(model, 6e6)]),
        "vllm:request_success": (
            "counter",
            "",
            [({**model, "finished_reason": "stop"}, 40.0), ({**model, "finished_reason": "length"}, 2.0)],
        ),
        "vllm:cache_config_info": ("gauge", "", [({"block_size": "16", "cache_dtype": "auto", "engine": "0"}, 1.0)]),
        "vllm:time_to_first_token_seconds": (
            "histogram",
            "s",
            [(model, Buckets([0.001, 0.1, 1.0], [0, 30, 11, 1], 5.5))],
        ),
    }
    assert scraped.omitted == {}
    assert scraped.points == 7
    assert scraped.metrics[0].description == "Number of requests in model execution batches."


def test_what_triton_says_is_told() -> None:
    model, gpu = {"model": "fraud", "version": "3"}, {"gpu_uuid": "GPU-df6e7dc3"}
    assert told(gather((HERE / "triton.txt").read_bytes())) == {
        "nv_inference_request_success": ("counter", "", [(model, 42.0)]),
        "nv_inference_pending_request_count": ("gauge", "", [(model, 0.0)]),
        "nv_inference_request_summary_us_count": ("counter", "", [(model, 42.0)]),
        "nv_inference_request_summary_us_sum": ("counter", "", [(model, 84000.0)]),
        "nv_inference_request_summary_us": ("gauge", "", [({**model, "quantile": "0.5"}, 1500.0)]),
        "nv_gpu_utilization": ("gauge", "", [(gpu, 0.75)]),
        "nv_gpu_memory_used_bytes": ("gauge", "By", [(gpu, 1.5e9)]),
        "nv_cpu_memory_total_bytes": ("gauge", "By", [({}, 6.7e10)]),
    }


def registry() -> CollectorRegistry:
    """One of each type that Prometheus' client has, having seen something."""
    made = CollectorRegistry()
    Counter("requests", "Requests", ["code"], registry=made).labels("200").inc(3)
    Gauge("queue_bytes", "Waiting", registry=made).set(7)
    Summary("size", "Sizes", registry=made).observe(2.5)
    Histogram("latency_seconds", "Latency", buckets=(0.1, 1.0), registry=made).observe(0.5)
    Info("build", "What runs", registry=made).info({"commit": "abc"})
    Enum("state", "Of the model", states=["loading", "ready"], registry=made).state("ready")
    return made


EXPECTED = {
    "requests": ("counter", "", [({"code": "200"}, 3.0)]),
    "queue_bytes": ("gauge", "By", [({}, 7.0)]),
    "size_count": ("counter", "", [({}, 1.0)]),
    "size_sum": ("counter", "", [({}, 2.5)]),
    "latency_seconds": ("histogram", "s", [({}, Buckets([0.1, 1.0], [0, 1, 0], 0.5))]),
    "build_info": ("gauge", "", [({"commit": "abc"}, 1.0)]),
    "state": ("gauge", "", [({"state": "loading"}, 0.0), ({"state": "ready"}, 1.0)]),
}


def _openmetrics() -> bytes:
    text: bytes = generate_openmetrics(registry())  # type: ignore[no-untyped-call]  # the library's
    return text


def test_every_type_is_told_from_either_format_alike() -> None:
    old, new = gather(generate_latest(registry())), gather(_openmetrics(), media=OPENMETRICS)
    assert told(new) == EXPECTED
    # Though the older format has times of creation as families of their own.
    assert told(old) == EXPECTED
    assert (old.omitted, new.omitted) == ({}, {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("# TYPE a_total counter\na_total -1\n", "malformed"),
        ("# TYPE a_total counter\na_total NaN\n", "malformed"),
        ("# TYPE a_total counter\na_total +Inf\n", "malformed"),
        ("# TYPE a summary\na_count -1\n", "malformed"),
        ('# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\n', "malformed"),
        ('# TYPE a histogram\na_bucket{le="1"} 2\n', "malformed"),
        ('# TYPE a histogram\na_bucket{le="1"} -2\na_count 1\n', "malformed"),
        ('# TYPE a histogram\na_bucket{le="1"} 0.5\na_count 1\n', "malformed"),
        ('# TYPE a histogram\na_bucket{le="1"} NaN\na_count 1\n', "malformed"),
        ('# TYPE a histogram\na_bucket{le="1"} 1\na_bucket{le="1.0"} 1\na_count 1\n', "malformed"),
        ('# TYPE a histogram\na_bucket{le="one"} 1\na_count 1\n', "malformed"),
        ('# TYPE a histogram\na_bucket{le="-Inf"} 1\na_count 1\n', "malformed"),
        ("# TYPE a histogram\na_bucket 1\na_count 1\n", "malformed"),
        ("# TYPE a histogram\na_sum 1\n", "malformed"),
        ("# TYPE a histogram\na_count +Inf\n", "malformed"),
        ('# TYPE a histogram\na_bucket{le="1"} 1e30\na_bucket{le="+Inf"} 1e30\na_count 1e30\n', "malformed"),
        (f"# TYPE a histogram\na_count {MAX_COUNT * 2}\n", "malformed"),
        (f"# TYPE {'a' * 256} gauge\n{'a' * 256} 1\n", "name"),
        (f"# TYPE a_total counter\na_total {'9' * 400}\n", "malformed"),
        (
            "# TYPE a histogram\n" + "".join(f'a_bucket{{le="{n}"}} 1\n' for n in range(MAX_BUCKETS)) + "a_count 1\n",
            "malformed",
        ),
    ],
)
def test_what_no_process_can_have_counted_is_left_out_and_counted(text: str, reason: str) -> None:
    scraped = gather(text)
    assert (list(scraped.metrics), scraped.omitted) == ([], {reason: 1})


@pytest.mark.parametrize("text", ["a NaN\n", '# TYPE a summary\na{quantile="0.5"} NaN\n'])
def test_what_is_undefined_is_not_told(text: str) -> None:
    scraped = gather(text)
    assert (list(scraped.metrics), scraped.omitted) == ([], {})


def test_a_histogram_of_negative_numbers_is_one() -> None:
    text = '# TYPE a histogram\na_bucket{le="-1"} 2\na_bucket{le="+Inf"} 3\na_sum -7\na_count 3\n'
    assert told(gather(text))["a"][2] == [({}, Buckets([-1.0], [2, 1], -7.0))]


def test_a_histogram_without_a_sum_has_none() -> None:
    (metric,) = gather('# TYPE a histogram\na_bucket{le="1"} 2\na_count 3\n').metrics
    ((_, value),) = metric.points
    assert isinstance(value, Buckets)
    assert (value.counts, isnan(value.total)) == ([2, 1], True)


def test_infinite_gauges_are_told_and_numbers_beyond_a_double_are_infinite() -> None:
    assert told(gather(f"a +Inf\nb -{'9' * 400}\n")) == {
        "a": ("gauge", "", [({}, inf)]),
        "b": ("gauge", "", [({}, -inf)]),
    }


def test_kinds_that_we_have_none_for_are_counted() -> None:
    text = '# TYPE a gaugehistogram\na_bucket{le="1"} 1\na_bucket{le="+Inf"} 2\na_gcount 2\na_gsum 3\n# EOF\n'
    native = "# TYPE a histogram\na {count:1,sum:1.0,schema:0,zero_threshold:0.0,zero_count:1}\n# EOF\n"
    assert gather(text, media=OPENMETRICS).omitted == {"kind": 1}
    assert gather(native, media=OPENMETRICS).omitted == {"malformed": 1}


def test_a_family_in_pieces_is_one_metric_and_its_repetitions_are_counted() -> None:
    text = '# TYPE a gauge\na{b="1",c="2"} 1\n# TYPE z gauge\nz 1\n# TYPE a gauge\na{b="2"} 2\na{c="2",b="1"} 3\n'
    scraped = gather(text)
    assert told(scraped)["a"][2] == [({"b": "1", "c": "2"}, 1.0), ({"b": "2"}, 2.0)]
    assert scraped.omitted == {"repeated": 1}


def test_a_name_of_two_kinds_keeps_the_first() -> None:
    scraped = gather("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a counter\na 5\n")
    assert told(scraped)["a"] == ("gauge", "", [({}, 1.0)])
    assert scraped.omitted == {"name": 1}


def test_points_beyond_the_limit_are_counted_over_all_families() -> None:
    text = "".join(f'# TYPE m{n} gauge\nm{n}{{i="0"}} 1\nm{n}{{i="1"}} 1\n' for n in range(4))
    scraped = gather(text, max_series=3)
    assert (scraped.points, [each.name for each in scraped.metrics]) == (3, ["m0", "m1"])
    assert scraped.omitted == {"series": 5}


@pytest.mark.parametrize(
    ("include", "names"),
    [
        (["*"], ["vllm:a", "vllm:b", "c"]),
        (["vllm:*"], ["vllm:a", "vllm:b"]),
        (["vllm:b_total"], ["vllm:b"]),
        (["vllm:b"], ["vllm:b"]),
        (["vllm:?"], ["vllm:a", "vllm:b"]),
        (["?"], ["c"]),
        (["[a-z]"], []),
        (["a", "C"], []),
    ],
)
def test_only_what_is_wanted_is_told(include: list[str], names: list[str]) -> None:
    text = "# TYPE vllm:a gauge\nvllm:a 1\n# TYPE vllm:b_total counter\nvllm:b_total 1\nc 1\n"
    scraped = gather(text, include=include)
    assert ([each.name for each in scraped.metrics], scraped.omitted) == (names, {})


_LABEL = st.text(alphabet='a_0."\\é', min_size=1, max_size=3)


@given(st.dictionaries(_LABEL, st.text(min_size=1, max_size=2), max_size=4), st.floats())
def test_any_gauge_comes_through_with_its_labels(labels: dict[str, str], value: float) -> None:
    quoted = {name: each.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, each in labels.items()}
    named = {name.replace("\\", r"\\").replace('"', r"\""): each for name, each in quoted.items()}
    inside = ",".join(f'"{name}"="{each}"' for name, each in named.items())
    try:
        scraped = gather(f'{{"a"{"," if inside else ""}{inside}}} {value!r}\n')
    except PayloadError:
        return
    for metric in scraped.metrics:
        ((at, told_value),) = metric.points
        assert sorted(map(str, at.values())) == sorted([*labels.values(), "champion", "3"])
        assert told_value == value


def test_a_name_is_as_long_as_opentelemetry_has_them() -> None:
    long = "a" * MAX_NAME
    scraped = gather(f'{long} 1\n# TYPE {long}a summary\n{long}a{{quantile="0.5"}} 1\n{long}a_sum 1\n{long}a_count 1\n')
    assert (list(told(scraped)), scraped.omitted) == ([long], {"name": 2})


def test_a_histogram_counts_as_far_as_a_double_does() -> None:
    ((_, value),) = told(gather(f"# TYPE a histogram\na_count {MAX_COUNT}\n"))["a"][2]
    assert isinstance(value, Buckets)
    assert value.counts == [2**53]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            "# HELP a_total A\n# TYPE a_total counter\na_total 1\n"
            "# HELP a_created A\n# TYPE a_created gauge\na_created 5\n",
            ["a"],
        ),
        ("# TYPE a histogram\na_count 1\n# TYPE a_created gauge\na_created 5\n", ["a"]),
        # A gauge of that name, and nothing that it would be the beginning of.
        ("# TYPE a_created gauge\na_created 5\n", ["a_created"]),
        ("# TYPE a gauge\na 1\n# TYPE a_created gauge\na_created 5\n", ["a", "a_created"]),
        (
            "# TYPE a_total counter\na_total 1\n# HELP a_created Ones made\n# TYPE a_created gauge\na_created 5\n",
            ["a", "a_created"],
        ),
    ],
)
def test_times_of_creation_are_not_told(text: str, names: list[str]) -> None:
    scraped = gather(text)
    assert (list(told(scraped)), scraped.omitted) == (names, {})


def test_an_empty_page_has_nothing_to_tell() -> None:
    assert gather("") == Scraped([], {})


def test_whatever_is_scraped_is_counted_by_somebody_else() -> None:
    assert [each.foreign for each in gather("# TYPE a counter\na_total 1\nb 1\n").metrics] == [True, True]
