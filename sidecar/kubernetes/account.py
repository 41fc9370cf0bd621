"""A pod's service account: the files that say who it is and whom it trusts, which are replaced while it runs."""

import asyncio
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeGuard

from sidecar.errors import DeliveryError, Fault

CREDENTIALS = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a pod finds them."""
MAX_FILE_BYTES = 16384
"""Of a token, or a namespace's name."""

A_LABEL = "a name of a-z, 0-9 and - (RFC 1123)"
"""As errors call what a namespace's name must be."""

_LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TOKEN = re.compile(r"[\x21-\x7e]+")


def is_label(found: object) -> TypeGuard[str]:
    """Whether a namespace can have this name.

    Example:
        >>> [is_label(each) for each in ("serving", "a-1", "-", "../x", "a" * 64, 7)]
        [True, True, False, False, False, False]
    """
    return isinstance(found, str) and _LABEL.fullmatch(found) is not None


def namespace_faults(namespace: str) -> list[Fault]:
    """What is wrong with the option of this name; it may be left empty."""
    if not namespace or is_label(namespace):
        return []
    return [Fault("namespace", f"{namespace!r}, expected {A_LABEL}")]


class Identity(NamedTuple):
    """What a request needs.

    Args:
        token: Never to be told.
        tls: Trusts the cluster's authorities and no other.
    """

    token: str
    tls: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Account:
    """A folder with token, ca.crt and namespace; read each time."""

    folder: str

    async def identify(self) -> Identity:
        """The account's token, and whom it trusts.

        Raises:
            DeliveryError: A file cannot be used.
        """
        return await asyncio.to_thread(self._identify)

    async def namespace(self) -> str:
        """Its own.

        Raises:
            DeliveryError: The file cannot be used.
        """
        file = Path(self.folder, "namespace")
        name = await asyncio.to_thread(_read, file)
        if not is_label(name):
            raise DeliveryError(f"{file}: expected {A_LABEL}")
        return name

    def _identify(self) -> Identity:
        file = Path(self.folder, "token")
        token = _read(file)
        if not _TOKEN.fullmatch(token):
            raise DeliveryError(f"{file}: expected one word of visible ASCII")
        return Identity(token, _trusting(Path(self.folder, "ca.crt")))


def _read(file: Path) -> str:
    """What a file holds, without the blanks around it."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
        text = data.decode("ascii").strip()
    except OSError as error:
        raise DeliveryError(f"{file}: {error.strerror}, expected a file that can be read") from error
    except ValueError:  # in the name of the file, or in what it holds, which is not to be told
        text = ""
    if not text or len(data) > MAX_FILE_BYTES:
        raise DeliveryError(f"{file}: expected up to {MAX_FILE_BYTES} bytes of ASCII, not blank")
    return text


def _trusting(authorities: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authorities)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DeliveryError(f"{authorities}: {reason}, expected a PEM file of authorities") from error
    # Clusters' own authorities lack what Python 3.13 has begun to demand (kubernetes-client/python#2394).
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
