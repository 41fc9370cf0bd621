"""What can go wrong, one class per reaction.

Whoever raises says where, what, and what was expected; whoever catches knows from the class alone what to do.
"""

from typing import NamedTuple


class SidecarError(Exception):
    """Everything that this package raises on purpose."""


class Fault(NamedTuple):
    """One thing wrong with a configuration, and where: `timeouts.idle_s`, `capture.sinks[0].path`."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(SidecarError):
    """The configuration cannot be used; nothing was started or changed. Holds every fault, not only the first."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


class ReplyError(SidecarError):
    """The client gets an error reply of ours instead of the model's answer."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type


class DownstreamError(ReplyError):
    """The client's fault: its message is malformed, too large, or too slow."""


class UpstreamError(ReplyError):
    """The upstream's fault: it refuses, resets, hangs, or answers with something that is not HTTP."""


class PayloadError(SidecarError):
    """A body cannot be read as samples. Counted under `reason`, a word of a small fixed set; serving goes on."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class DeliveryError(SidecarError):
    """A sink or a channel did not take what it was given; the delivery loop retries or counts the loss."""


class UnknownError(SidecarError):
    """What was asked for is not there: whoever asked is told."""


class ConflictError(SidecarError):
    """Somebody else was first, or what is there forbids it: nothing was changed, and whoever asked is told."""
