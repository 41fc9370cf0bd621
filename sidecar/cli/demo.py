"""`sidecar demo`: shows the sidecar at work on a real model, without a network."""

from pathlib import Path

import click


@click.command()
@click.option(
    "--rate",
    type=click.FloatRange(0, 10_000, min_open=True),
    default=50.0,
    show_default=True,
    metavar="NUMBER",
    help="Requests per second that the client sends.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="NUMBER",
    help="End after so many seconds of requests; without it, Ctrl-C ends the demo.",
)
@click.option(
    "--captures",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where to write captures; without it, a new temporary folder, which is kept.",
)
def demo(rate: float, seconds: float | None, captures: Path | None) -> int:
    """Show the sidecar at work: a real model server, the sidecar before it, and a client that sends real rows.

    Trains a scikit-learn model on the breast cancer data that scikit-learn carries, serves it with MLServer over the
    Open Inference Protocol, and shows latencies and feature statistics while requests pass. Needs no network and
    listens on 127.0.0.1 only. Needs the extra: pip install 'sidecar[demo]'.

    \b
      sidecar demo --seconds 30
    """  # noqa: D301  # click's mark of what is not to be wrapped
    from sidecar.demo.demo import Options, run  # after the options are read: a refusal should not wait for it

    return run(Options(rate, seconds, captures))
