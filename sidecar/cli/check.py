"""`sidecar check`: reads the configuration as `sidecar run` would, and does nothing else."""

import click
import msgspec

from sidecar import build
from sidecar.cli.lazy import FAMILIES
from sidecar.cli.options import sourced
from sidecar.config.json_schema import schema
from sidecar.config.loading import Source


def _check(source: Source, *, print_schema: bool) -> int:
    if print_schema:
        click.echo(msgspec.json.format(msgspec.json.encode(schema(FAMILIES)), indent=2))
        return 0
    config = source.load(FAMILIES)
    build.constraints(config.reference.path)
    click.echo("ok")
    return 0


check = sourced(
    "check",
    _check,
    """Check a configuration without starting anything.

    Takes the same file, variables and flags as `sidecar run`. Prints ok; or every fault in a line of its own on
    stderr, with exit code 64.

    \b
      sidecar check --config sidecar.yaml
    """,
    [click.Option(["--schema", "print_schema"], is_flag=True, help="Print the file's JSON Schema instead.")],
)
