"""Which running sidecar a command asks."""

import click

from sidecar.config.keys import TO_VARIABLE

ADMIN = "http://127.0.0.1:9901"
"""Where the admin side of a sidecar is by default."""

to_option = click.option(
    "--to",
    metavar="URL",
    envvar=TO_VARIABLE,
    default=ADMIN,
    help=f"The sidecar's admin address. [{TO_VARIABLE}; default: {ADMIN}]",
)
