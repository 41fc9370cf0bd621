"""Labels of what was scraped, as attributes that go with its variant and version."""

from collections.abc import Mapping, Sequence

from sidecar.prometheus_names import label_name
from sidecar.records import Attributes
from sidecar.texts import encodable


class Labelling:
    """Labels as attributes, behind those of a variant and version.

    A label whose name is already taken, in Prometheus' translation, is kept under `exported_` and its name, as
    Prometheus itself does with the labels of a target.

    Example:
        >>> Labelling("champion", "").attributes({"gpu": "0", "sidecar_version": "7", "unset": ""})
        {'feature_flag.result.variant': 'champion', 'gpu': '0', 'exported_sidecar_version': '7'}
    """

    def __init__(self, variant: str, version: str) -> None:
        own = {"feature_flag.result.variant": encodable(variant), "sidecar.version": encodable(version)}
        self._taken = {label_name(name) for name in own}
        self._own = {name: value for name, value in own.items() if value}
        # Series by series the names are the same.
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def attributes(self, labels: Mapping[str, str]) -> Attributes:
        """The label set with its variant and version; an empty label is no label."""
        given = tuple(labels)
        names = self._names.get(given)
        if names is None:
            names = self._names[given] = self._free(given)
        told = {name: value for name, value in zip(names, labels.values(), strict=True) if value}
        return {**self._own, **told}

    def _free(self, given: Sequence[str]) -> tuple[str, ...]:
        taken, names = set(self._taken), []
        for label in given:
            name = label
            # The first character of a name is no digit; a quoted one may be.
            while (translated := label_name(name)) in taken or not translated or translated[0].isdigit():
                name = f"exported_{name}"
            taken.add(translated)
            names.append(name)
        return tuple(names)
