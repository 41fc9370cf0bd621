"""Which names are wanted.

The names are the model server's. Matching holds the interpreter's lock, which the request path needs: so it takes no
more than linear time.
"""

import fnmatch
import re
from collections.abc import Callable, Sequence


def included(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a name matches one of the patterns, in which `*` stands for any characters and `?` for any one.

    Example:
        >>> wanted = included(["vllm:*", "up"])
        >>> [wanted(name) for name in ("vllm:num_requests_running", "up", "process_cpu_seconds")]
        [True, True, False]
    """
    # What Python makes of a `*` takes what comes first, and never looks back. Ours know no brackets.
    plain = (pattern.replace("[", "[[]") for pattern in patterns)
    matching = re.compile("|".join(map(fnmatch.translate, plain)))
    return lambda name: matching.match(name) is not None
