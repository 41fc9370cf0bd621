"""`sidecar inject-webhook`: answers a cluster that asks what to put into its pods."""

import sys
from asyncio import run
from pathlib import Path

import click

from sidecar.cli.inject import ANNOTATIONS, settings, settings_options
from sidecar.config.addresses import SocketAddress, parse_address

_FILE = click.Path(dir_okay=False, path_type=Path)


def _address(_context: click.Context, _option: click.Parameter, text: str) -> SocketAddress:
    try:
        address = parse_address(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    if not isinstance(address, SocketAddress):
        raise click.BadParameter(f"expected host:port or [v6]:port, got {text!r}.")
    return address


@click.command("inject-webhook", epilog=ANNOTATIONS)
@click.option("--listen", default="[::]:8443", show_default=True, callback=_address, help="Where the API server asks.")
@click.option("--cert", type=_FILE, required=True, help="PEM file of the certificate; read again when it changes.")
@click.option("--key", type=_FILE, required=True, help="PEM file of its private key.")
@click.option("--all", "unasked", is_flag=True, help="Answer at /inject as at /inject/all.")
@settings_options
def webhook(*, listen: SocketAddress, cert: Path, key: Path, unasked: bool, **values: object) -> int:
    """Put the sidecar into the pods of a cluster: a mutating admission webhook.

    Answers AdmissionReview v1 over TLS. At /inject a pod asks with the annotation or label sidecar.internal/inject:
    "true"; at /inject/all it gets the sidecar without asking, if it has a port that speaks HTTP. Every pod is admitted;
    one in which something is in the way is left as it is, with a warning. What to apply to a cluster is in k8s/inject.

    \b
      sidecar inject-webhook --cert tls.crt --key tls.key --image sidecar:1
    """  # noqa: D301  # click's mark of what is not to be wrapped
    wanted = settings(values, unasked="try" if unasked else "leave")
    from sidecar.injection import webhook as served
    from sidecar.sinks.own_log import configure

    # The API server is not to wait for whoever reads stderr.
    own = configure(format="text", level="info", stream=sys.stderr)
    own.export(None)
    try:
        run(served.run(wanted, listen, served.Certificate(cert, key)))
    finally:
        own.close()
    return 0
