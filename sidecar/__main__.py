"""`python -m sidecar`, and the console script: every error ends here, as a line for people and an exit code."""

import os
import sys
from collections.abc import Sequence

import click

from sidecar import __version__
from sidecar.cli import COMMANDS
from sidecar.cli.lazy import Commands
from sidecar.errors import ConfigError

EXIT_FAILED = 1
EXIT_CONFIG = 64  # EX_USAGE of sysexits.h, as linkerd2-proxy has it: starting again will not help
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_HELP = """A transparent proxy beside any model server that watches the model.

Put it in front of a server that listens on port 8081; clients use port 8080, metrics are on 127.0.0.1:9901:

\b
  sidecar run --upstream http://127.0.0.1:8081
  sidecar top
"""

_EXITS = """The exit code is 0 if all is well and done; 1 if it failed or was refused; 3 if what was looked at is not
well (status, report, inject); 64 if the command line, a file or a configuration cannot be used; 69 if nobody answers;
130 after Ctrl-C. Colours are for terminals, and for none where NO_COLOR is set."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code.

    Args:
        arguments: Without the program's name; by default the process's own.
    """
    # One thread for matrices of a few dozen columns, unless the user says otherwise: several take ten times the CPU.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    commands = Commands(
        name="sidecar",
        help=_HELP,
        epilog=_EXITS,
        # https://no-color.org
        context_settings={"color": False} if os.environ.get("NO_COLOR") else {},
        places=COMMANDS,
        no_args_is_help=False,
        invoke_without_command=True,
        callback=_bare,
        params=[click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version)],
    )
    try:
        code = commands.main(arguments, prog_name="sidecar", standalone_mode=False)
    except ConfigError as error:
        return _end(EXIT_CONFIG, *error.faults)
    except click.UsageError as error:
        return _end(EXIT_CONFIG, f"{error.format_message()} See `{_path(error)} --help`.")
    except click.Abort:
        return EXIT_INTERRUPTED
    except OSError as error:
        return _end(EXIT_FAILED, f"cannot start: {error}")
    return code if isinstance(code, int) else 0


def _path(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx else "sidecar"


def _end(code: int, *lines: object) -> int:
    for line in lines:
        click.echo(str(line), err=True)
    return code


@click.pass_context
def _bare(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001  # click calls it so
    if wanted:
        click.echo(f"sidecar {__version__}")
        ctx.exit()


if __name__ == "__main__":
    sys.exit(main())
