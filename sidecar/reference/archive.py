"""Violations on disk: a constraint_violations.json for every hour and variant, as a job of Model Monitor leaves one."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from sidecar.reference.checks import Violation, write_violations
from sidecar.reference.hours import hour_file, write_hour

NAME = "constraint_violations.json"


class Archive:
    """Keeps the worst that was broken within each hour, in `{folder}/{variant}/yyyy/mm/dd/hh/`; UTC.

    Args:
        folder: Made where it is missing; what is made is readable by its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hours: dict[str, tuple[Path, dict[tuple[str, str], Violation]]] = {}

    def keep(self, variant: str, found: Sequence[Violation], now_s: float) -> None:
        """Take what is broken now; an hour in which nothing is broken has a file that says so.

        Args:
            now_s: Unix time.

        Raises:
            OSError: It cannot be written.
        """
        file = hour_file(self._folder, variant, NAME, now_s)
        before, kept = self._hours.get(variant, (None, {}))
        if before != file:
            kept = _read(file)
        news: dict[tuple[str, str], Violation] = {(each.feature, each.check): each for each in found}
        worse = {key: each for key, each in news.items() if key not in kept or _distance(each) > _distance(kept[key])}
        if before == file and not worse:
            return
        kept = {**kept, **worse}
        write_hour(file, write_violations((variant, each) for each in kept.values()))
        self._hours[variant] = file, kept


def _distance(violation: Violation) -> float:
    return abs(violation.value - violation.limit)


def _read(file: Path) -> dict[tuple[str, str], Violation]:
    """What an earlier process has kept of this hour; nothing where that cannot be read."""
    try:
        told = msgspec.json.decode(file.read_bytes())["violations"]
        found = [
            Violation(
                each["feature_name"],
                each["constraint_check_type"],
                each["value"],
                each["limit"],
                each["description"],
                each["subject"],
            )
            for each in told
        ]
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return {}
    return {(each.feature, each.check): each for each in found}
