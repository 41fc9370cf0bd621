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
    from sidecar.injection.containers import Settings, Unasked
    from sidecar.injection.wishes import Mode

Command = TypeVar("Command", bound=Callable[..., object])

_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")

EXIT_REFUSED = 3
"""Written, and yet not all that was asked for."""

ANNOTATIONS = """\b
Annotations of a pod (a template's, where a Deployment has one):
  sidecar.internal/inject         "true" asks for the sidecar, "false" never [as the command has it]
  sidecar.internal/upstream-port  the model server's port, by number or name [the only TCP port declared]
  sidecar.internal/config         a ConfigMap with sidecar.yaml, which then names the upstream [none]
  sidecar.internal/mode           transparent or plain [--mode]
  sidecar.internal/admin-secret   a Secret with token: opens port 9901 to other pods [none: 127.0.0.1 only]
"""


def _quantity(_context: click.Context, _option: click.Parameter, text: str) -> str:
    from sidecar.injection.quantities import quantity

    try:
        quantity(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    return text


def _memory(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    from sidecar.injection.quantities import quantity

    if text is None:
        return None
    if quantity(_quantity(context, option, text)).denominator != 1:
        raise click.BadParameter(f"expected whole bytes, as in 256Mi, got {text!r}.")
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
    click.option("--memory", default="256Mi", show_default=True, callback=_memory, help="Likewise."),
    click.option(
        "--memory-limit", callback=_memory, help="What it takes at most.  [default: 512Mi, or --memory if that is more]"
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


def settings(values: dict[str, object], *, unasked: "Unasked") -> "Settings":
    """What the options say.

    Args:
        unasked: What becomes of pods that say nothing.
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
        memory_limit=_limit(str(values["memory"]), cast("str | None", values["memory_limit"])),
        environment=variables,
    )


def _limit(memory: str, limit: str | None) -> str:
    """A container that requests more than it may take is refused, and its pod with it."""
    from sidecar.injection.containers import MEMORY_LIMIT
    from sidecar.injection.quantities import quantity

    if limit is None:
        return max(MEMORY_LIMIT, memory, key=quantity)
    if quantity(limit) < quantity(memory):
        raise click.BadParameter(f"expected at least --memory, {memory}, got {limit!r}.", param_hint="--memory-limit")
    return limit


@click.command(epilog=ANNOTATIONS)
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
    Lists of them. Only what is put in changes: comments and all else stay as they are. What became of each pod is told
    on stderr. A pod that has the sidecar, or forbids it, stays as it is; so does one in which something is in the way,
    and then the exit code is 3, though the rest is written.

    \b
      kubectl get deployment fraud -o yaml | sidecar inject -f - --image sidecar:1 | kubectl apply -f -
    """  # noqa: D301  # click's mark of what is not to be wrapped
    from sidecar.injection.documents import inject_text

    wanted = settings(values, unasked="inject")
    name = "standard input" if str(file) == "-" else str(file)
    try:
        text, told = inject_text(_read(file), wanted)
    except UnicodeDecodeError as error:
        raise ConfigError(Fault(name, f"expected UTF-8: {error.reason}")) from error
    except ConfigError as error:
        raise ConfigError(*(Fault(name, fault.message) for fault in error.faults)) from error
    if str(output) == "-":
        sys.stdout.write(text)
    else:
        output.write_bytes(text.encode())
    for pod, injection in told:
        click.echo("; ".join((f"{pod}: {injection.outcome}: {injection.told}", *injection.warnings)), err=True)
    if not told:
        click.echo(f"{name}: no pod in it", err=True)
    return EXIT_REFUSED if any(each.injection.outcome == "refused" for each in told) else 0


def _read(file: Path) -> str:
    """Line breaks stay as they are."""
    return (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()).decode()
