"""What is found when a frame is compared with a reference: findings, and every column beside what it was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from sidecar.texts import shown

if TYPE_CHECKING:
    import pandas

SHOWN = 20
"""Findings in a notebook's cell; all of them are in `findings`."""

NAME = 60
"""Characters of a name there."""


class FrameFinding(NamedTuple):
    """Something that holds against a column of the frame.

    Args:
        check: The detector, or SageMaker's name of the check that the column does not pass.
        sentence: What happened to it.
        statistic: The check's number; None where it has none, as the next two.
        limit: What that may be.
        p_value: The probability of such a number or a greater one without any change.
        share: The column's part of what the check found.
    """

    column: str
    check: str
    sentence: str
    statistic: float | None
    limit: float | None
    p_value: float | None
    share: float


class FrameColumn(NamedTuple):
    """A column of the frame, and what it was in the reference.

    Args:
        subject: `features`, or `predictions`.
        rows: Of the frame.
        missing: Rows without a value.
        mean: Of the numbers; NaN without any, as the next three.
        std: Standard deviation of the population (ddof = 0).
        reference_mean: Of the reference's; NaN where the reference has no such column, or no numbers.
        reference_std: Likewise.
        distinct: How many different texts; 0 without any.
        statistics: By detector; empty where the reference has no such column.
        found: The checks that hold something against it.
    """

    column: str
    subject: str
    rows: int
    missing: int
    mean: float
    std: float
    minimum: float
    maximum: float
    reference_mean: float
    reference_std: float
    distinct: float
    statistics: Mapping[str, float]
    found: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FrameComparison:
    """A frame against a reference; true where anything was found.

    Args:
        rows: Of the frame.
        reference_rows: Of the reference.
        findings: Drift first, then broken constraints, each with the greatest share first.
        columns: In the frame's order.
    """

    rows: int
    reference_rows: int
    findings: Sequence[FrameFinding]
    columns: Sequence[FrameColumn]

    def __bool__(self) -> bool:
        return bool(self.findings)

    def to_pandas(self) -> "pandas.DataFrame":
        """The columns, a line each; statistics by detector among them. Findings: `pandas.DataFrame(found.findings)`."""
        import pandas

        lines = [
            {**{name: each for name, each in column._asdict().items() if name != "statistics"}, **column.statistics}
            for column in self.columns
        ]
        return pandas.DataFrame(lines)

    def __str__(self) -> str:
        told = [f"{self._title()}"]
        told += [f"  {shown(each.column, NAME)}: {each.sentence} ({_measured(each)})" for each in self.findings[:SHOWN]]
        more = len(self.findings) - SHOWN
        return "\n".join([*told, *([f"  and {more} more"] if more > 0 else [])])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        lines = "".join(
            f"<tr><td>{escape(shown(each.column, NAME))}</td><td>{escape(each.sentence)}</td>"
            f"<td>{escape(_measured(each))}</td><td>{each.share:.0%}</td></tr>"
            for each in self.findings[:SHOWN]
        )
        more = len(self.findings) - SHOWN
        lines += f'<tr><td colspan="4">and {more} more</td></tr>' if more > 0 else ""
        head = "<tr><th>column</th><th>what happened</th><th>check</th><th>share</th></tr>"
        table = f"<table><thead>{head}</thead><tbody>{lines}</tbody></table>" if lines else ""
        return f"<p>{escape(self._title())}</p>{table}"

    def _title(self) -> str:
        told = "nothing found" if not self.findings else f"{len(self.findings)} found"
        return f"{self.rows:,} rows against {self.reference_rows:,} of the reference: {told}"


def _measured(finding: FrameFinding) -> str:
    """The check, and what it measured."""
    parts = [] if finding.statistic is None else [f"{finding.statistic:.3g}"]
    parts += [] if finding.limit is None else [f"limit {finding.limit:.3g}"]
    parts += [] if finding.p_value is None else [f"p = {finding.p_value:.3g}"]
    return " ".join([finding.check, ", ".join(parts)]).strip()
