"""What the monitors said from look to look: scores as they went, and when each finding was seen."""

from math import isfinite
from typing import TypeVar

from sidecar.monitors.bias import Comparing
from sidecar.monitors.quality import Grading
from sidecar.ports import Grader
from sidecar.records import JSON, Finding, Key
from sidecar.texts import encodable

T = TypeVar("T")


class History:
    """Looks at the monitors, and remembers.

    Args:
        grading: The monitor of quality, if there is one.
        comparing: The monitor of bias, likewise.

    Attributes:
        times_s: Unix times of the looks.
    """

    def __init__(self, grading: Grading | None, comparing: Comparing | None) -> None:
        both: tuple[Grader | None, ...] = (grading, comparing)
        self.graders = [each for each in both if each is not None]
        self.times_s: list[float] = []
        self._grading = grading
        # By version and score: one number a look, None where there is none.
        self._scores: dict[tuple[str, str], dict[str, list[float | None]]] = {}
        self._rows: dict[tuple[str, str], list[int]] = {}
        self._seen: dict[Key, tuple[Finding, float, float]] = {}

    def look(self, now_s: float) -> None:
        """Have the monitors assess what they have, and note what they say.

        Args:
            now_s: Unix time.
        """
        for grader in self.graders:
            grader.assess(now_s)
            for finding in grader.findings:
                self._note(finding, now_s)
        if self._grading is not None:
            self._note_scores(self._grading, len(self.times_s))
        self.times_s.append(now_s)

    @property
    def findings(self) -> list[Finding]:
        """What holds now."""
        return [finding for grader in self.graders for finding in grader.findings]

    def document(self) -> JSON:
        """All of it, for JSON; every list of a version is as long as `times_s`, None where nothing was known."""
        looks, now = len(self.times_s), {finding.key for finding in self.findings}
        return {
            "times_s": list(self.times_s),
            "versions": [
                {
                    "name": encodable(variant),
                    "version": encodable(version),
                    "rows": _filled(self._rows[variant, version], looks, 0),
                    "scores": {name: _filled(values, looks, None) for name, values in scores.items()},
                }
                for (variant, version), scores in self._scores.items()
            ],
            "findings": [
                {
                    "variant": encodable(key.variant),
                    "check": key.check,
                    "sentence": encodable(finding.sentence),
                    "first_s": first_s,
                    "last_s": last_s,
                    "holds": key in now,
                }
                for key, (finding, first_s, last_s) in self._seen.items()
            ],
        }

    def _note(self, finding: Finding, now_s: float) -> None:
        """The sentence of the last time stands: it is of the most rows."""
        first_s = self._seen[finding.key][1] if finding.key in self._seen else now_s
        self._seen[finding.key] = finding, first_s, now_s

    def _note_scores(self, grading: Grading, looks: int) -> None:
        for key, grade in grading.grades.items():
            rows = _filled(self._rows.setdefault(key, []), looks, 0)
            self._rows[key] = [*rows, grade.labelled]
            known = self._scores.setdefault(key, {})
            for name, each in grade.window.scores.items():
                value = float(each.value) if isfinite(each.value) else None
                known.setdefault(name, []).extend([None] * (looks - len(known[name])))
                known[name].append(value)


def _filled(values: list[T], looks: int, nothing: T) -> list[T]:
    return values + [nothing] * (looks - len(values))
