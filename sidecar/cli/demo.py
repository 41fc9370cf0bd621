"""`sidecar demo`: shows the sidecar at work on a real model, without a network."""

from pathlib import Path

import click

SHORTEST_DRIFT_S = 20.0
"""Before an alert is told, and before it is resolved, it is held for some seconds."""

FRAUD_S = 90.0
"""Of --fraud, where nothing is said."""

FRAUD_HELD_S, FRAUD_ROWS = 30.0, 1300
"""Of --fraud at least: for labels to come and an alert to be held, and for payments that tell something."""


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
    help=f"End after so many seconds of requests; without it, Ctrl-C ends the demo, and --fraud after {FRAUD_S:g} s.",
)
@click.option(
    "--captures",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where to write captures; without it, a new temporary folder, which is kept.",
)
@click.option("--drift", is_flag=True, help="Make a reference, shift the rows after a while, and show the alert.")
@click.option("--fraud", is_flag=True, help="Post labels late, have fraud change its kind, and show the alert.")
def demo(*, rate: float, seconds: float | None, captures: Path | None, drift: bool, fraud: bool) -> int:
    """Show the sidecar at work: a real model server, the sidecar before it, and a client that sends real rows.

    Trains a scikit-learn model on the breast cancer data that scikit-learn carries, serves it with MLServer over the
    Open Inference Protocol, and shows latencies and feature statistics while requests pass. Needs no network and
    listens on 127.0.0.1 only. Needs the extra: pip install 'sidecar[demo]'.

    With --drift, the sidecar watches for drift from the training rows. After a while three features are shifted: the
    alert is told as it reaches a webhook receiver, and so is its end when the rows are as usual again. The exit code is
    0 if all this was seen: one alert, of the shifted features and no others, and one resolved notice.

    With --fraud, the model is one of card fraud, trained on simulated payments: no package carries real ones. Labels
    are posted some seconds late, out of order, some twice, some never. After a while other payments are fraud, while
    payments come as before. The exit code is 0 if all was seen: the model becomes worse, one alert says that it is
    concept drift, and the webhook, which stands for a retraining, is called once.

    \b
      sidecar demo --seconds 30
      sidecar demo --drift --seconds 60
      sidecar demo --fraud
    """  # noqa: D301  # click's mark of what is not to be wrapped
    if drift and fraud:
        raise click.UsageError("--drift and --fraud: expected one of them.")
    if fraud and seconds is None:
        seconds = FRAUD_S
    least_s = SHORTEST_DRIFT_S if drift else FRAUD_HELD_S + FRAUD_ROWS / rate if fraud else 0.0
    if seconds is not None and seconds < least_s:
        told = "--drift" if drift else f"--fraud at {rate:g} requests per second"
        raise click.BadParameter(f"expected at least {least_s:g} with {told}.", param_hint="--seconds")
    from sidecar.demo.demo import run  # after the options are read: a refusal should not wait for it
    from sidecar.demo.stage import Options

    return run(Options(rate, seconds, captures, drift, fraud))
