"""Whether a window of rows keeps the constraints: SageMaker Model Monitor's checks of data quality, and two of ours.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-interpreting-violations.html
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, Protocol

import msgspec

from sidecar.records import Subject
from sidecar.reference.constraints import Constraint, Constraints
from sidecar.stats.categories import MAX_KEY, Texts
from sidecar.stats.moments import Counts, Floats

Check = Literal[
    "data_type_check",
    "completeness_check",
    "missing_column_check",
    "extra_column_check",
    "categorical_values_check",
    "baseline_drift_check",
    "non_negative_check",
    "range_check",
]
"""SageMaker's six, and two of ours: its constraints know the sign, its violations do not; a range is ours alone."""


class Violation(NamedTuple):
    """A constraint that a window does not keep.

    Args:
        value: What was observed.
        limit: What it may be.
        rows: Of the window.
    """

    feature: str
    check: Check
    value: float
    limit: float
    description: str
    subject: Subject = "features"
    rows: int = 0


class Window(Protocol):
    """What is known of the rows that are checked, k columns of them: a Summary has it.

    Attributes:
        names: Of the columns.
        rows: Seen; a row without a column counts, as missing there.
        missing: Rows with neither number nor text, shape (k,).
        integral: Finite numbers without a fraction, shape (k,).
        minimum: The least finite number, shape (k,); NaN without one.
        maximum: Likewise the greatest.
        texts: By column; those that have had a text.
    """

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102  (all are told above)
    @property
    def rows(self) -> int: ...  # noqa: D102
    @property
    def missing(self) -> Counts: ...  # noqa: D102
    @property
    def integral(self) -> Counts: ...  # noqa: D102
    @property
    def minimum(self) -> Floats: ...  # noqa: D102
    @property
    def maximum(self) -> Floats: ...  # noqa: D102
    @property
    def texts(self) -> Mapping[int, Texts]: ...  # noqa: D102


def violations(constraints: Constraints, features: Window | None, predictions: Window | None) -> list[Violation]:
    """What the current windows of one variant break.

    A reference from captured traffic has predictions among its columns, one from training data has not: what the
    variant predicts is checked where it has constraints, and is no extra column. A name that features and predictions
    share is the feature's.
    """
    answered = set(predictions.names if predictions else ()) - set(features.names if features else ())
    asked = Constraints([each for each in constraints.features if each.name not in answered], constraints.monitoring)
    rest = Constraints([each for each in constraints.features if each.name in answered], constraints.monitoring)
    found = of_window(asked, features) if features else []
    if predictions:
        answers = of_window(rest, predictions)
        found += [each._replace(subject="predictions") for each in answers if each.check != "extra_column_check"]
    return found


def of_window(constraints: Constraints, window: Window) -> list[Violation]:
    """What one window breaks; nothing where it has no rows, since then nothing is known."""
    if not window.rows:
        return []
    known = {feature.name for feature in constraints.features}
    columns = {name: column for column, name in enumerate(window.names)}
    extra = [name for name in columns if name not in known] if constraints.monitoring.evaluates else []
    found = [Violation(name, "extra_column_check", 1, 0, "a column that the reference does not have") for name in extra]
    for feature in constraints.features:
        if not feature.monitoring.evaluates:
            continue
        if feature.name not in columns:
            found.append(Violation(feature.name, "missing_column_check", 0, 1, "no row has the column"))
            continue
        column = columns[feature.name]
        found += filter(
            None, (check(feature, window, column) for check in (_completeness, _type, _sign, _range, _domain))
        )
    return [each._replace(rows=window.rows) for each in found]


def write_violations(found: Iterable[tuple[str, Violation]]) -> bytes:
    """constraint_violations.json, in SageMaker's shape and with four fields more."""
    document = {
        "violations": [
            {
                "feature_name": each.feature,
                "constraint_check_type": each.check,
                "description": each.description,
                "variant": variant,
                "subject": each.subject,
                "value": each.value,
                "limit": each.limit,
            }
            for variant, each in found
        ]
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _completeness(feature: Constraint, window: Window, column: int) -> Violation | None:
    share, limit = (window.rows - int(window.missing[column])) / window.rows, feature.completeness
    if share >= limit:
        return None
    told = f"{share:.2%} of the rows have a value, expected at least {limit:.2%}"
    return Violation(feature.name, "completeness_check", share, limit, told)


def _type(feature: Constraint, window: Window, column: int) -> Violation | None:
    """A whole number is a fraction too; anything can be a text."""
    present = window.rows - int(window.missing[column])
    if not present or feature.kind not in {"Integral", "Fractional"}:
        return None
    numbers = present - (window.texts[column].rows if column in window.texts else 0)
    share = (int(window.integral[column]) if feature.kind == "Integral" else numbers) / present
    limit = feature.monitoring.datatype_threshold
    if share >= limit:
        return None
    told = f"{share:.2%} of the values are {feature.kind}, expected at least {limit:.2%}"
    return Violation(feature.name, "data_type_check", share, limit, told)


def _sign(feature: Constraint, window: Window, column: int) -> Violation | None:
    least = float(window.minimum[column])
    if not feature.non_negative or not least < 0:
        return None
    return Violation(feature.name, "non_negative_check", least, 0, f"the least is {least:g}, expected none below 0")


def _range(feature: Constraint, window: Window, column: int) -> Violation | None:
    least, most = float(window.minimum[column]), float(window.maximum[column])
    if feature.minimum is not None and least < feature.minimum:
        told = f"the least is {least:g}, expected none below {feature.minimum:g}"
        return Violation(feature.name, "range_check", least, feature.minimum, told)
    if feature.maximum is not None and most > feature.maximum:
        told = f"the greatest is {most:g}, expected none above {feature.maximum:g}"
        return Violation(feature.name, "range_check", most, feature.maximum, told)
    return None


def _domain(feature: Constraint, window: Window, column: int) -> Violation | None:
    """Texts that were folded into `other` are taken for unknown ones."""
    texts = window.texts.get(column)
    if feature.domain is None or texts is None or not texts.rows:
        return None
    # Cut as the texts of the window are.
    domain, limit = {text[:MAX_KEY] for text in feature.domain}, feature.monitoring.domain_threshold
    share = sum(count for text, count in texts.top if text in domain) / texts.rows
    if share >= limit:
        return None
    new = ", ".join(repr(text[:40]) for text, _ in texts.top if text not in domain)[:200]
    told = f"{share:.2%} of the texts are in the domain, expected at least {limit:.2%}; new: {new}"
    return Violation(feature.name, "categorical_values_check", share, limit, told)
