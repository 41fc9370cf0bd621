import sys

import pytest

from sidecar.errors import ConfigError
from sidecar.sinks.otlp_settings import Signal, count, exporters, number, protocol, timeout_s

THERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}


@pytest.mark.parametrize("signal", ["METRICS", "LOGS"])
@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, ()),
        (THERE, ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_{}_ENDPOINT": "http://c:4318/v1"}, ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1"}, ()),
        ({"OTEL_{}_EXPORTER": "otlp"}, ("otlp",)),
        ({"OTEL_{}_EXPORTER": "console, otlp"}, ("console", "otlp")),
        (THERE | {"OTEL_{}_EXPORTER": "console"}, ("console",)),
        (THERE | {"OTEL_{}_EXPORTER": "none"}, ()),
        (THERE | {"OTEL_{}_EXPORTER": ""}, ("otlp",)),
        (THERE | {"OTEL_{}_EXPORTER": "elsewhere"}, ()),
        (THERE | {"OTEL_SDK_DISABLED": "TRUE"}, ()),
        (THERE | {"OTEL_SDK_DISABLED": "false"}, ("otlp",)),
    ],
)
def test_a_signal_goes_where_its_variables_say(
    signal: Signal, environ: dict[str, str], expected: tuple[str, ...]
) -> None:
    named = {name.format(signal): value for name, value in environ.items()}
    assert exporters(named, signal, elsewhere=("elsewhere",)) == expected


def test_an_unknown_exporter_is_refused_even_when_all_is_off() -> None:
    with pytest.raises(ConfigError, match=r"^OTEL_LOGS_EXPORTER: expected otlp, console or none, got 'prometheus'$"):
        exporters({"OTEL_LOGS_EXPORTER": "prometheus", "OTEL_SDK_DISABLED": "true"}, "LOGS")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf"}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": ""}, "grpc"),
        ({"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"}, "http/protobuf"),
    ],
)
def test_a_signals_own_protocol_outweighs_the_one_of_all(environ: dict[str, str], expected: str) -> None:
    assert protocol(environ, "LOGS") == expected


def test_a_protocol_that_nobody_speaks_is_refused_by_the_variable_that_says_so() -> None:
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json"}
    with pytest.raises(ConfigError, match=r"^OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: expected http/protobuf or grpc, got"):
        protocol(environ, "LOGS")


def test_grpc_without_its_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc", None)
    with pytest.raises(ConfigError, match=r"^OTEL_EXPORTER_OTLP_PROTOCOL: grpc needs the extra of that name"):
        protocol({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "LOGS")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, 10.0),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "3"}, 3.0),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "3", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "4"}, 4.0),
        ({"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "4"}, 10.0),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}, 30.0),
        ({"LIMIT": "2500"}, 2.5),
    ],
)
def test_an_export_takes_no_longer_than_either_limit(environ: dict[str, str], expected: float) -> None:
    assert timeout_s(environ, "LOGS", limit="LIMIT") == expected


@pytest.mark.parametrize(("text", "expected"), [("", 7.0), (" ", 7.0), ("0.5", 0.5), (" 1e3 ", 1000.0)])
def test_a_number_is_read_or_its_default_holds(text: str, expected: float) -> None:
    assert number({"N": text}, "N", 7.0) == expected


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "often", "1,5"])
def test_what_is_no_number_above_0_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        number({"N": text}, "N", 7.0)
    assert str(caught.value) == f"N: expected a number above 0, got {text!r}"


@pytest.mark.parametrize(("text", "expected"), [("", 7), (" ", 7), ("1", 1), (" 20 ", 20)])
def test_a_whole_number_is_read_or_its_default_holds(text: str, expected: int) -> None:
    assert count({"N": text}, "N", 7) == expected


@pytest.mark.parametrize("text", ["0", "-1", "nan", "1.5", "many", "9" * 5000])
def test_what_is_no_whole_number_above_0_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        count({"N": text}, "N", 7)
    assert str(caught.value) == f"N: expected a whole number above 0, got {text!r}"
