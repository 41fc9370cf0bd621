import subprocess
import sys

import click
import pytest

from sidecar.cli import COMMANDS
from sidecar.cli.lazy import FAMILIES, Commands, Registries, find


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name: str) -> None:
    command = Commands(name="sidecar", places=COMMANDS).get_command(click.Context(click.Command("sidecar")), name)

    assert command is not None
    assert command.name == name


def test_commands_are_listed_in_the_tables_order() -> None:
    context = click.Context(click.Command("sidecar"))

    assert Commands(name="sidecar", places=COMMANDS).list_commands(context) == list(COMMANDS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("staus", " Did you mean 'status'?"), ("Report", " Did you mean 'report'?"), ("xyzzy", "")],
)
def test_a_name_that_is_no_commands_is_told_with_the_one_that_was_meant(name: str, expected: str) -> None:
    commands = Commands(name="sidecar", places=COMMANDS)

    with pytest.raises(click.UsageError) as raised:
        commands.resolve_command(click.Context(commands), [name])
    assert raised.value.message == f"No such command {name!r}.{expected}"


def test_registries_are_found_by_their_path() -> None:
    registries = Registries({"a": "sidecar.sinks:SINKS"})

    assert registries["a"] is find("sidecar.sinks:SINKS")
    assert (list(registries), len(registries), "a" in registries, "b" in registries) == (["a"], 1, True, False)
    assert [path for path in FAMILIES if not FAMILIES[path]] == []


def test_a_start_imports_nothing_that_it_does_not_need() -> None:
    program = "import sys, sidecar.__main__, sidecar.cli.run; print(*sys.modules)"

    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    heavy = {
        "numpy",
        "yaml",
        "aiohttp",
        "opentelemetry",
        "orjson",
        "rich",
        "asyncio",
        "uvloop",
        "difflib",
        "sidecar.sinks",
    }
    assert heavy & set(modules) == set()
