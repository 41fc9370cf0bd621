"""The report as Markdown that fits into a comment on a pull request: what matters, bounded, and nothing that acts.

Names and sentences come from payloads. What Markdown or GitHub would take for markup, a mention or a link stands as an
entity, and is shown as it is.
"""

import re
from collections.abc import Iterator, Sequence

from sidecar.report.telling.document import Document, Variant, breaches
from sidecar.report.telling.labelled import biases, qualities, summary, what_became
from sidecar.report.telling.wording import (
    TITLES,
    length,
    moment,
    number,
    percent,
    ranked,
    span,
    standing,
    verdict,
)
from sidecar.texts import counted, shown

MARKS = {"bad": "🔴", "over": "🟡", "unknown": "⚪", "good": "🟢"}

MAX_BYTES = 60_000
"""GitHub takes 65,536 characters in a comment."""

MAX_ROWS = 20
"""Of each table."""

MAX_VARIANTS = 8
NAME, SENTENCE = 60, 240
"""Characters of a name and of a sentence; each may become six bytes and more."""

CUT = "\n\nThe rest did not fit: it is in the page and in the JSON.\n"

# `://` and `www.` become links, `@` mentions, `#` references, `$` formulas.
# An underscore within a word stresses nothing.
_MARKS = re.compile(r"[\\`*\[\]<>|~&@#$]|(?<![^\W_])_|_(?![^\W_])|(?<=:)//|(?<=www)\.", re.IGNORECASE)


def markdown(document: Document) -> str:
    """The text, at most MAX_BYTES long in UTF-8."""
    parts = [_head(document)]
    parts += [part(each) for each in document["variants"][:MAX_VARIANTS] for part in (_variant, _over)]
    if (more := len(document["variants"]) - MAX_VARIANTS) > 0:
        parts.append(f"{counted(more, 'more variant')} in the page and in the JSON.")
    parts += [_constraints(document), _labels(document), _made(document)]
    return _bounded("\n\n".join(part for part in parts if part) + "\n")


def escaped(text: str, most: int = SENTENCE) -> str:
    r"""A text that Markdown shows as it is, on one line.

    Example:
        >>> escaped("a|b *c*")
        'a&#124;b &#42;c&#42;'
        >>> escaped("@all <b>")
        '&#64;\u200ball &#60;b&#62;'
    """
    return _MARKS.sub(_entity, shown(text, most))


def _entity(found: re.Match[str]) -> str:
    entities = "".join(f"&#{ord(character)};" for character in found[0])
    # A mention is looked for in what is shown: what has no width stands in its way.
    return f"{entities}\u200b" if found[0] in "@#" else entities


def _bounded(text: str) -> str:
    """The text, or as many of its lines as fit."""
    if len(text.encode()) <= MAX_BYTES:
        return text
    kept = text.encode()[: MAX_BYTES - len(CUT)].decode(errors="ignore")
    return kept[: kept.rindex("\n")] + CUT


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows[:MAX_ROWS]]
    more = f"\n\n{len(rows) - MAX_ROWS:,} more." if len(rows) > MAX_ROWS else ""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + more


def _head(document: Document) -> str:
    found = standing(document)
    return "\n".join(
        [
            f"## {MARKS[found]} {TITLES[found]}",
            "",
            *(f"- {escaped(each, 600)}" for each in verdict(document)[:MAX_ROWS]),
        ]
    )


def _variant(variant: Variant) -> str:
    columns = ranked(variant["drift"]["columns"])
    if not columns:
        return ""
    rows = []
    for each in columns:
        beyond = [
            f"{escaped(kind)} {number(said['statistic'])} (limit {number(said['limit'])})"
            for kind, said in each["statistics"].items()
            if said["drifted"]
        ]
        change = each["drift"]
        rows.append(
            [
                escaped(each["name"], NAME),
                escaped(change["text"]) if change else "",
                moment(change["since_s"]) if change else "",
                percent(change["moved_ratio"]) if change else "",
                ", ".join(beyond),
            ]
        )
    header = ["column", "what happened", "most likely since", "moved", "beyond"]
    return f"### What drifted: {escaped(variant['name'], NAME)}\n\n{_table(header, rows)}"


def _over(variant: Variant) -> str:
    rows = [
        [escaped(each["sentence"]), escaped(each["check"]), span(each["from_s"], each["to_s"])]
        for each in variant["past"]
    ]
    if not rows:
        return ""
    header = ["what held for a while", "check", "when"]
    return f"### What is over: {escaped(variant['name'], NAME)}\n\n{_table(header, rows)}"


def _constraints(document: Document) -> str:
    found = breaches(document["variants"], document["quality"], document["bias"])
    if not found:
        return ""
    rows = [
        [escaped(each.about, NAME), escaped(each.check), escaped(each.variant, NAME), escaped(each.description)]
        for each in found
    ]
    return f"### Constraints that are not kept\n\n{_table(['what', 'check', 'of', 'what is wrong'], rows)}"


def _labels(document: Document) -> str:
    return "\n\n".join(
        f"### {title}\n\n" + "\n".join(f"- {each}" for each in lines[:MAX_ROWS])
        for title, lines in (("Quality", list(_qualities(document))), ("Bias", list(_biases(document))))
        if lines
    )


def _qualities(document: Document) -> Iterator[str]:
    if document["quality"] is not None:
        yield escaped(what_became(document["quality"]))
    for version in qualities(document["quality"], str):
        yield f"{escaped(version.title, NAME)}: {escaped(summary(version), 1200)}"


def _biases(document: Document) -> Iterator[str]:
    for version in biases(document["bias"]):
        for group in version.groups:
            told = [
                f"{each.name} {number(each.value)}" for each in group.metrics if isinstance(each.value, int | float)
            ]
            about = f"{escaped(version.title, NAME)}, {escaped(group.title, NAME)}"
            yield f"{about}: {escaped(', '.join(told), 600) or 'too few rows'}"


def _made(document: Document) -> str:
    inputs, reference = document["inputs"], document["reference"]
    skipped = ", ".join(f"{count:,} ({reason})" for reason, count in inputs["skipped"].items())
    lines = [
        f"{counted(inputs['rows'], 'row')} of {counted(inputs['files'], 'file')}"
        + (f"; passed over: {escaped(skipped)}" if skipped else ""),
        f"against {escaped(reference['path'])}, {counted(reference['rows'], 'row')} of "
        f"{counted(reference['features'], 'column')}",
        f"in slices of {length(document['every_s'])}, on {escaped(document['engine'])}, sidecar {document['sidecar']}",
    ]
    told = "\n".join(f"- {each}" for each in lines)
    return (
        f"<details><summary>How this was made</summary>\n\n{told}\n\n{escaped(document['command'], 1000)}\n\n</details>"
    )
