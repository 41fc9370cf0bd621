"""The tests mirror the package: what is tested where is never a question."""

from pathlib import Path

import sidecar

PACKAGE = Path(sidecar.__file__).parent
TESTS = PACKAGE.parent / "tests"

UNTESTED_ALONE = {
    "app.py": "tests/e2e: it is what a process does",
    "assembly.py": "tests/e2e",
    "build/monitoring.py": "tests/e2e",
    "build/serving.py": "tests/e2e",
    "build/telemetry.py": "tests/e2e/test_otlp_variables.py",
    "injection/marks.py": "data only",
    "monitor.py": "tests/e2e",
    "reporting.py": "tests/e2e",
    "admin/view.py": "data only",
    "config/telemetry.py": "data only",
    "config/values.py": "tests/config/test_schema.py",
    "entries.py": "data only",
    "exchange.py": "data only",
    "frame.py": "tests/test_steering.py: by what becomes of courses",
    "infrastructure/readings.py": "data only",
    "helm.py": "tests/test_steering.py: by what is steered with it",
    "ports.py": "protocols only",
    "proxy/admission.py": "tests/proxy/test_downstream.py: by what a client sees",
    "proxy/limits.py": "data only",
    "proxy/tls.py": "tests/e2e/test_tls.py",
    "quality/answers.py": "data only",
    "records.py": "data only",
    "reference/profile.py": "data only",
    "report/progress.py": "protocols only",
    "errors.py": "classes only",
}


def test_every_module_has_its_test_file_or_a_reason() -> None:
    modules = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if not path.name.startswith("__init__")}
    mirrored = {module for module in modules if _test_file(module).exists()}
    assert modules - mirrored == set(UNTESTED_ALONE)


def test_every_test_file_tests_a_module() -> None:
    ours = {"test_docs.py", "test_structure.py", "test_vocabulary.py"}
    files = {path for path in TESTS.rglob("test_*.py") if path.parent.name not in {"e2e", "bench", "k8s"}}
    known = {_test_file(str(path.relative_to(PACKAGE))) for path in PACKAGE.rglob("*.py")}
    assert {path.name for path in files - known} - ours - {"test_fuzz.py"} == set()


def _test_file(module: str) -> Path:
    path = Path(module)
    return TESTS / path.parent / f"test_{path.stem.strip('_')}.py"
