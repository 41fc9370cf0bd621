"""One word for one thing: the words that the design has decided against do not come back."""

import re
from pathlib import Path

import sidecar

PACKAGE = Path(sidecar.__file__).parent

# What is meant instead stands in the design's table of words. `endpoint` is SageMaker's and OpenTelemetry's own word;
# `sidecar baseline` is what people coming from there will type, and makes a reference.
BANNED = re.compile(r"(?i)\b(backend|target_url|model_server|baseline|data_item|y_true|y_pred)\b")
COMMANDS = {"cli/__init__.py", "cli/baseline.py", "demo/place.py"}
NAMES = re.compile(r"^class \w*(Manager|Helper|Util|Processor|Handler|Service|Wrapper)\b", re.MULTILINE)


def test_no_banned_word_is_in_the_package() -> None:
    found = [
        f"{path.name}: {match[0]}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if str(path.relative_to(PACKAGE)) not in COMMANDS
        for match in BANNED.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_no_class_is_named_after_nothing() -> None:
    found = [match[0] for path in PACKAGE.rglob("*.py") for match in NAMES.finditer(path.read_text(encoding="utf-8"))]
    assert found == []
