"""`sidecar inject`: puts the sidecar into the pods of a manifest, as the webhook does it in a cluster."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import click

from sidecar.cli.words import once, pair
from sidecar.errors import ConfigError, Fault

if TYPE_CHECKING:
    from sidecar.injection.containers import Settings
    from sidecar.injection.wishes import Mode

Command = TypeVar("Command", bound=Callable[..., object])

_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([munkMGTPE]|[KMGTPE]i)?")


def _quantity(_context: click.Context, _option: click.Parameter, text: str) -> str:
    if not _QUANTITY.fullmatch(text) or not re.search("[1-9]", text):
        raise click.BadParameter(f"expected a quantity of Kubernetes', as in 250m or 256Mi, got {text!r}.")
    return text


def _image(_context: click.Context, _option: click.Parameter, text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise click.BadParameter(f"expected an image's name, got {text!r}.")
    return text


OPTIONS = (
    click.option("--image", required=True, callback=_image, metavar="NAME", help="The sidecar's image, with its tag."),
    click.option(
        "--mode",
        type=click.Choice(["transparent", "plain"]),
        default="transparent",
        show_default=True,
        help="Of pods that do not say: redirect the model server's port, or have the Service point at the sidecar.",
    ),
    click.option("--cpu", default="250m", show_default=True, callback=_quantity, help="What the sidecar requests."),
    click.option("--memory", default="256Mi", show_default=True, callback=_quantity, help="Likewise."),
    click.option(
        "--memory-limit", default="512Mi", show_default=True, callback=_quantity, help="What it takes at most."
    ),
    click.option(
        "--env", multiple=True, metavar="NAME=VALUE", help="A variable of the sidecar; $(HOST_IP) is its node."
    ),
)
"""What is the same for all pods."""


def settings_options(command: Command) -> Command:
    """Gives a command these options."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def settings(values: dict[str, object], *, unasked: bool) -> "Settings":
    """What the options say.

    Args:
        unasked: Whether pods that say nothing are meant.
    """
    from sidecar.injection.containers import Settings

    given = cast("Sequence[str]", values["env"])
    variables = once([pair(each) for each in given], "--env")
    if wrong := [name for name in variables if not _VARIABLE.fullmatch(name)]:
        raise click.BadParameter(f"expected the name of a variable, got {wrong[0]!r}.", param_hint="--env")
    return Settings(
        image=str(values["image"]),
        mode=cast("Mode", values["mode"]),
        unasked=unasked,
        cpu=str(values["cpu"]),
        memory=str(values["memory"]),
        memory_limit=str(values["memory_limit"]),
        environment=variables,
    )


@click.command()
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True),
    required=True,
    help="The manifest; - is standard input.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    default="-",
    help="Where the result goes; by default to standard output.",
)
@settings_options
def inject(*, file: Path, output: Path, **values: object) -> int:
    """Put the sidecar into the pods of a manifest.

    Takes any number of YAML documents: Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs, and
    Lists of them; everything else passes as it is. What became of each is told on stderr. A pod in which something is
    in the way, or that has the sidecar, stays as it is.

    \b
      kubectl get deployment fraud -o yaml | sidecar inject -f - --image sidecar:1 | kubectl apply -f -
    """  # noqa: D301  # click's mark of what is not to be wrapped
    from sidecar.injection.documents import inject_text

    wanted = settings(values, unasked=True)
    try:
        text, told = inject_text(_read(file), wanted)
    except UnicodeDecodeError as error:
        raise ConfigError(Fault(str(file), f"expected UTF-8: {error.reason}")) from error
    except ConfigError as error:
        raise ConfigError(*(Fault(str(file), fault.message) for fault in error.faults)) from error
    if str(output) == "-":
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
    for name, injection in told:
        # A refusal's warning is what is told of it anyhow.
        more = injection.warnings if injection.outcome == "injected" else ()
        click.echo("; ".join((f"{name}: {injection.outcome}: {injection.told}", *more)), err=True)
    return 0


def _read(file: Path) -> str:
    return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
