"""`sidecar check`: reads the configuration as `sidecar run` would, with the files that it names, and does no more."""

import os
from collections.abc import Iterator
from typing import get_args

import click
import msgspec

from sidecar.build import monitoring, serving
from sidecar.cli.lazy import FAMILIES
from sidecar.cli.options import sourced
from sidecar.config.json_schema import schema
from sidecar.config.keys import Family, options, shape
from sidecar.config.loading import Source
from sidecar.config.schema import Config, Part
from sidecar.config.values import File
from sidecar.errors import ConfigError, Fault


def _check(source: Source, *, print_schema: bool) -> int:
    if print_schema:
        click.echo(msgspec.json.format(msgspec.json.encode(schema(FAMILIES)), indent=2))
        return 0
    config = source.load(FAMILIES)
    monitoring.check_rules(config)
    monitoring.graders(config)
    monitoring.weighing(config, 0.0)
    monitoring.attributing(config.monitors)
    monitoring.reference(config.reference)
    serving.admin_token(config.admin_token, config.admin_token_file)
    serving.listener_tls(config.tls)
    if faults := [
        fault
        for place, part in enumerate(config.alerts.channels)
        for fault in _absent(part, FAMILIES["alerts.channels"], f"alerts.channels[{place}]")
    ]:
        raise ConfigError(*faults)
    for caution in _cautions(config):
        click.echo(f"caution: {caution}", err=True)
    click.echo("ok")
    return 0


def _cautions(config: Config) -> Iterator[str]:
    """What may be meant, and seldom is."""
    if (rollout := config.rollout) is not None:
        old, new = (config.variants[name].version for name in (rollout.champion, rollout.challenger))
        if old and old == new:
            told = f"rollout: {rollout.champion} and {rollout.challenger} are both of version {new}"
            yield f"{told}; a rollout begins once for each version, and reports, alerts and the catalogue name it so"


def _absent(part: Part, family: Family, path: str) -> Iterator[Fault]:
    """The files of a part that cannot be read now. When `sidecar run` starts they need not be there yet."""
    for option in options(family[part.kind]):
        file = part.options.get(option.name)
        if isinstance(file, str) and get_args(File)[1] in shape(option.annotation).notes and not _readable(file):
            yield Fault(f"{path}.{option.name}", f"expected a file that can be read, got {file}")


def _readable(file: str) -> bool:
    try:
        return os.access(file, os.R_OK)
    except ValueError:
        return False


check = sourced(
    "check",
    _check,
    """Check a configuration without starting anything.

    Takes the same file, variables and flags as `sidecar run`. Prints ok, with cautions on stderr where something is
    seldom meant; or every fault in a line of its own on stderr, with exit code 64.

    \b
      sidecar check --config sidecar.yaml
    """,
    [click.Option(["--schema", "print_schema"], is_flag=True, help="Print the file's JSON Schema instead.")],
)
