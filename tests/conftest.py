"""What holds for all tests."""

from hypothesis import settings

# Examples are the same on every run, and none fails for want of speed.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
