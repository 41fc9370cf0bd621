import math
from collections.abc import Callable

import click
import pytest

from sidecar.cli.words import Data, Measured, data, digest, metric, once, pair, percent, stepped

SHA = "ab" * 32


@pytest.mark.parametrize("text", ["", "a", "=b", "="])
def test_a_pair_needs_a_name_and_an_equals_sign(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected NAME=VALUE, got"):
        pair(text)


def test_a_value_may_be_empty_or_hold_another_equals_sign() -> None:
    assert (pair("a="), pair("a=b=c")) == (("a", ""), ("a", "b=c"))


@pytest.mark.parametrize("text", ["", "a", "=1", "a=", "a=b", "a=1@2", "a=1,5", "0.5"])
def test_a_metric_is_a_name_and_a_number(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected NAME=NUMBER, got"):
        metric(text)


def test_a_metric_may_be_no_number_that_json_has() -> None:
    assert metric("loss=-inf") == Measured("loss", -math.inf, None)
    assert math.isnan(metric("loss=nan").value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", Measured("a", 1.0, None)),
        ("a=1@0", Measured("a", 1.0, 0)),
        ("a=1@-3", Measured("a", 1.0, -3)),
        ("a=1e3@9223372036854775807", Measured("a", 1000.0, 2**63 - 1)),
        ("p@5=0.5", Measured("p@5", 0.5, None)),
        ("p@5=0.5@7", Measured("p@5", 0.5, 7)),
    ],
)
def test_a_step_stands_behind_the_number(text: str, expected: Measured) -> None:
    assert stepped(text) == expected


@pytest.mark.parametrize(
    "text", ["a=1@", "a=1@x", "a=1@1.5", "a=1@9223372036854775808", "a=1@2@3", "a@1", "a=@1", "a=1@٣"]
)
def test_a_step_is_a_whole_number_of_64_bits(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected NAME=NUMBER"):
        stepped(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://data", Data("s3://data", "")),
        (f"s3://data@sha256:{SHA}", Data("s3://data", f"sha256:{SHA}")),
        (f"s3://data@sha256:{SHA.upper()}", Data("s3://data", f"sha256:{SHA}")),
        ("s3://me@host/x@y", Data("s3://me@host/x@y", "")),
    ],
)
def test_data_may_have_a_digest(text: str, expected: Data) -> None:
    assert data(text) == expected


@pytest.mark.parametrize("text", ["", f"@sha256:{SHA}", "a@sha256:", f"a@sha256:{SHA}0", "a@sha256:xyz"])
def test_a_digest_of_data_is_whole(text: str) -> None:
    with pytest.raises(click.BadParameter, match="64 hexadecimal digits"):
        data(text)


def test_a_digest_is_said_or_taken() -> None:
    assert (digest("auto"), digest(f"SHA256:{SHA}")) == ("auto", f"sha256:{SHA}")


@pytest.mark.parametrize(
    ("read", "text"),
    [(digest, "AUTO"), (digest, "md5:00"), (percent, "-0.1"), (percent, "100.1"), (percent, "nan"), (percent, "inf")],
)
def test_what_is_none_is_refused(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected"):
        read(text)


def test_a_name_that_is_said_twice_is_refused() -> None:
    assert once([("a", 1), ("b", 1)], "--metric") == {"a": 1, "b": 1}
    with pytest.raises(click.BadParameter, match="a is said twice") as told:
        once([("a", 1), ("a", 2)], "--metric")
    assert told.value.param_hint == "--metric"
