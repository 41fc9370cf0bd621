"""Route templates: the bounded set of names under which requests are counted (OpenTelemetry's `http.route`)."""

import re
from collections.abc import Sequence

KNOWN = (
    # Open Inference Protocol V2
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/{model}",
    "/v2/models/{model}/ready",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/generate",
    "/v2/models/{model}/generate_stream",
    "/v2/models/{model}/versions/{version}",
    "/v2/models/{model}/versions/{version}/ready",
    "/v2/models/{model}/versions/{version}/infer",
    "/v2/repository/index",
    "/v2/repository/models/{model}/load",
    "/v2/repository/models/{model}/unload",
    # KServe V1 and TensorFlow Serving; OpenAI's listing is the first of them
    "/v1/models",
    "/v1/models/{model}:predict",
    "/v1/models/{model}:explain",
    "/v1/models/{model}:classify",
    "/v1/models/{model}:regress",
    "/v1/models/{model}",
    "/v1/models/{model}/metadata",
    "/v1/models/{model}/versions/{version}:predict",
    "/v1/models/{model}/versions/{version}",
    "/v1/models/{model}/labels/{label}:predict",
    # OpenAI
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/rerank",
    # SageMaker, MLflow, TorchServe, BentoML, LitServe and what people call their own
    "/",
    "/invocations",
    "/ping",
    "/health",
    "/healthz",
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/predictions/{model}",
    "/predictions/{model}/{version}",
    "/predict",
    "/score",
    "/infer",
    "/generate",
)

_REMEMBERED_PATHS = 1024
_REMEMBERED_PATH_BYTES = 512
"""A longer path is read each time: a thousand paths at the target's limit would take 16 MiB."""


class Templates:
    """Finds the template of a path: the user's first, in their order, then the known ones.

    Args:
        own: Templates such as `/score/{customer}`; a name in braces stands for one path segment or a part of it.

    Example:
        >>> Templates(["/score/{customer}"]).find(b"/score/42?debug=1")
        '/score/{customer}'
        >>> Templates().find(b"/v2/models/fraud/infer"), Templates().find(b"/wp-login.php")
        ('/v2/models/{model}/infer', '')
    """

    def __init__(self, own: Sequence[str] = ()) -> None:
        self._templates = (*own, *KNOWN)
        self._any = re.compile(b"|".join(b"(%b)" % _pattern(template) for template in self._templates))
        self._remembered: dict[bytes, str] = {}

    def find(self, target: bytes) -> str:
        """The template of a request target; empty where none fits."""
        path = target.partition(b"?")[0]
        template = self._remembered.get(path)
        if template is None:
            match = self._any.fullmatch(path)
            template = self._templates[match.lastindex - 1] if match and match.lastindex else ""
            if len(self._remembered) >= _REMEMBERED_PATHS:
                self._remembered.clear()
            if len(path) <= _REMEMBERED_PATH_BYTES:
                self._remembered[path] = template
        return template


def _pattern(template: str) -> bytes:
    literals = re.split(r"\{[^{}/]+\}", template)
    return b"[^/]+?".join(re.escape(literal.encode()) for literal in literals)
