"""What the monitors' tests share."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from sidecar.records import Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference
from sidecar.reference.learning import Learner
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Floats

NAN = np.nan


def nothing(rows: int) -> Table:
    """The predictions of replies that could not be read."""
    return Table((), np.empty((rows, 0)))


def of(values: Floats, *names: str, texts: Mapping[int, Cells] | None = None) -> Table:
    """A table; one column where the values have one dimension."""
    return Table(names, values if values.ndim == 2 else values[:, None], texts or {})


def reference_of(*tables: Table) -> Reference:
    """As it is learned from these rows."""
    learner = Learner()
    for each in tables:
        learner.update(each)
    profiles = learner.profiles()
    return Reference(profiles, suggested(profiles))


def same(found: Floats, expected: ArrayLike | Sequence[float]) -> None:
    """Equal, where NaN is like NaN."""
    np.testing.assert_array_equal(found, expected, strict=False)
