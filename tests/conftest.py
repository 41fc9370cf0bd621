"""What holds for all tests."""

from typing import Any

import numpy as np
import pytest
from hypothesis import settings

# Examples are the same on every run, and none fails for want of speed.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

BEGINNINGS: dict[str, Any] = {}
"""States of modules' generators before their first test."""


@pytest.fixture(autouse=True)
def the_same_numbers(request: pytest.FixtureRequest) -> None:
    """What a module draws from its RNG is the same in every order of its tests."""
    module = getattr(request.node, "module", None)
    generator = getattr(module, "RNG", None)
    if module is not None and isinstance(generator, np.random.Generator):
        generator.bit_generator.state = BEGINNINGS.setdefault(module.__name__, generator.bit_generator.state)
