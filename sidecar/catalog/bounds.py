"""What a catalogue takes: names of one line, texts and lists that end; everything else is refused before it is written.

Where MLflow has a limit it is MLflow's, so that what fits here fits there.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite

from sidecar.catalog.documents import decode, encode
from sidecar.entries import Draft, Point
from sidecar.errors import ConfigError, Fault

NAME = 250
"""Characters of the name of a parameter, a metric, an artefact, a run, a person."""
VALUE = 6000
"""Characters of a parameter's value, of a place, of why."""
NOTES = 100_000
SIGNATURE_BYTES = 262_144
"""A thousand columns with their types, and more."""
LINKS = 100
NAMED = 1000
"""Parameters of a run or a version, and metrics, and artefacts."""
POINTS = 10_000
"""That are logged at once: some 0.1 s, for which others wait."""
STEP = 2**63 - 1

GROUP = re.compile(r"(?=.{1,128}\Z)(?!\.{1,2}\Z)[\w.+-]+( [\w.+-]+)*")
"""A segment of an address that stays one, with every name that the configuration allows."""
_LINE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
_TEXT = re.compile(r"[^\x00\ud800-\udfff]*")
_PARENT = re.compile(r"[^/]+/[1-9][0-9]{0,8}")
_DIGEST = re.compile(r"([a-z0-9]+:[0-9A-Za-z+/=_-]{1,128})?")


def check_group(group: str) -> None:
    """See that it can be the name of a model.

    Raises:
        ConfigError: It cannot; as for the others below.
    """
    if not GROUP.fullmatch(group):
        raise ConfigError(
            Fault("group", "expected letters, digits, _ . + and -, between them single spaces; at most 128 characters")
        )


def check_words(*, by: str = "", why: str = "", name: str = "") -> None:
    """See that these can be kept: a person, their words, a run's name."""
    _refuse([*_lines("by", by, NAME), *_texts("why", why, VALUE), *_lines("name", name, NAME)])


def check_draft(draft: Draft) -> None:
    """See that a version can be kept, and read again."""
    try:
        decode(encode(draft), Draft)
    except (TypeError, ValueError, RecursionError) as error:
        told = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ConfigError(Fault("draft", f"{told}; expected what JSON can hold")) from error
    _refuse(_draft_faults(draft))


def check_log(parameters: Mapping[str, str], points: Sequence[Point], artefacts: Mapping[str, str]) -> None:
    """See that a run can be told these."""
    _refuse(
        [
            *_mapping("parameters", parameters),
            *_mapping("artefacts", artefacts),
            *([Fault("points", f"expected at most {POINTS}, got {len(points)}")] if len(points) > POINTS else []),
            *(fault for point in points[:POINTS] for fault in _point_faults(point)),
        ]
    )


def check_live(live: Mapping[str, float]) -> None:
    """See that this can be noted of a version that serves."""
    _refuse(_names("live", live))


def check_number(path: str, number: int) -> None:
    """See that there are not more of them than there may be."""
    if number > NAMED:
        raise ConfigError(Fault(path, f"expected at most {NAMED}, got {number}"))


def _refuse(faults: Iterable[Fault]) -> None:
    if found := list(faults):
        raise ConfigError(*found)


def _draft_faults(draft: Draft) -> Iterator[Fault]:
    for path, text in (("artefact", draft.artefact), ("framework", draft.framework), ("reference", draft.reference)):
        yield from _lines(path, text, VALUE)
    yield from _digest("digest", draft.digest)
    yield from _texts("notes", draft.notes, NOTES)
    if (size := len(encode(draft.signature))) > SIGNATURE_BYTES:
        yield Fault("signature", f"expected at most {SIGNATURE_BYTES} bytes, got {size}")
    yield from _mapping("parameters", draft.parameters)
    yield from _names("metrics", draft.metrics)
    if len(draft.links) > LINKS:
        yield Fault("links", f"expected at most {LINKS}, got {len(draft.links)}")
    for index, link in enumerate(draft.links[:LINKS]):
        if not link.target or (link.relation == "derived_from" and not _PARENT.fullmatch(link.target)):
            yield Fault(f"links[{index}].target", "expected the group and number of a version, as in fraud/3, or data")
        yield from _lines(f"links[{index}].target", link.target, VALUE)
        yield from _digest(f"links[{index}].digest", link.digest)


def _point_faults(point: Point) -> Iterator[Fault]:
    yield from _name("points", point.name)
    if not -STEP <= point.step <= STEP:
        yield Fault("points", f"step {point.step}, expected one of 64 bits")
    if not isfinite(point.time_s):
        yield Fault("points", f"time {point.time_s}, expected seconds")


def _mapping(path: str, texts: Mapping[str, str]) -> Iterator[Fault]:
    yield from _names(path, texts)
    for name, text in list(texts.items())[:NAMED]:
        yield from _texts(f"{path}.{name[:NAME]}", text, VALUE)


def _names(path: str, names: Mapping[str, object]) -> Iterator[Fault]:
    if len(names) > NAMED:
        yield Fault(path, f"expected at most {NAMED}, got {len(names)}")
    for name in list(names)[:NAMED]:
        yield from _name(path, name)


def _name(path: str, name: str) -> Iterator[Fault]:
    if not name:
        yield Fault(path, "expected names that are not empty")
    yield from _lines(path, name, NAME)


def _digest(path: str, digest: str) -> Iterator[Fault]:
    if not _DIGEST.fullmatch(digest):
        yield Fault(path, "expected an algorithm and what it says, as in sha256:…")


def _lines(path: str, text: str, most: int) -> Iterator[Fault]:
    if not _LINE.fullmatch(text):
        yield Fault(path, "expected one line of text")
    if len(text) > most:
        yield Fault(path, f"expected at most {most} characters, got {len(text)}")


def _texts(path: str, text: str, most: int) -> Iterator[Fault]:
    if not _TEXT.fullmatch(text):
        yield Fault(path, "expected text")
    if len(text) > most:
        yield Fault(path, f"expected at most {most} characters, got {len(text)}")
