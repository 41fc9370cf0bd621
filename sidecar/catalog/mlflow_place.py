"""Where an MLflow server is, and who we are there: by the variables that its own client reads."""

import ssl
from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from sidecar.config.addresses import SocketAddress, parse_upstream
from sidecar.errors import DeliveryError

USER = "MLFLOW_TRACKING_USERNAME"
PASSWORD = "MLFLOW_TRACKING_PASSWORD"
TOKEN = "MLFLOW_TRACKING_TOKEN"
AUTHORITIES = "MLFLOW_TRACKING_SERVER_CERT_PATH"
OWN_CERTIFICATE = "MLFLOW_TRACKING_CLIENT_CERT_PATH"
INSECURE = "MLFLOW_TRACKING_INSECURE_TLS"

_EXPECTED = "expected http://host:port/path or https://host:port/path, in visible ASCII, without query"


def check_uri(uri: str) -> None:
    """Whether an MLflow server can be reached by it.

    Raises:
        ValueError: It cannot; the message holds nothing that may be secret.

    Example:
        >>> check_uri("https://mlflow.example/team-a")
        >>> check_uri("https://ci:secret@mlflow.example")
        Traceback (most recent call last):
        ValueError: expected a URL without user and password: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD
    """
    try:
        split = urlsplit(uri)
    except ValueError:  # its own message repeats the URL
        raise ValueError(_EXPECTED) from None
    if "@" in split.netloc:
        raise ValueError(f"expected a URL without user and password: {USER} and {PASSWORD}")
    visible = uri.isascii() and uri.isprintable() and not set(' \\"<>^`{|}') & set(uri)
    if not visible or split.scheme not in {"http", "https"} or "?" in uri or "#" in uri:
        raise ValueError(_EXPECTED)
    address_of(split)


def address_of(split: SplitResult) -> SocketAddress:
    """Host and port of a URI that `check_uri` lets pass."""
    try:
        address = parse_upstream(f"{split.scheme}://{split.netloc}").address
    except ValueError:
        raise ValueError(_EXPECTED) from None
    # Resolvers raise what is no OSError over a longer label.
    if not isinstance(address, SocketAddress) or any(len(label) > 63 for label in address.host.split(".")):
        raise ValueError(_EXPECTED)
    return address


def authorization(environ: Mapping[str, str]) -> list[str]:
    """The field line that says who we are; none where nothing does. User and password come before a token.

    Raises:
        DeliveryError: They cannot be sent.
    """
    user, password, token = environ.get(USER, ""), environ.get(PASSWORD, ""), environ.get(TOKEN, "").strip()
    if user and password:
        data = f"{user}:{password}".encode("utf-8", "surrogateescape")
        return [f"authorization: Basic {b64encode(data).decode()}"]
    if not (token.isascii() and token.isprintable()):
        raise DeliveryError(f"{TOKEN}: expected visible ASCII")
    return [f"authorization: Bearer {token}"] if token else []


def tls(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Whom we trust, and the certificate that we show.

    Raises:
        DeliveryError: A file that a variable names cannot be used.
    """
    insecure = environ.get(INSECURE, "").lower() in {"true", "1"}
    return _tls(environ.get(AUTHORITIES, ""), environ.get(OWN_CERTIFICATE, ""), insecure)


@lru_cache(maxsize=1)  # to read the system's authorities takes 10 ms and more
def _tls(authorities: str, own: str, insecure: bool) -> ssl.SSLContext:  # noqa: FBT001 - a cache has no names
    try:
        context = ssl.create_default_context(cafile=authorities or None)
    except OSError as error:
        raise DeliveryError(f"{AUTHORITIES}: {error.strerror}, expected a PEM file of certificates") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if own:
            context.load_cert_chain(own)
    except OSError as error:
        raise DeliveryError(f"{OWN_CERTIFICATE}: {error.strerror}, expected a PEM file with its key") from None
    return context
