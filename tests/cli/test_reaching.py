import click
import pytest
from click.testing import CliRunner

from sidecar.cli.reaching import ADMIN, to_option
from sidecar.config.keys import TO_VARIABLE, keys


@click.command()
@to_option
def told(to: str) -> None:
    click.echo(to)


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        ([], {}, ADMIN),
        ([], {TO_VARIABLE: "http://pod:1"}, "http://pod:1"),
        (["--to", "unix:/a"], {TO_VARIABLE: "http://pod:1"}, "unix:/a"),
    ],
)
def test_the_command_line_outweighs_the_variable_and_that_the_default(
    arguments: list[str], variables: dict[str, str], expected: str
) -> None:
    assert CliRunner().invoke(told, arguments, env=variables).output == f"{expected}\n"


def test_the_default_is_where_a_sidecar_is_by_default() -> None:
    (admin,) = (key.default for key in keys() if key.path == "admin")

    assert f"http://{admin}" == ADMIN
