"""Which columns of a table are which columns of payloads; see `sinks.rows`."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sidecar.records import Subject
from sidecar.sinks.rows import FEATURE, FEATURE_TEXT, PREDICTION, PREDICTION_TEXT, column_name

PREFIXES: Sequence[tuple[str, Subject, bool]] = (
    (FEATURE, "features", True),
    (FEATURE_TEXT, "features", False),
    (PREDICTION, "predictions", True),
    (PREDICTION_TEXT, "predictions", False),
)
"""Of columns: whose they are, and whether they hold numbers."""


class Source(NamedTuple):
    """A column of payloads, and where a table has it.

    Args:
        numbers: The table's column; empty where it has none.
        texts: Likewise.
    """

    name: str
    subject: Subject
    numbers: str = ""
    texts: str = ""

    @property
    def columns(self) -> list[str]:
        """Those that there are."""
        return [each for each in (self.numbers, self.texts) if each]


def sources(columns: Iterable[str], known: Iterable[str]) -> list[Source]:
    """The columns of payloads that a table has, in its order.

    Args:
        columns: The table's.
        known: Names of the reference. To engines, names that differ in their case only are one: it is the reference's.

    Example:
        >>> sources(["time", "feature__AGE", "feature_text__AGE"], ["age"])
        [Source(name='age', subject='features', numbers='feature__AGE', texts='feature_text__AGE')]
    """
    exact = {column_name(name): name for name in known}
    spelt = {column.lower(): name for column, name in exact.items()}
    found: dict[tuple[Subject, str], Source] = {}
    for column in columns:
        for prefix, subject, numeric in PREFIXES:
            if column.startswith(prefix):
                given = column.removeprefix(prefix)
                name = exact[given] if given in exact else spelt.get(given.lower(), given)
                source = found.get((subject, name), Source(name, subject))
                found[subject, name] = source._replace(numbers=column) if numeric else source._replace(texts=column)
    return list(found.values())
