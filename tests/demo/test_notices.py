from sidecar.demo.notices import WIDTH, Notice, indented, told
from sidecar.demo.receiver import Received


def test_a_notice_is_told_as_it_came() -> None:
    received = Received("a1", "firing", "Data drift: area", "It has drifted.", ("area",))

    assert told(Notice(13.04, received)) == [
        ">>> 13.0 s: ALERT firing, at the webhook receiver, its signature right:",
        "    Data drift: area",
        "    It has drifted.",
    ]


def test_a_long_text_is_told_in_lines() -> None:
    lines = indented("word " * 50)

    assert " ".join(lines).split() == ["word"] * 50
    assert all(len(line) <= WIDTH and line.startswith("    word") for line in lines)
