"""What a running sidecar says of itself, as `sidecar status` and `sidecar top` read it."""

from math import nan

from msgspec import Struct, field

from sidecar.cli.admin import Admin
from sidecar.errors import UnknownError

FORMAT = "expected payload.format where it is not recognised: jsonlines for a JSON object or list that is one row"

State = str
"""`good`, `warn`, `bad` or `unknown`."""


class Verdict(Struct):
    """How it is, in a sentence."""

    state: State
    sentence: str


class Judged(Struct):
    """How a variant is."""

    name: str
    version: str
    state: State
    sentence: str


class Overview(Struct):
    """How all of it is."""

    headline: Verdict
    variants: list[Judged]


class Quantiles(Struct):
    """Seconds; None where nothing was measured."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


class Rate(Struct):
    """Of the last seconds."""

    requests_per_s: float | None = None
    errors_per_s: float | None = None


class Variant(Struct):
    """What passes through a variant."""

    name: str
    version: str
    share_ratio: float | None
    active_requests: int
    rate: Rate
    requests: int
    errors: dict[str, int]
    duration_s: Quantiles
    overhead_s: Quantiles

    @property
    def error_ratio(self) -> float:
        """Of the last seconds' requests those that failed; NaN without any."""
        requests = self.rate.requests_per_s
        return (self.rate.errors_per_s or 0.0) / requests if requests else nan


class Config(Struct):
    """What became of the configuration."""

    revision: int
    error: str


class Outlet(Struct):
    """A way out."""

    name: str
    delivered: int
    dropped: int
    failed: int


class Captures(Struct):
    """What became of captured exchanges: rows by variant, and bodies that could not be decoded by reason."""

    rows: dict[str, int] = {}
    failures: dict[str, int] = {}

    @property
    def undecoded(self) -> str:
        """That most could not be decoded, in a sentence; empty where most could, or none was there."""
        failed, rows = sum(self.failures.values()), sum(self.rows.values())
        if not failed or failed < rows:
            return ""
        why = ", ".join(f"{reason} {count:,}" for reason, count in sorted(self.failures.items()))
        hint = f"; {FORMAT}" if self.failures.get("format") else ""
        bodies = "body" if failed == 1 else "bodies"
        return f"{failed:,} captured {bodies} could not be decoded ({why}), {rows:,} rows could{hint}"


class Status(Struct):
    """The sidecar's own state."""

    version: str
    uptime_s: float
    ready: bool
    not_ready: list[str]
    variants: list[Variant]
    sinks: list[Outlet]
    exporters: list[Outlet]
    config: Config
    captures: Captures = field(default_factory=Captures)


class Alert(Struct):
    """Something that was found and still holds."""

    id: str
    severity: str
    title: str
    text: str
    silenced_until: float | str | None = None


class Alerts(Struct):
    """Those that fire."""

    alerts: list[Alert]


class Drift(Struct):
    """What has changed in a column."""

    text: str


class Column(Struct):
    """A column, beside the reference."""

    name: str
    evidence_nats: float | None
    drift: Drift | None


class Followed(Struct):
    """A variant's columns."""

    name: str
    rows: int
    columns: list[Column]


class Drifts(Struct):
    """All variants' columns."""

    variants: list[Followed]


class Look(Struct):
    """All that is shown, of about one moment."""

    overview: Overview
    status: Status
    firing: list[Alert]

    @property
    def of_variants(self) -> list[Judged]:
        """What is said of them beyond the headline; of one alone that is the same."""
        return [each for each in self.overview.variants if each.sentence != self.overview.headline.sentence]

    @property
    def well(self) -> bool:
        """Requests may come, and no alert fires."""
        return self.status.ready and not self.firing


def look(admin: Admin) -> Look:
    """Ask a sidecar how it is; raises what `Admin.ask` and `Admin.read` raise."""
    return Look(
        admin.read(admin.ask("GET", "/v1/overview"), Overview),
        admin.read(admin.ask("GET", "/v1/status"), Status),
        admin.read(admin.ask("GET", "/v1/alerts?state=firing"), Alerts).alerts,
    )


def drifting(admin: Admin) -> Drifts:
    """Ask a sidecar for its columns; none where nothing is watched."""
    try:
        return admin.read(admin.ask("GET", "/v1/drift"), Drifts)
    except UnknownError:
        return Drifts([])
