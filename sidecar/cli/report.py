"""`sidecar report`: what captured traffic is like against the reference, written down for people, pipelines and CI."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

import click

from sidecar.cli.lazy import FAMILIES
from sidecar.cli.progress import progress
from sidecar.cli.spans import facet as a_facet
from sidecar.cli.spans import length, moment, size
from sidecar.monitors.groups import FacetOf
from sidecar.quality.reading import Task

if TYPE_CHECKING:
    from sidecar.report.making import Made, Wanted

EXIT_FAILED = 1
EXIT_VIOLATED = 3
"""There are findings or violations: neither a failure nor, as 1 and 2 are, what shells and click say of themselves."""

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

MOST_PROCESSES = 4
"""That decode: each takes a hundred MB or so."""

KINDS = (".html", ".json", ".md")

EXITS = (
    "The exit code is 0 if nothing was found, 3 if there are findings or violations in the end (those that were over "
    "before are told, and are none), 64 if the command line or what it "
    "names cannot be used, 1 if the report could not be made, and 130 if it was interrupted."
)


def _outputs(_ctx: click.Context, _param: click.Parameter, given: tuple[Path, ...]) -> tuple[Path, ...]:
    kinds = [path.suffix.lower() for path in given]
    for path, kind in zip(given, kinds, strict=True):
        _here(_ctx, _param, path)
        if kind not in KINDS:
            raise click.BadParameter(f"{path} ends with none of {', '.join(KINDS)}, which say what is written.")
        if kinds.count(kind) > 1:
            raise click.BadParameter(f"{kind} is said twice; expected one file of each kind.")
        if path.is_dir():
            raise click.BadParameter(f"{path} is a folder; expected a file.")
        folder = next(each for each in path.absolute().parents if each.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise click.BadParameter(f"{path}: {folder} is no folder that can be written to; expected one.")
    return given


def _here(_ctx: click.Context, _param: click.Parameter, given: Path | None) -> Path | None:
    if given and given.parts and given.parts[0].endswith(":"):
        raise click.BadParameter(f"{given} is a URL; expected a place on a disk.")
    return given


def _memory(_ctx: click.Context, _param: click.Parameter, given: str) -> str:
    """As engines spell it, of whom none takes a number alone."""
    if given:
        size(given)
    return given if given.endswith("B") or not given else f"{given}B"


@click.command(epilog=EXITS, context_settings={"max_content_width": 120})
@click.argument("captures", nargs=-1, required=True)
@click.option(
    "--reference",
    required=True,
    metavar="PLACE",
    help="What the rows are compared with: the folder of statistics.json and constraints.json, ours or SageMaker's; "
    "or s3://.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    callback=_outputs,
    metavar="FILE",
    help="What to write: .html for people, .json for programs, .md for a pull request; several, one of each.",
)
@click.option(
    "--labels", multiple=True, metavar="PLACE", help="Ground truth: a file or folder as sidecar labels reads, or s3://."
)
@click.option(
    "--task",
    type=click.Choice(["binary", "multiclass", "regression"]),
    help="What the model does; labels need it. [default: model.task of --config]",
)
@click.option(
    "--facet",
    "facets",
    type=a_facet,
    multiple=True,
    metavar="GROUP",
    help="Compare a group with all others, by labels: gender=f, 'age<25', 'age>60'. May be repeated.",
)
@click.option(
    "--config",
    metavar="FILE",
    help="A sidecar's YAML file, of which monitors, model and payload say how to judge. [default: their defaults]",
)
@click.option("--every", "every_s", type=length, default="1h", show_default=True, help="Slice of time: 1m, 1h, 1d.")
@click.option("--since", "since_s", type=moment, metavar="TIME", help="Leave out what came before: 2026-11-01, UTC.")
@click.option("--until", "until_s", type=moment, metavar="TIME", help="Leave out what came at that moment or later.")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Leave out all others. May be repeated.")
@click.option("--feature", "features", multiple=True, metavar="NAME", help="Where captures carry no names; in order.")
@click.option("--prediction", "predictions", multiple=True, metavar="NAME", help="A prediction's name, likewise.")
@click.option(
    "--files",
    type=click.Path(file_okay=False, path_type=Path),
    callback=_here,
    metavar="FOLDER",
    help="Where SageMaker's files go, by variant. [default: beside the first output, report_files for report.html]",
)
@click.option(
    "--engine",
    type=click.Choice(["duckdb", "spark"]),
    default="duckdb",
    show_default=True,
    help="What counts the rows.",
)
@click.option("--engine-url", metavar="URL", default="", help="Spark's master: spark://host:7077, local[*].")
@click.option(
    "--memory",
    metavar="SIZE",
    default="",
    callback=_memory,
    help="What the engine may take, what goes beyond is spilled to --work: 4GiB. [default: the engine's own]",
)
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    callback=_here,
    metavar="FOLDER",
    help="Keeps decoded rows: the next report reads only what is new. [default: beside the output, until it is done]",
)
def report(  # noqa: PLR0913  # click hands over every option
    *,
    captures: tuple[str, ...],
    reference: str,
    outputs: tuple[Path, ...],
    labels: tuple[str, ...],
    task: Task | None,
    facets: tuple[FacetOf, ...],
    config: str | None,
    every_s: float,
    since_s: float | None,
    until_s: float | None,
    variants: tuple[str, ...],
    features: tuple[str, ...],
    predictions: tuple[str, ...],
    files: Path | None,
    engine: str,
    engine_url: str,
    memory: str,
    work: Path | None,
) -> int:
    """Report what captured traffic is like, against the reference: drift, constraints, and by labels quality and bias.

    CAPTURES are files and folders: captures of the sidecar or of SageMaker, Parquet of the sidecar, local or s3://,
    gs://, az://. They are decoded, counted and judged as the live sidecar does it, in flat memory, whatever their size.

    \b
      sidecar report captures/ --reference reference/ -o report.html
      sidecar report s3://bucket/captures --reference reference/ -o report.html -o report.json --work /tmp/rows
      sidecar report captures/ --reference reference/ --labels labels.jsonl --task binary --facet gender=f -o report.md
      sidecar report captures/ --reference reference/ --engine spark --engine-url spark://host:7077 -o report.html

    Beside the report come SageMaker's own files: statistics.json and constraint_violations.json of every variant, with
    labels those of model quality and bias too. Interrupted, the same command goes on where it was.
    """  # noqa: D301  # click's mark of what is not to be wrapped
    from sidecar.report.making import Wanted
    from sidecar.report.settings import read_settings, with_flags

    if facets and not labels:
        raise click.UsageError("--facet compares how good answers are: expected --labels with it.")
    settings = with_flags(read_settings(config, FAMILIES), task, facets, labels=bool(labels))
    first = outputs[0]
    wanted = Wanted(
        captures=captures,
        reference=reference,
        labels=labels,
        settings=settings._replace(
            features=features or settings.features, predictions=predictions or settings.predictions
        ),
        every_s=every_s,
        since_s=since_s,
        until_s=until_s,
        variants=variants,
        engine=engine,
        engine_url=engine_url,
        memory=memory,
        work=work or first.with_name(f".{first.name}.work"),
        command=shlex.join(["sidecar", *sys.argv[1:]]),
        processes=min(os.cpu_count() or 1, MOST_PROCESSES),
    )
    folder = files or first.with_name(f"{first.stem}_files")
    goes_on = f"what was decoded is in {wanted.work}: the same command goes on from there"
    try:
        made = _made(wanted, outputs, folder)
    except KeyboardInterrupt:
        click.echo(f"interrupted; {goes_on}", err=True)
        return EXIT_INTERRUPTED
    except OSError as error:
        click.echo(f"no report: {error}; {goes_on}", err=True)
        return EXIT_FAILED
    if work is None:
        rmtree(wanted.work, ignore_errors=True)
    _tell(made, outputs, folder)
    return EXIT_VIOLATED if made.document["violated"] else 0


def _made(wanted: "Wanted", outputs: Sequence[Path], folder: Path) -> "Made":
    """The report, made and written."""
    from sidecar.report.making import make
    from sidecar.report.telling.folders import write_files, write_whole
    from sidecar.report.telling.page import check_installed

    if any(path.suffix.lower() == ".html" for path in outputs):
        check_installed()  # and not after an hour
    made = make(wanted, progress())
    for path in outputs:
        write_whole(path, _written(made, path.suffix.lower()))
    write_files(folder, made.files, of=outputs[0].name)
    return made


def _written(made: "Made", kind: str) -> bytes:
    from sidecar.report.telling.document import encoded

    if kind == ".json":
        return encoded(made.document)
    if kind == ".md":
        from sidecar.report.telling.markdown import markdown

        return markdown(made.document).encode()
    from sidecar.report.telling.page import page

    return page(made.document).encode()


def _tell(made: "Made", outputs: Sequence[Path], folder: Path) -> None:
    from sidecar.report.telling.wording import summed_up

    document = made.document
    click.echo(f"{', '.join(map(str, outputs))}: {summed_up(document)}")
    click.echo(f"{folder}: {sum(map(len, made.files.values()))} files of SageMaker's")
    for reason, count in document["inputs"]["skipped"].items():
        click.echo(f"passed over: {count:,} ({reason})", err=True)
    for line in made.unread:
        click.echo(f"no capture: {line}", err=True)
    for fault in made.faults:
        click.echo(f"no label: {fault}", err=True)
