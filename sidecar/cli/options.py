"""The options that name a configuration's sources: `--config`, and a flag for every key."""

import os
from collections.abc import Callable, Sequence

import click

from sidecar.config.keys import FILE_VARIABLE, Key, keys
from sidecar.config.loading import Source


class KeyOption(click.Option):
    """The flag of one key; its value stays a text, which the configuration itself reads."""

    def __init__(self, key: Key) -> None:
        default = key.default_text.strip('[]"').replace('","', ", ")
        told = f"{default}; " if key.required else f"default: {default}; " if default else ""
        super().__init__([key.flag, _parameter(key)], metavar="VALUE", help=f"{key.description} [{told}{key.variable}]")
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
                formatter.write_dl(records)


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


def _parameter(key: Key) -> str:
    return key.path.replace(".", "__")
