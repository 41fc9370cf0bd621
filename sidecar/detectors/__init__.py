"""Detectors: whether the rows of late are still like the reference's. One a file; here they have their names."""

from collections.abc import Callable

from sidecar.detectors.chi_squared import ChiSquared
from sidecar.detectors.distance import LInfinity
from sidecar.detectors.divergence import JensenShannon, PopulationStability
from sidecar.detectors.kolmogorov_smirnov import KolmogorovSmirnov
from sidecar.detectors.mean_shift import MeanShift
from sidecar.detectors.missing import MissingShare
from sidecar.detectors.new_categories import NewCategories
from sidecar.detectors.wasserstein import Wasserstein
from sidecar.ports import Detector

DETECTORS: dict[str, Callable[..., Detector]] = {
    "l_infinity": LInfinity,
    "psi": PopulationStability,
    "jensen_shannon": JensenShannon,
    "kolmogorov_smirnov": KolmogorovSmirnov,
    "chi_squared": ChiSquared,
    "missing": MissingShare,
    "wasserstein": Wasserstein,
    "mean_shift": MeanShift,
    "new_categories": NewCategories,
}
"""Every detector of two windows by its name in `monitors[].detectors[].kind`."""
