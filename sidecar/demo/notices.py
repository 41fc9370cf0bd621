"""What the webhook receiver got, and how a plot tells of it and of everything else: seconds in, words out."""

import textwrap
from dataclasses import dataclass

from sidecar.demo.receiver import Received

WIDTH, INDENT = 100, " " * 4
"""Characters of a line of a notice, and those before it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What the receiver got, and how long after the first request."""

    elapsed_s: float
    received: Received


def at(elapsed_s: float, what: str) -> str:
    """What happened, as a line of its own.

    Example:
        >>> at(12.04, "nothing drifts any more")
        '>>> 12.0 s: nothing drifts any more'
    """
    return f">>> {elapsed_s:.1f} s: {what}"


def told(notice: Notice) -> list[str]:
    """A notice as it came."""
    received = notice.received
    return [
        at(notice.elapsed_s, f"ALERT {received.state}, at the webhook receiver, its signature right:"),
        *indented(received.title),
        *indented(received.text),
    ]


def indented(text: str) -> list[str]:
    """A text in lines."""
    return textwrap.wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)
