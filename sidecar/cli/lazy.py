"""What is imported when it is first asked for: commands, and the registries of parts."""

from collections.abc import Iterator, Mapping
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from sidecar.config.keys import Family


def find(place: str) -> object:
    """The attribute that `place`, `module:attribute`, names.

    Example:
        >>> find("sidecar.errors:Fault").__name__
        'Fault'
    """
    module, _, attribute = place.partition(":")
    found: object = getattr(import_module(module), attribute)
    return found


class Commands(click.Group):
    """A group whose commands are named by their place.

    Args:
        places: Place and one line of help of each command, by its name.
    """

    def __init__(self, *, places: Mapping[str, tuple[str, str]], **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]  # click's own, as its decorator passes them on
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click calls it so
        """The names, in the table's order."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click calls it so
        """The command, imported; None where there is none of this name."""
        if cmd_name not in self._places:
            return None
        command = find(self._places[cmd_name][0])
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first argument; click's own refusal knows of no command that is not imported.

        Raises:
            UsageError: There is none of this name; it tells which one was meant.
        """
        name = args[0]
        if name[:1].isalnum() and name not in self._places and not ctx.resilient_parsing:
            from difflib import get_close_matches  # nobody who types well waits for it

            meant = get_close_matches(name, self._places, 1)
            told = f" Did you mean {meant[0]!r}?" if meant else ""
            raise click.UsageError(f"No such command {name!r}.{told}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and options that begin so, without importing a command."""
        names = [CompletionItem(name, help=about) for name, (_, about) in self._places.items()]
        return [item for item in names if item.value.startswith(incomplete)] + click.Command.shell_complete(
            self, ctx, incomplete
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        """The list of commands, without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in self._places.items()])


class Registries(Mapping[str, Family]):
    """The registries by the path of their key; a configuration that names no part imports none.

    Args:
        places: Where each is, by path.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __getitem__(self, path: str) -> Family:
        family = find(self._places[path])
        assert isinstance(family, Mapping)
        return family

    def __contains__(self, path: object) -> bool:
        return path in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


FAMILIES = Registries(
    {
        "capture.sinks": "sidecar.sinks:SINKS",
        "payload.format": "sidecar.payload:DECODERS",
        "monitors": "sidecar.monitors:MONITORS",
        "monitors[].detectors": "sidecar.detectors:DETECTORS",
        "labels": "sidecar.store:STORES",
        "experiment.measures": "sidecar.experiments:MEASURES",
        "rollout.guardrails": "sidecar.experiments:GUARDRAILS",
        "catalog": "sidecar.catalog:CATALOGS",
        "fleet": "sidecar.fleet:FLEETS",
        "alerts.channels": "sidecar.alerts:CHANNELS",
    }
)
"""The families whose parts a configuration may name."""
