from pathlib import Path

import pytest
from opentelemetry.sdk import environment_variables

from sidecar.sinks.otlp_variables import KNOWN, faults, misspelt

OTLP = "OTEL_EXPORTER_OTLP_"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ENDPOINT", "127.0.0.1:4318", "expected http://host:port or https://host:port, got '127.0.0.1:4318'"),
        ("METRICS_ENDPOINT", "http://", "expected http://host:port or https://host:port, got 'http://'"),
        ("HEADERS", "a=b,secret", "expected name=value, or several with commas between them; number 2 is none"),
        ("COMPRESSION", "zip", "expected none or gzip or deflate, got 'zip'"),
        ("TRACES_CERTIFICATE", "/nope", "expected a file that can be read, got /nope"),
        ("CLIENT_KEY", "/nope", "expected a file that can be read, got /nope"),
    ],
)
def test_what_exporters_would_pass_over_is_named(name: str, value: str, message: str) -> None:
    assert [(each.path, each.message) for each in faults({OTLP + name: value})] == [(OTLP + name, message)]


def test_all_faults_are_told_at_once() -> None:
    environ = {OTLP + "ENDPOINT": "collector", OTLP + "COMPRESSION": "zip", "OTEL_RESOURCE_ATTRIBUTES": "team"}

    assert len(faults(environ)) == 3


def test_what_they_can_use_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("")
    environ = {
        OTLP + "ENDPOINT": "https://[::1]:4318/otlp",
        OTLP + "TRACES_ENDPOINT": "collector:4317",
        OTLP + "TRACES_PROTOCOL": "grpc",
        OTLP + "HEADERS": "authorization=Bearer%20a=b, x-tenant = c,",
        OTLP + "COMPRESSION": "Gzip",
        OTLP + "LOGS_COMPRESSION": "",
        OTLP + "CERTIFICATE": str(file),
        "OTEL_RESOURCE_ATTRIBUTES": "a=b,c=",
    }

    assert faults(environ) == []


def test_a_name_that_nobody_reads_is_taken_for_the_one_that_was_meant() -> None:
    environ = {OTLP + "ENPOINT": "x", "OTEL_TRACE_SAMPLER": "x", "OTEL_PYTHON_LOG_LEVEL": "x", "OTELL": "x"}

    assert misspelt(environ) == {OTLP + "ENPOINT": OTLP + "ENDPOINT", "OTEL_TRACE_SAMPLER": "OTEL_TRACES_SAMPLER"}


def test_no_variable_of_opentelemetry_is_taken_for_another() -> None:
    of_the_sdk = {name: "x" for name in vars(environment_variables) if name.startswith("OTEL_")}

    assert misspelt(of_the_sdk) == {}
    assert {name for name in KNOWN if not name.endswith("EXPORTER")} - {"OTEL_PROPAGATORS"} <= set(of_the_sdk)
