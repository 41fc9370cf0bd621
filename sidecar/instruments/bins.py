"""The rows of each variant by the reference's bins: what a fleet's drift can be summed from."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from sidecar.instruments.table import Points, metric
from sidecar.monitors.data import Following
from sidecar.monitors.telling import bin_names
from sidecar.records import Metric
from sidecar.stats.moments import Counts
from sidecar.texts import encodable


def bin_metrics(following: Following | None, variants: Collection[str], *, max_series: int) -> tuple[list[Metric], int]:
    """Rows by bin, those of the reference too; and how many points are left out. May be called from any thread.

    A column is told with all its bins for all variants, or not at all: a part of either is of no use. The first
    columns of the reference are: all sidecars of a fleet tell the same.

    Args:
        following: The data monitor; None where nothing is watched.
        variants: Those that are told before their first row too, as 0: growth is from something.
        max_series: Points of each metric.
    """
    rows: Points = []
    reference: Points = []
    omitted = 0
    if following is not None:
        followed = dict(following.variants)
        counts = {variant: followed[variant].rows_by_bin for variant in followed}
        counts |= {variant: following.bins.reference * 0 for variant in variants if variant not in counts}
        sizes = following.bins.used.sum(axis=1)
        told = int((sizes.cumsum() * max(1, len(counts)) <= max_series).sum())
        omitted = int(sizes[told:].sum()) * (len(counts) + 1)
        reference = list(_points(following, following.bins.reference, told))
        for variant, counted in sorted(counts.items()):
            at = {"feature_flag.result.variant": variant}
            rows += [({**at, **column}, count) for column, count in _points(following, counted, told)]
    counting = replace(metric("sidecar.drift.bin.rows", rows), since_s=following.since_s if following else None)
    return [counting, metric("sidecar.drift.bin.reference", reference)], omitted


def _points(following: Following, counted: Counts, told: int) -> Iterable[tuple[dict[str, str], int]]:
    """The counts of the first columns, bin by bin."""
    bins = following.bins
    for column in range(told):
        name = encodable(bins.names[column])
        counts = counted[column][bins.used[column]].tolist()
        for each, count in zip(bin_names(bins, column), counts, strict=True):
            yield {"sidecar.column": name, "sidecar.bin": each}, count
