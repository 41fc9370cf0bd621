import os
import stat
import threading
from pathlib import Path

import pytest

from sidecar import journal as module
from sidecar.entries import Change
from sidecar.errors import ConfigError, DeliveryError
from sidecar.journal import CHANGES, DOCUMENTS, FILE, Journal


def change(number: int) -> Change:
    return Change(float(number), "ann", f"change {number}", "because")


def test_there_is_nothing_at_first() -> None:
    journal = Journal(None)
    assert (journal.documents(), journal.changes(10)) == ([], [])


def test_what_was_added_is_told_the_latest_first_over_a_restart(tmp_path: Path) -> None:
    first = Journal(tmp_path / "not" / "yet")
    for number in range(3):
        first.add(number, change(number), b"%d" % number)
    first.close()

    again = Journal(tmp_path / "not" / "yet")

    assert again.documents() == [b"2", b"1", b"0"]
    assert again.changes(2) == [(2, change(2)), (1, change(1))]
    again.close()


def test_a_file_is_for_nobody_else_to_read(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    assert stat.S_IMODE(os.stat(tmp_path / FILE).st_mode) == 0o600


def test_so_many_are_kept_and_fewer_with_what_stood_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CHANGES > DOCUMENTS
    monkeypatch.setattr(module, "CHANGES", 20)
    monkeypatch.setattr(module, "DOCUMENTS", 5)
    journal = Journal(None)
    for number in range(50):
        journal.add(number, change(number), b"%d" % number)
    assert [revision for revision, _ in journal.changes(1000)] == list(range(49, 29, -1))
    assert journal.documents() == [b"%d" % number for number in range(49, 44, -1)]


def test_revisions_may_come_again() -> None:
    journal = Journal(None)
    for text in (b"one", b"two"):
        journal.add(7, change(7), text)
    assert (len(journal.changes(9)), journal.documents()) == (2, [b"two", b"one"])


def test_who_cannot_be_kept_is_told_and_nothing_of_it_is_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.close()
    for ask in (lambda: journal.add(1, change(1), b""), journal.documents, lambda: journal.changes(1)):
        with pytest.raises(DeliveryError, match=FILE):
            ask()
    assert Journal(tmp_path).changes(1) == []


def test_another_process_has_it_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_S", 0.01)
    journal = Journal(tmp_path)
    with pytest.raises(ConfigError, match="expected a whole file that no other process has open"):
        Journal(tmp_path)
    journal.close()


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(1, change(1), b"x")
    journal.close()
    (tmp_path / FILE).write_bytes(b"SQLite format 3\0" + b"?" * 5000)
    assert Journal(tmp_path).documents() == []
    assert (tmp_path / f"{FILE}.broken").exists()


def test_many_threads_lose_nothing() -> None:
    journal = Journal(None)
    threads = [threading.Thread(target=journal.add, args=(number, change(number), b"x")) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {revision for revision, _ in journal.changes(100)} == set(range(20))
