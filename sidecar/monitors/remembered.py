"""What all monitors that want labels remember, as one document, with the outcomes."""

from collections.abc import Mapping

import msgspec

from sidecar.ports import Grader
from sidecar.quality.outcomes import Outcomes


def remembered(graders: Mapping[str, Grader], outcomes: Outcomes) -> bytes:
    """All of it.

    Args:
        graders: By the name under which each is known again.
    """
    return msgspec.msgpack.encode([{name: each.state() for name, each in graders.items()}, outcomes.state()])


def recall(data: bytes, graders: Mapping[str, Grader], outcomes: Outcomes) -> list[str]:
    """Go on from there; the names of those that cannot, since their settings have changed, or of what is damaged.

    Example:
        >>> recall(b"no such thing", {}, Outcomes())
        ['everything']
    """
    try:
        states, counted = msgspec.msgpack.decode(data, type=tuple[dict[str, bytes], bytes])
        outcomes.restore(counted)
    except msgspec.MsgspecError:
        return ["everything"]
    return [name for name, each in graders.items() if name in states and not each.restore(states[name])]
