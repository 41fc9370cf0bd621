import pytest

from sidecar.config.scalars import parse_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("null", None),
        ("True", True),
        ("false", False),
        ("no", "no"),
        ("-7", -7),
        ("010", 10),
        ("1:30", "1:30"),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("9" * 5000, float("inf")),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("2024-99-99", "2024-99-99"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("٣", "٣"),
        ("3\n", "3\n"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert parse_scalar(text) == value
    assert type(parse_scalar(text)) is type(value)
