import msgspec
import pytest

from sidecar.cli.standing import Standing, told_in_full, told_in_lines
from sidecar.records import JSON

Told = pytest.CaptureFixture[str]


def standing(**more: JSON) -> Standing:
    told = {"revision": 7, "shares": {"a": 99.5, "b": 0.5}, "change": {"time": 0, "who": "ada", "what": "routes"}}
    return msgspec.convert({**told, **more}, Standing)


def rollout(**more: JSON) -> JSON:
    told = {
        "champion": "a",
        "challenger": "b",
        "version": "4",
        "phase": "rolled_back",
        "percent": 0.0,
        "steps": [5, 50],
    }
    return {**told, **more}


def test_shares_are_told_in_a_line(capsys: Told) -> None:
    told_in_lines(standing())

    assert capsys.readouterr() == ("revision 7: a 99.5 %, b 0.5 %\n", "")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (rollout(), "rollout of b (version 4): rolled back, 0 %"),
        (rollout(version="", phase="waiting"), "rollout of b: waiting, 0 %"),
        (rollout(reason="breach at 5 %: errors"), "rollout of b (version 4): rolled back, 0 %: breach at 5 %: errors"),
        (
            rollout(phase="stepping", percent=5.0, reason="started by ada", awaited="the pause, 300 s more"),
            "rollout of b (version 4): stepping, 5 %: started by ada; waits for the pause, 300 s more",
        ),
    ],
)
def test_how_far_a_rollout_is_is_told_in_another(told: JSON, expected: str, capsys: Told) -> None:
    told_in_lines(standing(rollout=told))

    assert capsys.readouterr().out.splitlines()[1:] == [expected]


def test_what_could_not_be_kept_is_a_warning(capsys: Told) -> None:
    told_in_full(standing(unkept="the disk\x1b[2J is full"))

    assert capsys.readouterr().err == "in force, but not kept yet: the disk\\x1b[2J is full\n"


def test_guardrails_have_a_table(capsys: Told) -> None:
    guardrails = [{"name": "errors", "word": "missing", "sentence": "20 rows of 200"}]

    told_in_full(standing(rollout=rollout(guardrails=guardrails)))

    out = capsys.readouterr().out
    assert "\n\nguardrail\tword\tsentence\nerrors\tmissing\t20 rows of 200\n\n" in out
    assert out.endswith("changed 1970-01-01T00:00:00Z by ada, routes\n")


@pytest.mark.parametrize("versions", [{}, {"a": ""}])
def test_a_variant_without_a_version_has_an_empty_one(versions: JSON, capsys: Told) -> None:
    told_in_full(standing(versions=versions))

    assert capsys.readouterr().out.splitlines()[1] == "a\t\t99.5\t\t"


def test_the_version_and_the_state_of_a_variant_are_told(capsys: Told) -> None:
    """The version that an alias means, not the alias."""
    ejected = {"state": "ejected", "available": 0.0, "ejections": 2}

    told_in_full(standing(versions={"a": "3"}, availability={"a": ejected}))

    assert capsys.readouterr().out.splitlines()[1] == "a\t3\t99.5\tejected\t2"
