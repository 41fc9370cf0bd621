"""What is kept of variants by epochs, taken out to be saved: as long as the epochs that have begun."""

from collections.abc import Mapping, Sequence

import numpy as np

from sidecar.experiments.durations import Durations
from sidecar.experiments.totals import EPOCHS, Totals
from sidecar.stats.keeping import Array, below, put_back, taken


def state_of(parts: Mapping[str, Totals | Durations], names: Sequence[str]) -> dict[str, Array]:
    """All of it; of epochs those that have begun."""
    state: dict[str, Array] = {}
    for prefix, part in parts.items():
        for name, array in taken(part, names, "").items():
            state[f"{prefix}.{name}"] = array[: part.epoch + 1] if _of_epochs(array) else array
    return state


def restore(parts: Mapping[str, Totals | Durations], names: Sequence[str], state: Mapping[str, Array]) -> None:
    """Put all of it back into parts that are new.

    Raises:
        KeyError: A part of it is missing.
        ValueError: One is of another shape or type.
    """
    for prefix, part in parts.items():
        own = below(f"{prefix}.", state)
        for name, array in taken(part, names, "").items():
            if _of_epochs(array):
                own[name] = np.concatenate((own[name], np.zeros_like(array[len(own[name]) :])))
        put_back(part, names, "", own)


def _of_epochs(array: Array) -> bool:
    return array.ndim == 2 and len(array) == EPOCHS
