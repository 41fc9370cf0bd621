"""What tests of versions ask of a sidecar, and how they configure it."""

from pathlib import Path

from sidecar.records import JSON
from tests.e2e.rig import Sidecar, written

USER = "x-user"
CHAMPION, CHALLENGER = "champion", "challenger"


def settings(
    folder: Path, champion: str, challenger: str, weights: tuple[float, float] = (100, 0), **more: JSON
) -> Path:
    """A configuration with these variants, versions 1 and 2."""
    document = {
        "state": str(folder / "state"),
        "variants": {
            CHAMPION: {"url": champion, "version": "1", "weight": weights[0]},
            CHALLENGER: {"url": challenger, "version": "2", "weight": weights[1]},
        },
        "capture": {"sample_ratio": 1.0},
        "model": {"task": "binary", "prediction": "predict"},
        "monitors": [{"kind": "quality"}],
        **more,
    }
    return written(folder / "sidecar.yaml", document)


def plan(*guardrails: JSON, **more: JSON) -> JSON:
    """A rollout in short steps."""
    steps = {"steps": [20, 40, 60], "pause_s": 1, "min_rows": 40, "guardrails": list(guardrails)}
    return {"champion": CHAMPION, "challenger": CHALLENGER, **steps, **more}


def routes(found: Sidecar) -> JSON:
    """Who serves whom."""
    return found.ask("/v1/routes").json()


def told(found: Sidecar) -> JSON:
    """How far the rollout is."""
    return routes(found)["rollout"]


def changes(found: Sidecar) -> list[JSON]:
    """What was changed, the first first."""
    latest: list[JSON] = found.ask("/v1/routes/changes?limit=1000").json()["changes"]
    return latest[::-1]
