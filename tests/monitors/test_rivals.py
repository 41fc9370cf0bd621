import numpy as np
import pytest

from sidecar.monitors import rivals
from sidecar.monitors.rivals import Rivals
from sidecar.monitors.versions import VersionKey
from sidecar.stats.moments import Floats

VERSIONS = {"champion": "3", "challenger": "4"}
CHALLENGER = VersionKey("challenger", "4")


def pair() -> Rivals:
    return Rivals("champion", tolerance=0.02, false_alarms_per=1e5)


def wrong(rng: np.random.Generator, rows: int, share: float) -> Floats:
    return (rng.random(rows) < share).astype(np.float64)


def fed(
    found: Rivals, challenger: float, rows: int = 4000, champion: float = 0.1, seed: int = 0, version: str = "4"
) -> Rivals:
    rng = np.random.default_rng(seed)
    for _ in range(rows // 100):
        found.take("champion", "3", wrong(rng, 90, champion))
        found.take("challenger", version, wrong(rng, 10, challenger))
    return found


def test_a_challenger_that_is_worse_is_found_from_a_tenth_of_the_traffic() -> None:
    [finding] = fed(pair(), challenger=0.4, rows=8000).findings(VERSIONS)

    assert finding.key == ("quality", "champion", "challenger", "quality")
    assert (finding.version, finding.carriers[0].share) == ("4", 1.0)
    assert finding.carriers[0].statistic == pytest.approx(0.3, abs=0.1)
    assert finding.sentence.startswith("challenger answers worse than champion: +")


@pytest.mark.parametrize("share", [0.05, 0.1, 0.11])
def test_one_that_is_as_good_is_not(share: float) -> None:
    for seed in range(5):
        assert list(fed(pair(), challenger=share, rows=20_000, seed=seed).findings(VERSIONS)) == []


def test_what_both_suffer_is_no_difference() -> None:
    found = fed(pair(), challenger=0.1)
    fed(found, challenger=0.5, champion=0.5, rows=20_000, seed=1)

    assert list(found.findings(VERSIONS)) == []


def test_a_variant_that_is_no_more_is_not_told() -> None:
    assert list(fed(pair(), challenger=0.9).findings({"champion": "3"})) == []


def test_without_the_champion_nothing_is_compared() -> None:
    found = pair()
    found.take("challenger", "4", np.ones(500))

    assert (found.verdicts[CHALLENGER].rows, list(found.findings(VERSIONS))) == (0, [])


def test_it_goes_on_from_its_state() -> None:
    found, again = fed(pair(), challenger=0.4, rows=2000), pair()
    again.restore(found.state())
    assert again.verdicts == found.verdicts

    fed(found, challenger=0.4, rows=3000, seed=2)
    fed(again, challenger=0.4, rows=3000, seed=2)
    assert again.verdicts == found.verdicts


def test_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "MAX_RIVALS", 2)
    found = pair()
    for number in range(5):
        found.take(f"v{number}", "1", np.ones(1))

    assert list(found.verdicts) == [("v3", "1"), ("v4", "1")]


def test_a_new_version_is_not_blamed_for_the_one_before() -> None:
    found = fed(pair(), challenger=0.4, rows=8000)
    fed(found, challenger=0.1, rows=1000, version="5", seed=1)

    assert list(found.findings({**VERSIONS, "challenger": "5"})) == []
    assert [each.version for each in found.findings(VERSIONS)] == ["4"]


def test_a_new_version_is_found_as_fast_as_the_first_one() -> None:
    found = fed(pair(), challenger=0.1, rows=40_000)
    fed(found, challenger=0.4, rows=8000, version="5", seed=1)

    assert [each.version for each in found.findings({**VERSIONS, "challenger": "5"})] == ["5"]
