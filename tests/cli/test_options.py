import re
import shlex

import click
import pytest

from sidecar.cli.options import sourced
from sidecar.config.documents import parse_yaml
from sidecar.config.keys import keys, plain
from sidecar.config.loading import Source

SEEN: list[tuple[Source, dict[str, object]]] = []


def see(source: Source, **own: object) -> int:
    SEEN.append((source, own))
    return 7


COMMAND = sourced("see", see, "See.", [click.Option(["--loud"], is_flag=True, help="Shout.")])


def test_every_key_is_a_flag_whose_text_is_passed_on() -> None:
    flags = {key.path: (key.flag, f"text of {key.path}") for key in keys() if key.flag}
    arguments = [word for pair in flags.values() for word in pair]

    assert COMMAND.main([*arguments, "--config", "a.yaml", "--loud"], standalone_mode=False) == 7

    source, own = SEEN.pop()
    assert source.flags == {path: text for path, (_, text) in flags.items()}
    assert (source.path, own) == ("a.yaml", {"loud": True})


def test_what_is_not_given_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIDECAR_CONFIG", raising=False)
    monkeypatch.setenv("SIDECAR_LISTEN", "0.0.0.0:1")

    COMMAND.main([], standalone_mode=False)

    source, own = SEEN.pop()
    assert (source.path, source.flags, own) == (None, {}, {"loud": False})
    assert source.environ["SIDECAR_LISTEN"] == "0.0.0.0:1"


def test_help_tells_meaning_default_and_variable_under_the_section() -> None:
    help_ = COMMAND.get_help(click.Context(COMMAND, terminal_width=200))

    limits = help_.partition("Keys of limits:\n")[2].partition("\n\n")[0]
    assert "Header fields of a message. [default: 200; SIDECAR_LIMITS__FIELDS]" in limits
    assert "[required; SIDECAR_TLS__CERT]" in help_
    assert "wait to be told. One of: promote, hold. [default: promote; SIDECAR_ROLLOUT__FINISH]" in help_
    assert help_.count("\nKeys:\n") == help_.count("\nOptions:\n") == 1


@pytest.mark.parametrize("width", [40, 79, 118])
def test_a_default_is_told_as_one_types_it_however_narrow_the_terminal(width: int) -> None:
    help_ = COMMAND.get_help(click.Context(COMMAND, terminal_width=width))
    told = {
        variable: shlex.split(f"{flag} {text}")
        for flag, text, variable in re.findall(
            r"^  (--\S+) VALUE(?:(?!^  --).)*?\[default:\s+((?:(?!^  --).)*?);\s+(SIDECAR_\w+)\]",
            help_,
            re.MULTILINE | re.DOTALL,
        )
    }

    known = {key.variable: key for key in keys() if key.flag and key.default_text and not key.required}
    assert told.keys() == known.keys()
    for variable, (flag, text) in told.items():
        default = known[variable].default
        assert flag == known[variable].flag
        assert (text if isinstance(default, str) else parse_yaml(text)) == plain(default)
