import click
import pytest

from sidecar.cli.spans import facet, length, moment, size


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1.5h", "400d", "1w", "1h ", "99999999999h"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a length of time"):
        length(text)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-11-23T25:00", "0001-01-01T00:00:00+23:00x"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a moment"):
        moment(text)


def test_a_moment_is_utc_unless_it_says_otherwise() -> None:
    assert moment("1970-01-01T01:00") == moment("1970-01-01T02:00+01:00") == moment("1970-01-01T01:00Z") == 3600.0


@pytest.mark.parametrize("text", ["", "GiB", "0", "0.1B", "-1", "1GB", "1e9", "nan", "4 gib"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a size"):
        size(text)


@pytest.mark.parametrize("text", ["", "gender", "=f", "gender=", "age<x", "age>nan", "age<inf"])
def test_what_is_no_group_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected"):
        facet(text)


def test_a_group_is_one_that_the_monitor_takes() -> None:
    assert [facet(text).fault() for text in ("gender=f", "gender=f,x", "age<25", "age>-1e3")] == [""] * 4
    assert facet("a=b=c").values == ("b=c",)
