from sidecar.instruments import attribution_metrics
from sidecar.monitors.attribution import Attribution
from tests.instruments.rig import attributing, by_name


def test_rankings_are_told_by_version_and_calls_by_what_became_of_them() -> None:
    found = by_name(attribution_metrics(attributing(), {"made": 3, "failed": 1}))

    [(at, ndcg)] = found["sidecar.attribution.ndcg"].points
    assert at == {"feature_flag.result.variant": "champion", "sidecar.version": "3"}
    assert isinstance(ndcg, float)
    assert 0 < ndcg < 0.9
    assert found["sidecar.attribution.calls"].points == [
        ({"sidecar.outcome": "made"}, 3),
        ({"sidecar.outcome": "failed"}, 1),
    ]


def test_before_a_ranking_there_is_none() -> None:
    found = by_name(attribution_metrics(Attribution().attribute(), {}))

    assert found["sidecar.attribution.ndcg"].points == []
