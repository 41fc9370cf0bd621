from sidecar.config.telemetry import Attribute, CustomMetric
from sidecar.exchange import Exchange, Message
from sidecar.instruments.custom import custom_metrics
from sidecar.payload.custom import Custom
from sidecar.payload.reading import Reader
from sidecar.records import Buckets
from tests.instruments.rig import by_name

TENANT = Attribute(name="app.tenant", header="x-tenant", values=("a",))
COST = CustomMetric(
    name="cost", kind="counter", header="x-cost", unit="{dollar}", description="D", attributes=(TENANT,)
)
QUEUE = CustomMetric(name="queue", kind="value", header="x-queue")
LOGIT = CustomMetric(name="logit", kind="histogram", header="x-logit", bounds=(0.0, 1.0))


def exchange(asked: bytes, answered: bytes, version: str = "3") -> Exchange:
    messages = Message(asked, ()), Message(answered, ())
    return Exchange("r", "champion", version, "POST", b"/", "", 200, "", *messages, 0, 0, 0, 0, 0.5)


def counted(*exchanges: Exchange) -> Custom:
    custom = Custom([COST, QUEUE, LOGIT], max_series=2)
    for each in exchanges:
        custom.count(each, *Reader(max_inflated_bytes=1).read(each), bodies=True)
    return custom


def test_without_metrics_of_ones_own_there_are_none() -> None:
    assert custom_metrics(None) == []


def test_they_are_told_under_their_own_names() -> None:
    reply = b"x-cost: 2\r\nx-queue: 7\r\nx-logit: -1\r\n"
    metrics = by_name(custom_metrics(counted(exchange(b"x-tenant: a\r\n", reply), exchange(b"", reply, version=""))))
    new, unknown = (
        {"feature_flag.result.variant": "champion", "sidecar.version": "3"},
        {"feature_flag.result.variant": "champion"},
    )
    cost = metrics["cost"]
    assert (cost.kind, cost.unit, cost.description) == ("counter", "{dollar}", "D")
    assert cost.points == [({**new, "app.tenant": "a"}, 4.0), (unknown, 4.0)]
    assert metrics["queue"].kind == "gauge"
    assert metrics["queue"].points == [(new, 7.0), (unknown, 7.0)]
    assert metrics["logit"].kind == "histogram"
    assert metrics["logit"].points == [
        (new, Buckets((0.0, 1.0), [2, 0, 0], -2.0)),
        (unknown, Buckets((0.0, 1.0), [2, 0, 0], -2.0)),
    ]


def test_what_is_in_none_of_them_is_told() -> None:
    custom = counted(*(exchange(b"", b"x-queue: 1\r\nx-cost: x\r\n", version=str(n)) for n in range(3)))
    metrics = by_name(custom_metrics(custom))
    names = ("cost", "queue", "logit")
    assert metrics["sidecar.custom.failures"].points == [
        ({"sidecar.metric": name}, count) for name, count in zip(names, (3, 0, 0), strict=True)
    ]
    assert metrics["sidecar.custom.omitted"].points == [
        ({"sidecar.metric": name}, count) for name, count in zip(names, (0, 1, 0), strict=True)
    ]


def test_what_is_said_of_them_can_be_told_whatever_it_is() -> None:
    custom = Custom(
        [CustomMetric(name="cost", kind="counter", header="c", unit="\ud800", description="a\ud800")], max_series=1
    )
    cost = by_name(custom_metrics(custom))["cost"]
    assert (cost.unit, cost.description) == ("\\ud800", "a\\ud800")
