import json
import re

import pytest

from sidecar.records import Body
from sidecar.sinks.capture_lines import MAX_NAME_LENGTH, file_place, folder_name, line
from tests.sinks.captures import CAPTURE, NOON_S


def test_a_line_ends_once_and_is_json() -> None:
    text = line(CAPTURE._replace(request=Body("application/json", b'{\n"a": 1}\n')))
    assert (text.count(b"\n"), text.endswith(b"}\n")) == (1, True)
    assert json.loads(text)["captureData"]["endpointInput"]["data"] == '{\n"a": 1}\n'


def test_a_line_has_the_event_id_by_which_labels_call_it() -> None:
    assert json.loads(line(CAPTURE))["eventMetadata"]["eventId"] == CAPTURE.event_id


def test_a_lone_surrogate_is_a_question_mark() -> None:
    assert json.loads(line(CAPTURE._replace(path="/\udcff")))["sidecar"]["path"] == "/?"


@pytest.mark.parametrize(
    ("name", "folder"), [("champion", "champion"), ("../a", "%2E.%2Fa"), ("", "%"), ("x" * 300, "x" * MAX_NAME_LENGTH)]
)
def test_a_folders_name_leads_nowhere_else(name: str, folder: str) -> None:
    assert folder_name(name) == folder


def test_a_file_lies_by_variant_and_utc_hour_and_is_named_by_its_first_moment() -> None:
    pattern = r"a%2Fb/2026/07/30/12/01-02-500-000007-[0-9a-f]{32}\.jsonl"
    assert re.fullmatch(pattern, file_place("a/b", NOON_S + 62.5, 7))


def test_no_two_files_have_one_name() -> None:
    assert file_place("a", NOON_S, 1) != file_place("a", NOON_S, 1)
