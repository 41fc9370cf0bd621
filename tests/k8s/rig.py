"""What k8s/ holds, as the tests read it."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

from sidecar.records import JSON
from tests.e2e.rig import program

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "k8s"

BUILT = sorted(path.parent for path in FOLDER.rglob("kustomization.yaml") if path.parent.parent.name != "components")
"""What kustomize makes manifests of: the base, the overlays, the examples."""


def holds_sidecar(folder: Path) -> bool:
    """Whether what is built there has one, as the base; the webhook that injects them has none itself."""
    return "inject" not in folder.relative_to(FOLDER).parts


def shown(path: Path) -> str:
    """A name for a test's case."""
    return str(path.relative_to(FOLDER))


def documents(path: Path) -> list[JSON]:
    """A file's documents; a kustomize patch is one that is a list."""
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each is not None]


@cache
def patches() -> frozenset[Path]:
    """The files that change resources of others."""
    return frozenset(
        path.parent / patch["path"]
        for path in FOLDER.rglob("kustomization.yaml")
        for patch in documents(path)[0].get("patches", [])
        if "path" in patch
    )


@cache
def manifests() -> tuple[Path, ...]:
    """The files that hold whole resources."""
    wanted = {"apiVersion", "kind", "metadata"}
    found = (path for path in sorted(FOLDER.rglob("*.yaml")) if path not in patches())
    return tuple(
        path for path in found if all(isinstance(each, dict) and wanted <= each.keys() for each in documents(path))
    )


@cache
def built(folder: Path) -> list[JSON]:
    """The resources that kustomize makes of a folder."""
    done = subprocess.run([*_kustomize(), str(folder)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def _kustomize() -> list[str]:
    if found := shutil.which("kustomize"):
        return [found, "build"]
    # It has kustomize within.
    return [program("kubectl"), "kustomize"]


def resources() -> Iterator[tuple[str, JSON]]:
    """Every resource with where it comes from: of files as they are, and as kustomize builds them."""
    for path in manifests():
        yield from ((shown(path), each) for each in documents(path))
    for folder in BUILT:
        yield from ((shown(folder), each) for each in built(folder))


def one(found: list[JSON], kind: str) -> JSON:
    """The only resource of this kind."""
    (only,) = [each for each in found if each["kind"] == kind]
    return only


def pod(resource: JSON) -> JSON | None:
    """The pod's specification within a resource; None where it has none."""
    if resource["kind"] == "InferenceService":
        return resource["spec"]["predictor"]
    return resource.get("spec", {}).get("template", {}).get("spec")


def promtool(*arguments: str | Path) -> str:
    """What promtool says; it has to agree."""
    done = subprocess.run(
        [program("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rule_files() -> list[Path]:
    return [path for path in sorted((FOLDER / "prometheus").glob("*.yaml")) if "groups" in documents(path)[0]]


def expressions() -> Iterator[tuple[str, str]]:
    """Every query with where it comes from; what is filled in later is filled in by something of its kind."""
    for path in rule_files():
        yield from _of_rules(path)
    for path in sorted((FOLDER / "rollouts").glob("*.yaml")):
        yield from _of_templates(path)
    for path in sorted((FOLDER / "grafana").glob("*.json")):
        yield from _of_board(path)


def _of_rules(path: Path) -> Iterator[tuple[str, str]]:
    for group in documents(path)[0]["groups"]:
        for rule in group["rules"]:
            yield f"{path.name} {rule.get('record') or rule['alert']}", rule["expr"]


def _of_templates(path: Path) -> Iterator[tuple[str, str]]:
    for document in documents(path):
        metrics = document["spec"].get("metrics", [])
        queries = [each["provider"]["prometheus"]["query"] for each in metrics] or [document["spec"]["query"]]
        yield from ((f"{path.name} {document['metadata']['name']}", _filled(query)) for query in queries)


def _of_board(path: Path) -> Iterator[tuple[str, str]]:
    board = json.loads(path.read_text(encoding="utf-8"))
    asked = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])]
    asked += [(each["name"], each["expr"]) for each in board["annotations"]["list"]]
    for variable in board["templating"]["list"]:
        if found := re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", "")):
            asked.append((variable["name"], f"count by ({found[2]}) ({found[1]})"))
    yield from ((f"{path.name} {title}", _filled(query)) for title, query in asked)


def _filled(query: str) -> str:
    """Grafana's intervals, Flagger's and Argo's."""
    return re.sub(r"\[(\$__rate_interval|\{\{ ?interval ?\}\})\]", "[5m]", query)


_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')
_NUMBER = re.compile(r"\b[0-9][0-9.]*(?:e[-+]?[0-9]+)?\b")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_MATCHERS = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan", "NaN", "Inf"}


def names(query: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels that a query in PromQL asks for."""
    bare = _NUMBER.sub("0", _LITERAL.sub('""', query))
    labels = {name for found in _GROUPING.findall(bare) for name in _NAME.findall(found)}
    labels |= {name for found in _MATCHERS.findall(bare) for name in re.findall(r"(\w+)\s*(?:=|!)", found)}
    rest = re.sub(r"\[[^\]]*\]", " ", _MATCHERS.sub(" ", _GROUPING.sub(" ", bare)))
    rest = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\b|\boffset\s+\w+", " ", rest)
    called = re.findall(r"([a-zA-Z_]\w*)\s*\(", rest)
    return {name for name in _NAME.findall(rest) if name not in {*called, *_WORDS}}, labels
