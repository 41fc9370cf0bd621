"""Which catalogue a process outside of the sidecar means: a file, a sidecar's admin side, or MLflow."""

from collections.abc import Mapping
from pathlib import Path

from sidecar.catalog.mlflow import Mlflow
from sidecar.catalog.remote import Remote
from sidecar.catalog.sqlite import Sqlite
from sidecar.errors import ConfigError, Fault

PLACE = "SIDECAR_TRACKING"
TOKEN = "SIDECAR_ADMIN_TOKEN"
TOKEN_FILE = "SIDECAR_ADMIN_TOKEN_FILE"
TOKEN_BYTES = 4096


def open_catalog(place: str | None, environ: Mapping[str, str]) -> Sqlite | Remote | Mlflow:
    """The catalogue at this place.

    Args:
        place: Path of a SQLite file, made where there is none, or address of a sidecar's admin side, `http://…` or
            `https://…`, or of an MLflow server, `mlflow+http://…`; None for what SIDECAR_TRACKING says.
        environ: The environment; the token of the admin side is in SIDECAR_ADMIN_TOKEN, or in the file that
            SIDECAR_ADMIN_TOKEN_FILE names.

    Raises:
        ConfigError: There can be none.
    """
    where = environ.get(PLACE, "") if place is None else place
    if not where:
        raise ConfigError(
            Fault("catalog", f"expected a file, or an address as in http://host:9901, here or in {PLACE}")
        )
    if where.lower().startswith(("http://", "https://")):
        return Remote(where, _token(environ))
    if where.lower().startswith(("mlflow+http://", "mlflow+https://")):
        return Mlflow(uri=where[len("mlflow+") :])
    if "://" in where:
        raise ConfigError(Fault("catalog", f"{where}: expected a file, or an address of http or https"))
    catalog = Sqlite(path=where)
    catalog.open()
    return catalog


def _token(environ: Mapping[str, str]) -> str:
    if not (path := environ.get(TOKEN_FILE, "")):
        return environ.get(TOKEN, "").strip()
    try:
        with Path(path).open("rb") as file:
            return file.read(TOKEN_BYTES).decode().strip()
    except OSError as error:
        raise ConfigError(Fault(TOKEN_FILE, f"{path}: {error.strerror}")) from error
    except ValueError as error:
        raise ConfigError(Fault(TOKEN_FILE, f"{path}: expected a token of visible ASCII")) from error
