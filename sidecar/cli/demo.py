"""`sidecar demo`: shows the sidecar at work on a real model, without a network."""

from pathlib import Path

import click

SHORTEST_DRIFT_S = 20.0
"""Before an alert is told, and before it is resolved, it is held for some seconds."""


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
@click.option("--drift", is_flag=True, help="Make a reference, shift the rows after a while, and show the alert.")
def demo(*, rate: float, seconds: float | None, captures: Path | None, drift: bool) -> int:
    """Show the sidecar at work: a real model server, the sidecar before it, and a client that sends real rows.

    Trains a scikit-learn model on the breast cancer data that scikit-learn carries, serves it with MLServer over the
    Open Inference Protocol, and shows latencies and feature statistics while requests pass. Needs no network and
    listens on 127.0.0.1 only. Needs the extra: pip install 'sidecar[demo]'.

    With --drift, the sidecar watches for drift from the training rows. After a while three features are shifted: the
    alert is told as it reaches a webhook receiver, and so is its end when the rows are as usual again. The exit code is
    0 if all this was seen: one alert, of the shifted features and no others, and one resolved notice.

    \b
      sidecar demo --seconds 30
      sidecar demo --drift --seconds 60
    """  # noqa: D301  # click's mark of what is not to be wrapped
    if drift and seconds is not None and seconds < SHORTEST_DRIFT_S:
        raise click.BadParameter(f"expected at least {SHORTEST_DRIFT_S:g} with --drift.", param_hint="--seconds")
    from sidecar.demo.demo import Options, run  # after the options are read: a refusal should not wait for it

    return run(Options(rate, seconds, captures, drift))
