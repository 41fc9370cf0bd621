"""An object store that speaks S3: moto's server, as a process."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests

from tests.e2e.rig import PATIENCE_S, Process, environment, running

BUCKET = "captures"


@dataclass(frozen=True)
class Store:
    """A running store."""

    process: Process
    url: str

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which clients find it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": "eu-central-1",
        }


@contextmanager
def s3(**variables: str) -> Iterator[Store]:
    """A store with an empty bucket.

    Args:
        variables: Of moto's own: INITIAL_NO_AUTH_ACTION_COUNT="1" has it check credentials, once there is a bucket.
    """
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with running(command, environment(**variables)) as process:
        url = process.says(r"Running on (http://\S+)")[1]
        requests.put(f"{url}/{BUCKET}", timeout=PATIENCE_S).raise_for_status()
        yield Store(process, url)
