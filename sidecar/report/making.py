"""A report from beginning to end: captures decoded, counted by an engine, judged as live, and what comes of it."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, NamedTuple

from msgspec import to_builtins as told

from sidecar import __version__
from sidecar.errors import ConfigError, Fault
from sidecar.monitors.causes import explained
from sidecar.records import JSON
from sidecar.reference.checks import write_violations
from sidecar.reference.files import write_statistics
from sidecar.reference.folder import Reference
from sidecar.report.counting.engines import TIME, open_engine, quiet
from sidecar.report.counting.engines import Settings as EngineSettings
from sidecar.report.counting.judging import VariantReport, report
from sidecar.report.decoding.inputs import Input, find
from sidecar.report.decoding.pieces import alone
from sidecar.report.decoding.rows import Decoded, decode
from sidecar.report.progress import Progress
from sidecar.report.referring import read_reference
from sidecar.report.settings import Settings
from sidecar.report.telling.document import Document, breaches, found, plain
from sidecar.report.telling.wording import without_secrets
from sidecar.report.truth.judging import Judged, judged

if TYPE_CHECKING:
    from ibis import Table as Lines

MICROSECONDS = 1_000_000

MAX_TOLD = 300
"""Characters of what an engine says of a failure: its plans and stacks are below the first line."""

PACKAGES = {"duckdb": "duckdb", "spark": "pyspark"}
"""Whose version is an engine's."""

Files = Mapping[str, Mapping[str, bytes]]
"""By variant, and by name in the variant's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be reported.

    Args:
        captures: Files, folders and URLs.
        reference: Its folder, or the URL of one.
        labels: Files, folders and URLs; nothing is judged by labels without.
        settings: How it is judged.
        every_s: Length of a slice of time.
        since_s: Unix time before which rows are left out; None for none.
        until_s: From which on they are.
        variants: All others are left out; all are in where none is named.
        engine: What counts.
        engine_url: Its own name of where it is; empty for here.
        memory: That it may take, as it spells it; empty for as much as it likes.
        work: Folder for decoded rows and for what is made meanwhile.
        command: As it was typed.
        processes: That decode.
    """

    captures: Sequence[str]
    reference: str | Path
    settings: Settings
    work: Path
    labels: Sequence[str] = ()
    every_s: float = 3600.0
    since_s: float | None = None
    until_s: float | None = None
    variants: Sequence[str] = ()
    engine: str = "duckdb"
    engine_url: str = ""
    memory: str = ""
    command: str = ""
    processes: int = 1


class Made(NamedTuple):
    """A report, and SageMaker's files beside it.

    Args:
        unread: Where the first captures stand that were passed over, and why, unless it is for their bodies.
        faults: Where the first malformed labels stand, and what is wrong with them.
    """

    document: Document
    files: Files
    unread: Sequence[str]
    faults: Sequence[str]


def make(wanted: Wanted, progress: Progress) -> Made:
    """Make a report.

    Raises:
        ConfigError: What it is to be made of cannot be used, or has no row: of nothing, nothing is known to be well.
        OSError: A file cannot be read or written, or the engine fails.
    """
    began_s = time.monotonic()
    reference = read_reference(str(wanted.reference))
    # Another report here would delete the rows of this one's captures under its eyes.
    with alone(wanted.work):
        decoded = _decoded(wanted, progress)
        reports, labelled = _read(wanted, reference, decoded, progress) if decoded.rows else ([], None)
    if not reports:
        raise ConfigError(Fault(wanted.captures[0], f"{_nothing(decoded)}, expected at least one"))
    document = _document(wanted, reference, decoded, reports, labelled)
    document["made_s"] = time.time_ns() / 1e9
    document["seconds"] = round(time.monotonic() - began_s, 3)
    faults = labelled.collected.faults if labelled else ()
    return Made(document, _files(reports, labelled), decoded.told, faults)


def _decoded(wanted: Wanted, progress: Progress) -> Decoded:
    # The rows of an earlier report are no captures: where its folder lies among these, each would count twice.
    inputs = [each for each in find(wanted.captures) if not _is_below(wanted.work, each)]
    with progress.stage("reading captures", sum(each.size_bytes for each in inputs), "bytes") as advance:
        return decode(
            inputs,
            wanted.work,
            features=wanted.settings.features,
            predictions=wanted.settings.predictions,
            format=wanted.settings.format,
            progress=advance,
            processes=wanted.processes,
        )


def _is_below(work: Path, each: Input) -> bool:
    return not each.store and Path(each.name).resolve().is_relative_to(work.resolve())


def _read(
    wanted: Wanted, reference: Reference, decoded: Decoded, progress: Progress
) -> tuple[Sequence[VariantReport], Judged | None]:
    """What the rows say, and what labels say of them."""
    scratch = wanted.work / ".scratch"
    rmtree(scratch, ignore_errors=True)  # of one that was killed
    scratch.mkdir(parents=True, mode=0o700)
    settings = EngineSettings(url=wanted.engine_url, memory=wanted.memory, spill=scratch)
    try:
        with closing(open_engine(wanted.engine, settings)) as engine, _counting(wanted.engine):
            lines = _chosen(engine.read(decoded.path), wanted)
            with ExitStack() as stages:
                reports = report(
                    lines,
                    reference,
                    wanted.settings.data,
                    every_s=wanted.every_s,
                    only=wanted.variants,
                    stage=lambda total: stages.enter_context(progress.stage("counting rows", total, "rows")),
                )
            if not wanted.labels:
                return reports, None
            with progress.stage("judging labels", None, "steps"), quiet():
                return reports, _labelled(wanted, lines, scratch)
    finally:
        rmtree(scratch, ignore_errors=True)


@contextmanager
def _counting(engine: str) -> Iterator[None]:
    """Around what an engine does: a failure of its own, as for want of memory, ends in a line."""
    if engine == "spark":
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        failures: tuple[type[Exception], ...] = (PySparkException, Py4JError)
    else:
        from duckdb import Error

        failures = (Error,)
    try:
        yield
    except failures as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise OSError(f"{engine}: {line[:MAX_TOLD]}") from error


def _chosen(lines: "Lines", wanted: Wanted) -> "Lines":
    """The rows of the time that is asked for."""
    if wanted.since_s is not None:
        lines = lines.filter(lines[TIME] >= round(wanted.since_s * MICROSECONDS))
    if wanted.until_s is not None:
        lines = lines.filter(lines[TIME] < round(wanted.until_s * MICROSECONDS))
    return lines


def _labelled(wanted: Wanted, lines: "Lines", scratch: Path) -> Judged:
    settings = wanted.settings
    lines = lines.filter(lines[TIME].notnull())
    if wanted.variants:
        lines = lines.filter(lines["variant"].fill_null("").isin(wanted.variants))
    return judged(lines, wanted.labels, settings.judges, settings.model, work=scratch, every_s=wanted.every_s)


def _nothing(decoded: Decoded) -> str:
    if decoded.rows:
        return "no row of the time that is asked for"
    skipped = ", ".join(f"{count:,} ({reason})" for reason, count in decoded.skipped.most_common())
    first = f"; {decoded.told[0]}" if decoded.told else ""
    return "no row that can be read" + (f"; passed over: {skipped}{first}" if skipped else "")


def _document(
    wanted: Wanted,
    reference: Reference,
    decoded: Decoded,
    reports: Sequence[VariantReport],
    labelled: Judged | None,
) -> Document:
    quality, bias = (labelled.quality, labelled.bias) if labelled else (None, None)
    findings = [finding for each in reports for finding in each.findings]
    findings = explained([*findings, *(labelled.findings if labelled else ())], labelled.relations if labelled else {})
    made: Document = plain(
        {
            "made_s": 0.0,
            "sidecar": __version__,
            "command": without_secrets(wanted.command),
            "seconds": 0.0,
            "engine": f"{wanted.engine} {version(PACKAGES[wanted.engine])}",
            "every_s": wanted.every_s,
            "settings": _settings(wanted),
            "inputs": {
                "sources": wanted.captures,
                "files": decoded.files,
                "rows": decoded.rows,
                "skipped": _passed_over(decoded, labelled),
            },
            "reference": {
                "path": str(wanted.reference),
                "rows": reference.profiles.rows,
                "features": len(reference.profiles.features),
            },
            "variants": [each.document for each in reports],
            "quality": quality,
            "bias": bias,
            "history": labelled.history if labelled else None,
            "findings": [found(each) for each in findings],
            "violated": False,
        }
    )
    made["violated"] = bool(made["findings"] or breaches(made["variants"], made["quality"], made["bias"]))
    return made


def _passed_over(decoded: Decoded, labelled: Judged | None) -> dict[str, int]:
    """Lines by reason; replies, of whose exchanges the features are counted; and labels."""
    skipped = decoded.skipped + Counter({f"reply: {reason}": count for reason, count in decoded.faults.items()})
    if labelled:
        skipped += Counter(
            {"label: malformed": labelled.collected.malformed, "label: outcome": labelled.collected.outcomes}
        )
    return dict(skipped.most_common())


def _settings(wanted: Wanted) -> JSON:
    """How it was judged, as a configuration says it."""
    settings = wanted.settings
    monitors = [{"kind": "data", **told(settings.data)}]
    monitors += [{"kind": each.kind, **told(each.options)} for each in settings.judges]
    return {
        "monitors": monitors,
        "model": told(settings.model),
        "features": list(settings.features),
        "predictions": list(settings.predictions),
        "since_s": wanted.since_s,
        "until_s": wanted.until_s,
    }


def _files(reports: Sequence[VariantReport], labelled: Judged | None) -> Files:
    files: dict[str, dict[str, bytes]] = {}
    for each in reports:
        files[each.name] = {
            "statistics.json": write_statistics(each.profiles),
            "constraint_violations.json": write_violations((each.name, broken) for broken in each.violations),
        }
    for variant, named in (labelled.files if labelled else {}).items():
        files.setdefault(variant, {}).update(named)
    return files
