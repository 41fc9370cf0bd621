"""What a report says in words: the verdict, what drifted in which order, numbers as people read them."""

import math
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sidecar.records import JSON
from sidecar.report.telling.document import Document, DriftColumn, Past, Variant, breaches
from sidecar.texts import counted, shown

UNKNOWN = "—"
"""What stands for a number that is not defined."""

NAMED = 5
"""Columns that a sentence names; the others are counted."""

NAMED_IN_TITLE = 3
"""Versions that a title names."""

NAME = 60
"""Characters of a name in a sentence."""

TITLES = {
    "bad": "Something is not as it was",
    "over": "Something was not as it was, and is over",
    "unknown": "Nothing is known yet",
    "good": "All is as it was",
}
"""Of a report, by its standing."""

CAUSES = {
    "inputs": "the inputs moved",
    "relation": "labels relate to inputs in another way: concept drift",
    "both": "the inputs moved, and labels relate to them in another way",
    "model": "the model answers otherwise: is it another one?",
    "pipeline": "the pipeline that brings the values broke",
}


_USER = re.compile(r"//[^/\s:@']*:[^/\s@']*@")
_TOKEN = re.compile(r"([;?&](?:\w*(?:token|password|secret|key|sig)\w*)=)[^;&\s']*", re.IGNORECASE)


def number(value: float | None, digits: int = 4) -> str:
    """A number for people.

    Args:
        digits: That count; of a whole number all do.

    Example:
        >>> number(1234567), number(0.123456), number(None), number(-0.00001234)
        ('1,234,567', '0.1235', '—', '-1.234e-05')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.{digits}g}" if abs(value) < 1e6 else f"{value:.{digits}g}"


def percent(share: float | None) -> str:
    """A share for people: one that is not 0 is never told as 0, nor one below 1 as all.

    Example:
        >>> percent(0.123), percent(0.00001), percent(0.99999), percent(1.0), percent(None)
        ('12.3 %', '< 0.1 %', '> 99.9 %', '100 %', '—')
    """
    if share is None or not math.isfinite(share):
        return UNKNOWN
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.3g} %"


def moment(time_s: float | None) -> str:
    """A Unix time for people, in UTC.

    Example:
        >>> moment(1_785_412_800.5), moment(None)
        ('2026-07-30 12:00 UTC', '—')
    """
    return _told(time_s, "%Y-%m-%d %H:%M UTC")


def span(from_s: float, to_s: float) -> str:
    """From when to when, in UTC; to the second where it is within a minute.

    Example:
        >>> span(1_785_412_800.5, 1_785_416_400), span(1_785_412_801, 1_785_412_815)
        ('2026-07-30 12:00 UTC to 2026-07-30 13:00 UTC', '2026-07-30 12:00:01 UTC to 12:00:15 UTC')
    """
    if moment(from_s) != moment(to_s):
        return f"{moment(from_s)} to {moment(to_s)}"
    return f"{_told(from_s, '%Y-%m-%d %H:%M:%S UTC')} to {_told(to_s, '%H:%M:%S UTC')}"


def _told(time_s: float | None, form: str) -> str:
    if time_s is None:
        return UNKNOWN
    try:
        return datetime.fromtimestamp(time_s, UTC).strftime(form)
    except (OverflowError, ValueError, OSError):  # of a clock that nobody ever set
        return f"{time_s:g}"


def length(seconds: float) -> str:
    """A length of time for people.

    Example:
        >>> length(3600), length(90), length(86400), length(0.5)
        ('1 h', '90 s', '1 d', '0.5 s')
    """
    for unit, word in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g} {word}"
    return f"{seconds:.3g} s"


def titled(variant: str, *versions: str) -> str:
    """What a variant is called, with its versions.

    Example:
        >>> titled("champion", "3"), titled("champion", ""), titled("champion", "1", "2", "3", "4")
        ('champion 3', 'champion', 'champion 1, 2, 3, …')
    """
    known = [each for each in versions if each]
    more = ["…"] if len(known) > NAMED_IN_TITLE else []
    return f"{variant} {', '.join(known[:NAMED_IN_TITLE] + more)}".rstrip()


def without_secrets(command: str) -> str:
    """A command, without what only its user must know: in an engine's URL it may be a user's password, or a token.

    Example:
        >>> without_secrets("sidecar report s3://b --engine-url 'sc://me:pw@host;token=abc;x=1'")
        "sidecar report s3://b --engine-url 'sc://…@host;token=…;x=1'"
    """
    return _TOKEN.sub(r"\1…", _USER.sub("//…@", command))


def ranked(columns: Sequence[DriftColumn]) -> list[DriftColumn]:
    """The columns that have drifted, the one that says most first.

    Those that the sequential detector holds for drifted come first, by the information in a row of them; behind them
    those that windows alone show, by how far they are beyond their limit.
    """
    drifted = [each for each in columns if each["drift"] or _beyond(each)]
    return sorted(drifted, key=lambda each: (-_information(each), -_excess(each)))


def _beyond(column: DriftColumn) -> bool:
    return any(each["drifted"] for each in column["statistics"].values())


def _information(column: DriftColumn) -> float:
    return column["drift"]["information_nats"] if column["drift"] else 0.0


def _excess(column: DriftColumn) -> float:
    """How many times its limit the farthest statistic is."""
    ratios = [
        each["statistic"] / each["limit"]
        for each in column["statistics"].values()
        if each["drifted"] and each["statistic"] is not None and each["limit"]
    ]
    return max(ratios, default=0.0)


def standing(document: Document) -> str:
    """How it is, a key of TITLES: what was found and is over is not well, nor are rows too few to say anything."""
    if document["violated"]:
        return "bad"
    if any(each["past"] for each in document["variants"]):
        return "over"
    columns = [column for each in document["variants"] for column in each["drift"]["columns"]]
    return "good" if any(each["seen"] and each["current_whole"] for each in columns) else "unknown"


def verdict(document: Document) -> list[str]:
    """What the report says, in plain sentences, the worst first."""
    variants = document["variants"]
    if not any(each["rows"] for each in variants):
        return ["There is no row that could be read: nothing is known."]
    broken = breaches(variants, document["quality"], document["bias"])
    said = [*map(_drift_of, variants)]
    if broken:
        names = list(dict.fromkeys(f"{each.about} ({each.check})" for each in broken))
        said.append(f"{counted(len(broken), 'constraint is', 'constraints are')} not kept: {_listed(names)}.")
    else:
        said.append("All constraints are kept.")
    said += [_over(variant["name"], past) for variant in variants if (past := variant["past"])]
    causes = dict.fromkeys(each["cause"] for each in document["findings"] if each["cause"])
    said += [f"Cause: {CAUSES.get(cause, cause)}." for cause in causes]
    return [*said, *_of_labels(document["quality"])]


def summed_up(document: Document) -> str:
    """The report in a line."""
    broken = breaches(document["variants"], document["quality"], document["bias"])
    rows = sum(each["rows"] for each in document["variants"])
    of = f"{counted(rows, 'row')} of {counted(len(document['variants']), 'variant')}"
    past = sum(len(each["past"]) for each in document["variants"])
    over = f"; {counted(past, 'finding')} that {'is' if past == 1 else 'are'} over" if past else ""
    return f"{of}, {counted(len(document['findings']), 'finding')}, {counted(len(broken), 'violation')}{over}"


def _drift_of(variant: Variant) -> str:
    columns = variant["drift"]["columns"]
    drifted = ranked(columns)
    name = shown(variant["name"], NAME)
    of = f"{len(drifted)} of {counted(len(columns), 'column')}"
    if not columns:
        return f"{name}: the reference has no column to compare with."
    if not any(each["seen"] for each in columns):
        named = "where captures carry no names, --feature says them in order"
        return f"{name}: none of the reference's {counted(len(columns), 'column')} came, nothing was compared; {named}."
    if not drifted:
        other = variant["findings"]
        if other:
            return f"{name}: no column has drifted by itself; {shown(other[0], 300)}."
        if not any(each["current_whole"] for each in columns):
            return f"{name}: {counted(variant['rows'], 'row')}, too few to compare; nothing is known yet."
        drifts = "drifts any more" if variant["past"] else "has drifted"
        return f"{name}: none of {counted(len(columns), 'column')} {drifts}."
    began = min((each["drift"]["since_s"] for each in drifted if each["drift"]), default=None)
    since = f", most likely since {moment(began)}" if began is not None else ""
    has = "has" if len(drifted) == 1 else "have"
    return f"{name}: {of} {has} drifted{since}: {_listed([each['name'] for each in drifted])}."


def _over(variant: str, past: Sequence[Past]) -> str:
    """How much held for a while, and when."""
    when = span(min(each["from_s"] for each in past), max(each["to_s"] for each in past))
    is_over = "is over" if len(past) == 1 else "are over"
    return f"{shown(variant, NAME)}: {counted(len(past), 'finding')} held for a while, {when}, and {is_over}."


def _of_labels(quality: JSON) -> Iterator[str]:
    if quality is None:
        yield "Without labels nobody can tell how good the answers were."
        return
    for each in quality["variants"]:
        tests = {name: said["alarm"] for name, said in each["tests"].items() if said}
        labelled = f"{shown(titled(each['name'], each['version']), NAME)}: {counted(each['labelled'], 'labelled row')}"
        if worse := [name for name, alarm in tests.items() if alarm]:
            yield f"{labelled}, and tests of them alarm: {_listed(worse)}."
        elif tests:
            yield f"{labelled}, and no test of them alarms."
        else:
            yield f"{labelled}, too few to test: the first {each['reference']['needed_rows']:,} are the yardstick."


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return ", ".join([shown(name, NAME) for name in names[:NAMED]] + more)
