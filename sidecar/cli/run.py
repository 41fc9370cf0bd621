"""`sidecar run`: reads the configuration, then hands over to the composition root."""

from functools import partial

from sidecar.cli.lazy import FAMILIES
from sidecar.cli.options import sourced
from sidecar.config.loading import Source


def _run(source: Source) -> int:
    config = source.load(FAMILIES)
    from sidecar import app  # after the check: a refusal should not wait for it

    return app.run(config, partial(source.load, FAMILIES), [source.path] if source.path else [])


run = sourced(
    "run",
    _run,
    """Stand in front of a model server, and watch.

    \b
      sidecar run --upstream http://127.0.0.1:8081
      sidecar run --config sidecar.yaml --capture-sample-ratio 1

    A flag outweighs its environment variable, and that the file. Lists and mappings are written as in YAML:
    --capture-sinks '[{kind: jsonl, path: captures}]'. The file is read again when it changes, and on SIGHUP.
    """,
)
