"""`sidecar baseline`: learns the reference from a data set, and writes SageMaker's two files."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli.progress import progress
from sidecar.errors import ConfigError, Fault

if TYPE_CHECKING:
    from sidecar.datasets.chunk import Chunk
    from sidecar.reference.learning import Learner
    from sidecar.reference.sample import Reservoir

    Read = Callable[[Path], Iterator[Chunk]]


CAPTURE = {"captureData", "eventMetadata"}
"""What a line of captured traffic has, and no row of training data."""

SAMPLE_ROWS = 5000
"""What the detector of dependence uses."""

SEED = 0
"""Of the sample: the same data make the same files."""


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Where statistics.json, constraints.json and sample.jsonl go; made where it is missing.",
)
@click.option("--captures", is_flag=True, help="DATA is captured traffic: a file, or a folder of *.jsonl.")
@click.option("--target", default="", metavar="COLUMN", help="The label; left out, since requests do not carry it.")
@click.option("--feature", multiple=True, metavar="NAME", help="A feature's name, where captures have none; in order.")
@click.option("--prediction", multiple=True, metavar="NAME", help="A prediction's name, likewise.")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=SAMPLE_ROWS,
    show_default=True,
    metavar="ROWS",
    help="Rows to keep whole in sample.jsonl, chosen at random: what shows how features depend on each other.",
)
def baseline(  # noqa: PLR0913  # click hands over every option
    *,
    data: Path,
    output: Path,
    captures: bool,
    target: str,
    feature: tuple[str, ...],
    prediction: tuple[str, ...],
    sample: int,
) -> int:
    """Learn what the data are like when all is well: from training data, or from captured traffic.

    DATA is a CSV, JSON Lines or Parquet file, or a folder of them, of any size: it is read once, in flat memory. What
    is written are SageMaker Model Monitor's own files, of which constraints.json may be edited by hand, and
    sample.jsonl, some of the rows as they were, which only its owner may read.

    \b
      sidecar baseline train.csv --target label -o reference/
      sidecar baseline --captures captures/ -o reference/
    """  # noqa: D301  # click's mark of what is not to be wrapped
    from sidecar.reference.constraints import suggested
    from sidecar.reference.folder import Reference, write_folder

    read = _captures(feature, prediction) if captures else _dataset
    try:
        reservoir = _reservoir(sample)
        learner, skipped = _learned(_files(data, captures=captures), read, target, reservoir)
        profiles = learner.profiles()
        write_folder(output, Reference(profiles, suggested(profiles), reservoir.sample() if reservoir else None))
    except OSError as error:
        raise ConfigError(Fault(str(error.filename or data), f"{error.strerror}")) from error
    kinds = Counter(profile.kind for profile in profiles.features)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    click.echo(f"{output}: {profiles.rows} rows of {len(profiles.features)} columns ({told})")
    if learner.folded:
        click.echo(f"columns ignored: {learner.folded} times one was too many, repeated or too long a name", err=True)
    for reason, count in skipped.most_common():
        click.echo(f"captures passed over: {count} ({reason})", err=True)
    return 0


def _files(data: Path, *, captures: bool) -> list[Path]:
    """The files to read, in the order of their names."""
    from sidecar.datasets import FORMATS

    ends = {".jsonl"} if captures else set(FORMATS)
    found = sorted(data.rglob("*")) if data.is_dir() else [data]
    if files := [path for path in found if path.suffix in ends and not _is_sample(path)]:
        return files
    raise ConfigError(Fault(str(data), f"no data, expected files that end with {', '.join(sorted(ends))}"))


def _is_sample(path: Path) -> bool:
    """Whether it is part of a reference that was made before, perhaps of these very data."""
    from sidecar.reference.sample import FILE

    return path.name == FILE and (path.parent / "statistics.json").exists()


def _dataset(path: Path) -> "Iterator[Chunk]":
    from sidecar.datasets import FORMATS

    return FORMATS[path.suffix](path)


def _captures(feature: tuple[str, ...], prediction: tuple[str, ...]) -> "Read":
    from sidecar.datasets.captures import decoding_of, read_captures

    return partial(read_captures, decoding=decoding_of(feature, prediction))


def _reservoir(rows: int) -> "Reservoir | None":
    """What keeps so many rows; None for none."""
    from numpy.random import default_rng

    from sidecar.reference.sample import Reservoir

    return Reservoir(rows, default_rng(SEED)) if rows else None


def _learned(
    files: list[Path], read: "Read", target: str, reservoir: "Reservoir | None"
) -> "tuple[Learner, Counter[str]]":
    """What the files are like, and the lines that were passed over, by reason."""
    from sidecar.datasets.chunk import without
    from sidecar.reference.learning import Learner

    learner, skipped, names = Learner(), Counter[str](), set[str]()
    for chunk in _shown(files, read):
        skipped.update(chunk.skipped)
        names.update(chunk.table.names)
        kept = without(chunk, target) if target else chunk
        if kept.table.names:
            learner.update(kept.table, kept.fractional)
            if reservoir:
                reservoir.update(kept.table)
    if names >= CAPTURE:
        raise ConfigError(Fault(str(files[0]), "these are captures of traffic, expected --captures with them"))
    if not learner.rows:
        raise ConfigError(Fault(str(files[0]), "no row that can be read, expected at least one"))
    if target and target not in names:
        raise ConfigError(Fault("--target", f"no column {target!r}, expected one of the data"))
    return learner, skipped


def _shown(files: list[Path], read: "Read") -> "Iterator[Chunk]":
    """The chunks of all files, with a bar on a terminal."""
    with progress().stage("reading", sum(path.stat().st_size for path in files), "bytes") as advance:
        for chunk in chain.from_iterable(read(path) for path in files):
            yield chunk
            advance(chunk.read_bytes)
