"""`sidecar status`: how a running sidecar and its model are."""

import click

from sidecar.cli.admin import Admin, asked
from sidecar.cli.asking import json_option, told_refusals
from sidecar.cli.looking import Look, Variant, look
from sidecar.cli.telling import document, folded, spelled, table, tell

EXIT_UNWELL = 3

COLOURS = {"good": "green", "warn": "yellow", "bad": "red"}
MARKS = {"good": "●", "warn": "▲", "bad": "■"}
"""Not by colour alone."""

HEADER = ("variant", "version", "share", "requests/s", "errors", "p50", "p99", "own p99")


@click.command()
@json_option
@asked
@told_refusals
def status(admin: Admin, *, as_json: bool) -> int:
    """Tell how a sidecar and its model are: the verdict, the traffic of each variant, and the alerts that fire.

    \b
      sidecar status
      sidecar status --to http://10.0.3.7:9901 --token-file token
      sidecar status --json | jq .overview.headline

    The exit code is 0 if requests are served and no alert fires, 3 if one does or requests should not come, 64 if the
    command line cannot be used, and 69 if nobody answers.
    """  # noqa: D301  # click's mark of what is not to be wrapped
    found = look(admin)
    if as_json:
        document(found)
    else:
        _tell(found)
    return 0 if found.well else EXIT_UNWELL


def verdict(state: str, sentence: str, indent: str = "") -> str:
    """A sentence with its mark; coloured and folded where click writes to a terminal.

    Args:
        indent: What stands before the mark.
    """
    text = folded(spelled(sentence), f"{indent}  ").lstrip()
    return f"{click.style(MARKS.get(state, '○'), fg=COLOURS.get(state))} {text}"


def cells(variant: Variant) -> tuple[str, ...]:
    """What HEADER names."""
    return (
        spelled(variant.name),
        spelled(variant.version),
        _percent(variant.share_ratio),
        f"{variant.rate.requests_per_s or 0:.4g}",
        _percent(variant.error_ratio),
        seconds(variant.duration_s.p50),
        seconds(variant.duration_s.p99),
        seconds(variant.overhead_s.p99),
    )


def seconds(value_s: float | None) -> str:
    """A duration in the unit that people say; empty for none.

    Example:
        >>> seconds(0.0123), seconds(0.000061), seconds(2.5), seconds(None)
        ('12.3 ms', '61 µs', '2.5 s', '')
    """
    if value_s is None:
        return ""
    scale, unit = (1.0, "s") if value_s >= 1 else (1e3, "ms") if value_s >= 1e-3 else (1e6, "µs")
    return f"{value_s * scale:.3g} {unit}"


def _percent(ratio: float | None) -> str:
    return "" if ratio is None or ratio != ratio else f"{100 * ratio:.3g} %"  # noqa: PLR0124  # NaN


def _tell(found: Look) -> None:
    tell(verdict(found.overview.headline.state, found.overview.headline.sentence))
    for each in found.of_variants:
        tell(f"  {verdict(each.state, each.sentence, '  ')}")
    if found.status.captures.undecoded:
        tell(verdict("warn", found.status.captures.undecoded))
    tell()
    table(HEADER, [cells(each) for each in found.status.variants])
    for alert in found.firing:
        tell()
        tell(verdict("bad", f"{alert.severity}: {alert.title}"))
        tell(folded(spelled(alert.text), "  "))
    if found.status.config.error:
        tell()
        tell(verdict("warn", f"the latest configuration was refused: {found.status.config.error}"))
