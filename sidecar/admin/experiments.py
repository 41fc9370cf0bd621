"""What `/v1/experiments` and `/v1/shadow` answer: which variant is better, how sure that is, and what copies say."""

from sidecar.admin.view import Trials, View
from sidecar.experiments.standing import Standing
from sidecar.experiments.users import Mismatch
from sidecar.experiments.verdicts import Guarded, Verdict
from sidecar.monitors.shadowed import Shadowed
from sidecar.records import JSON
from sidecar.texts import encodable


def experiments(trials: Trials | None) -> JSON:
    """Each experiment as it was last looked at: that of the configuration, and the rollout's guardrails."""
    standings = trials.standings if trials is not None else {}
    return {"experiments": [_standing(kind, standing) for kind, standing in standings.items()]}


def shadow(view: View) -> JSON:
    """What became of copies, and how their answers differ; None where nothing is copied."""
    wanted = view.steering.routes.shadow
    if wanted is None:
        return None
    shadowed = view.trials.shadowed if view.trials is not None else None
    told = (shadowed or Shadowed(wanted.variant)).told()
    copies = view.upstreams.shadowed
    counts = {"sent": copies.sent, "in_flight": copies.in_flight}
    return {**told, **counts, "shed": dict(copies.shed), "failed": dict(copies.failed)}


def _standing(kind: str, standing: Standing) -> JSON:
    return {
        "kind": kind,
        "name": encodable(standing.name),
        "variants": list(standing.variants),
        "since_s": standing.since_s,
        "epoch_s": standing.epoch_s,
        "rows": dict(standing.rows),
        "late": standing.late,
        "wrong": standing.wrong,
        "min_rows": standing.min_rows,
        "verdicts": [_verdict(each) for each in standing.verdicts],
        "guards": [_guard(each) for each in standing.guards],
        "mismatch": _mismatch(standing.variants, standing.mismatch),
        "sides": standing.sides._asdict(),
        "cautions": [encodable(each) for each in standing.cautions],
    }


def _verdict(verdict: Verdict) -> JSON:
    both, decided = verdict.compared, verdict.decided
    return {
        "measure": encodable(verdict.measure),
        "challenger": verdict.challenger,
        "word": verdict.word,
        "sentence": encodable(verdict.sentence),
        "estimate": both.estimate,
        "low": both.low,
        "high": both.high,
        "margin": verdict.margin,
        "relative": verdict.relative,
        "values": {"champion": both.champion, "challenger": both.challenger},
        "rows": {"champion": both.champion_rows, "challenger": both.challenger_rows},
        "rows_to_go": verdict.rows_to_go,
        "decided": None if decided is None else decided._asdict(),
        "omitted": verdict.omitted,
    }


def _guard(guard: Guarded) -> JSON:
    return {
        "measure": encodable(guard.measure),
        "challenger": guard.challenger,
        "word": guard.word,
        "sentence": encodable(guard.sentence),
    }


def _mismatch(variants: tuple[str, ...], mismatch: Mismatch) -> JSON:
    users = zip(variants, mismatch.counts, mismatch.shares, strict=True)
    return {
        "p_value": mismatch.p_value,
        "nats": mismatch.nats,
        "alarm": mismatch.alarm,
        "users": [{"variant": variant, "count": count, "share": share} for variant, count, share in users],
    }
