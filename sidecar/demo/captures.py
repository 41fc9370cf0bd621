"""How much has been captured into a folder."""

from pathlib import Path
from typing import NamedTuple


class Tally(NamedTuple):
    """Files of captures, and the lines in them."""

    files: int
    lines: int

    def since(self, before: "Tally") -> "Tally":
        """What has come since `before`."""
        return Tally(self.files - before.files, self.lines - before.lines)


def tally(folder: Path) -> Tally:
    """Count the captures in a folder; none where there is no folder."""
    counts = [path.read_bytes().count(b"\n") for path in folder.rglob("*.jsonl")]
    return Tally(len(counts), sum(counts))
