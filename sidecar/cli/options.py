"""The options that name a configuration's sources: `--config`, and a flag for every key."""

import json
import os
import shlex
import textwrap
from collections.abc import Callable, Sequence

import click

from sidecar.config.keys import FILE_VARIABLE, Key, keys, plain
from sidecar.config.loading import Source

COLUMN, INDENT, SPACING, NARROWEST = 30, 2, 2, 10
"""Of `click.HelpFormatter.write_dl`: the widest first column, what is before and after it, the narrowest second one."""

KEPT = "\b\n"
"""Click's mark of a paragraph that it does not fold."""


class KeyOption(click.Option):
    """The flag of one key; its value stays a text, which the configuration itself reads."""

    def __init__(self, key: Key) -> None:
        told = "required; " if key.required else f"default: {_typed(key)}; " if key.default_text else ""
        super().__init__([key.flag, _parameter(key)], metavar="VALUE", help=f"{key.meaning} [{told}{key.variable}]")
        self.section = key.path.rpartition(".")[0]


class Sourced(click.Command):
    """A command that takes a configuration's sources: its callback gets a Source."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options under the section of their keys."""
        sections: dict[str, list[tuple[str, str]]] = {}
        shown = [(_heading(option), option.get_help_record(ctx)) for option in self.get_params(ctx)]
        for section, record in shown:
            sections.setdefault(section, []).extend([record] if record else [])
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(_folded(records, formatter.width))


def _heading(option: click.Parameter) -> str:
    if not isinstance(option, KeyOption):
        return "Options"
    return f"Keys of {option.section}" if option.section else "Keys"


def sourced(
    name: str, callback: Callable[..., object], text: str, more: Sequence[click.Parameter] = ()
) -> click.Command:
    """A command whose `callback` is called with a Source and with what its own options hold.

    Args:
        name: As it is typed.
        callback: Called as `callback(source, **own)`; what it returns is the exit code.
        text: The help.
        more: The command's own options.
    """
    file = click.Option(["--config"], metavar="FILE", envvar=FILE_VARIABLE, show_envvar=True, help="The YAML file.")
    known = [key for key in keys() if key.flag]

    def call(config: str | None, **values: object) -> object:
        texts = {key.path: values.pop(_parameter(key)) for key in known}
        given = {path: text for path, text in texts.items() if isinstance(text, str)}
        return callback(Source(config, given, dict(os.environ)), **values)

    params = [file, *more, *map(KeyOption, known)]
    return Sourced(name, callback=call, params=params, help=text, context_settings={"max_content_width": 120})


def _typed(key: Key) -> str:
    """The default of a key as one types it in a shell; a list or a mapping may be folded where it has spaces."""
    if isinstance(key.default, str):
        return shlex.quote(key.default)
    return shlex.quote(json.dumps(plain(key.default), ensure_ascii=False))


def _folded(records: Sequence[tuple[str, str]], width: int) -> list[tuple[str, str]]:
    """The records, their texts folded as click does it, but nowhere in a word: not after the hyphen of a header."""
    indent = min(max((len(name) for name, _ in records), default=0), COLUMN) + INDENT + SPACING
    text = max(width - indent, NARROWEST)
    return [
        (name, KEPT + "\n".join(textwrap.wrap(told, text, break_on_hyphens=False, break_long_words=False)))
        for name, told in records
    ]


def _parameter(key: Key) -> str:
    return key.path.replace(".", "__")
