from sidecar.config.schema import Capture, Config, Part, Payload
from sidecar.config.values import LONGEST_S


def test_header_names_are_compared_in_lower_case() -> None:
    assert Capture(headers=("User-Agent",)).headers == ("user-agent",)
    assert Payload(redact_headers=("X-API-Key",)).redact_headers == ("x-api-key",)


def test_the_upstream_pool_closes_before_the_servers_that_people_run() -> None:
    uvicorn_keep_alive_s = 5

    assert Config().timeouts.pool_idle_s < uvicorn_keep_alive_s


def test_draining_ends_before_kubernetes_kills() -> None:
    termination_grace_period_s = 30

    assert Config().timeouts.drain_s < termination_grace_period_s < LONGEST_S


def test_configurations_that_say_the_same_are_equal() -> None:
    one = Config(capture=Capture(sinks=(Part(kind="jsonl", options={"path": "a"}),)))
    other = Config(capture=Capture(sinks=(Part(kind="jsonl", options={"path": "a"}),)))

    assert one == other
