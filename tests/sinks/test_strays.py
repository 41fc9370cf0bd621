import gc
import io
import logging
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sidecar.sinks.strays import Strays


class Kept(logging.Handler):
    """Records, as text with their exception."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.told.append((record.levelname, record.name, record.getMessage(), repr(error) if error else ""))


@contextmanager
def logged(kept: Kept) -> Iterator[None]:
    root, strays = logging.getLogger(), Strays()
    root.addHandler(kept)
    try:
        yield
    finally:
        root.removeHandler(kept)
        strays.close()


def fail() -> None:
    raise ValueError("no")


class Failing:
    """Fails when it is collected as garbage."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        raise ValueError("no")


def test_a_warning_is_a_line_that_says_where() -> None:
    kept = Kept()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with logged(kept):
            warnings.warn_explicit("of old", DeprecationWarning, "some.py", 7)
    assert kept.told == [("WARNING", "py.warnings", "DeprecationWarning: of old (some.py:7)", "")]


def test_a_warning_that_is_to_be_shown_elsewhere_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, elsewhere = Kept(), io.StringIO()
    shown: list[tuple[object, ...]] = []
    monkeypatch.setattr(warnings, "showwarning", lambda *told: shown.append(told))
    with logged(kept):
        warnings.showwarning("of old", DeprecationWarning, "some.py", 7, elsewhere)
    assert (kept.told, shown) == ([], [("of old", DeprecationWarning, "some.py", 7, elsewhere, None)])


def test_a_fault_that_ends_a_thread_is_told_with_its_name() -> None:
    kept = Kept()
    with logged(kept):
        ending = threading.Thread(target=fail, name="the-thread")
        ending.start()
        ending.join()
    assert kept.told == [("ERROR", "sidecar.sinks.strays", "a fault that ended thread the-thread", "ValueError('no')")]


def test_a_thread_that_ends_itself_is_nothing_to_tell() -> None:
    kept = Kept()
    with logged(kept):
        ending = threading.Thread(target=sys.exit)
        ending.start()
        ending.join()
    assert kept.told == []


def test_garbage_that_fails_is_told_by_its_name() -> None:
    kept = Kept()
    with logged(kept):
        Failing()
        gc.collect()
    assert kept.told == [
        ("ERROR", "sidecar.sinks.strays", "Exception ignored in Failing.__del__", "ValueError('no')"),
    ]


class Hidden:
    """Cannot be asked anything."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def __call__(self, _: object) -> None:
        fail()


class Plain:
    """Something that goes."""


def test_what_cannot_be_asked_its_name_is_told_by_its_kind() -> None:
    kept = Kept()
    with logged(kept):
        subject = Plain()
        watching = weakref.ref(subject, Hidden())
        del subject
    assert watching() is None
    assert kept.told == [("ERROR", "sidecar.sinks.strays", "Exception ignored in Hidden", "ValueError('no')")]


def test_a_fault_that_nobody_caught_is_told() -> None:
    kept = Kept()
    with logged(kept):
        sys.excepthook(ValueError, ValueError("no"), None)
    assert kept.told == [("CRITICAL", "sidecar.sinks.strays", "a fault that nobody caught", "ValueError('no')")]


class Warning_(logging.Handler):
    """Warns whenever something is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.asked += 1
        warnings.warn_explicit(record.getMessage(), UserWarning, "some.py", self.asked)


def test_what_goes_astray_while_one_is_told_is_not_told() -> None:
    kept = Kept()
    warning = Warning_()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.getLogger().addHandler(warning)
        with logged(kept):
            sys.excepthook(ValueError, ValueError("no"), None)
            logging.getLogger("another").warning("said")
        logging.getLogger().removeHandler(warning)
    assert warning.asked == 3
    assert [told[1] for told in kept.told] == ["sidecar.sinks.strays", "py.warnings", "another"]


def hooks() -> list[object]:
    return [warnings.showwarning, sys.excepthook, threading.excepthook, sys.unraisablehook]


def test_closed_it_leaves_all_as_it_was() -> None:
    before = hooks()
    strays = Strays()
    assert not set(map(id, before)) & set(map(id, hooks()))
    strays.close()
    strays.close()
    assert hooks() == before


def test_what_others_have_put_in_its_place_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    strays = Strays()

    def another(*_: object) -> None:
        pass

    for module, name in (
        (warnings, "showwarning"),
        (sys, "excepthook"),
        (threading, "excepthook"),
        (sys, "unraisablehook"),
    ):
        monkeypatch.setattr(module, name, another)
    strays.close()
    assert hooks() == [another] * 4
    monkeypatch.undo()
    strays.close()
