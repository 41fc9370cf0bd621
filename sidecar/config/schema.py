"""The keys of the configuration: what each means, its limits and its default. Everything else is generated from here.

`Meta(description=...)` is what `--help`, the JSON Schema and the README's table say; `extra={"expected": ...}` what a
refusal says where the limits alone would not be readable; `extra={"parse": ...}` reads what a pattern cannot;
`writeOnly` marks what must never be shown.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from sidecar.config.telemetry import Log, Telemetry
from sidecar.config.values import (
    END,
    LONGEST_S,
    MIB,
    FieldName,
    File,
    Listening,
    Method,
    Name,
    Pointer,
    Ratio,
    Seconds,
    Template,
    Url,
)

AUTO = "auto"  # the one payload format that is not in the registry: whichever of them reads the exchange

_SECRET = {"writeOnly": True}


class Part(Struct, frozen=True, kw_only=True):
    """A member of a family: `kind` names it in the family's registry, the options beside it are its fields."""

    kind: str
    options: Mapping[str, object] = {}


class UpstreamTls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS towards a model server."""

    ca: Annotated[File | None, Meta(description="PEM file of the authorities to trust instead of the system's.")] = None
    cert: Annotated[File | None, Meta(description="PEM file of the certificate to present to the model server.")] = None
    key: Annotated[File | None, Meta(description="PEM file of that certificate's private key.")] = None
    # Only an explicit word may switch off what protects every request.
    verify: Annotated[bool, Meta(description="Whether to verify the model server's certificate and name.")] = True


class Variant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One arm of the split: a model server and its share of the traffic."""

    url: Annotated[
        Url,
        Meta(description="http://host:port, https://host:port or unix:/path of the model server; no path, no query."),
    ]
    # Not every server has a version to name.
    version: Annotated[
        str,
        Meta(
            pattern=r"^[\x21-\x7e]{0,128}" + END,
            description="The build of the model behind it, or @ with an alias of MLflow's registry, which is followed.",
            extra={"expected": "a text of up to 128 visible ASCII characters without spaces"},
        ),
    ] = ""
    # Equal shares unless told.
    weight: Annotated[
        float, Meta(ge=0, le=1e9, description="Its share of the traffic is its weight over the sum of all weights.")
    ] = 1.0
    # `https` alone means the system's authorities and no client certificate.
    tls: Annotated[UpstreamTls | None, Meta(description="TLS towards this model server.")] = None


class Sticky(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What keeps a user with one variant: exactly one of the first five."""

    header: Annotated[FieldName | None, Meta(description="Header field that names the user.")] = None
    cookie: Annotated[FieldName | None, Meta(description="Cookie that does.")] = None
    query: Annotated[
        Annotated[str, Meta(min_length=1, max_length=256)] | None, Meta(description="Field of the query that does.")
    ] = None
    pointer: Annotated[Pointer | None, Meta(description="JSON pointer to it in the request's body; no *.")] = None
    # Behind a load balancer all clients have its address.
    address: Annotated[bool, Meta(description="The client's address stands for the user.")] = False
    # A row of a thousand features; what is longer is not held back.
    max_body_bytes: Annotated[
        int, Meta(ge=1, le=MIB, description="Bytes of a body that wait for a pointer to be read; longer ones do not.")
    ] = 65536


class SplitRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests do not take part in the split: the first rule that fits a request says who serves it."""

    variant: Annotated[Name, Meta(description="Who serves what fits.")]
    path: Annotated[str, Meta(max_length=1024, description="Path; * and ? stand for anything, here and below.")] = "*"
    methods: Annotated[tuple[Method, ...], Meta(max_length=16, description="Any of these; none for all.")] = ()
    header: Annotated[FieldName | None, Meta(description="A header field that the request must have.")] = None
    value: Annotated[str, Meta(max_length=1024, description="Its value.")] = "*"


class Split(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who serves which request."""

    # Without a key every request is on its own.
    sticky: Annotated[Sticky | None, Meta(description="Keeps a user with one variant.")] = None
    # Whoever is in one experiment's tenth need not be in the next one's.
    salt: Annotated[
        str, Meta(max_length=256, description="Another one deals the users anew; by default the experiment's name.")
    ] = ""
    # Not every client may choose.
    override_header: Annotated[FieldName | None, Meta(description="Header field that names the variant itself.")] = None
    rules: Annotated[tuple[SplitRule, ...], Meta(max_length=100, description="Requests apart from the split.")] = ()
    # Whoever can take the traffic does, by weight.
    fallback: Annotated[
        Name | None, Meta(description="Who serves instead of a variant that refuses, is silent or ejected.")
    ] = None


class Shadow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Copies of requests whose replies nobody gets."""

    variant: Annotated[Name, Meta(description="Who gets the copies.")]
    ratio: Annotated[Ratio, Meta(description="Share of the requests that are copied, chosen by the request id.")]
    # So many answers of a second each as a busy model gives.
    concurrency: Annotated[int, Meta(ge=1, le=10_000, description="Copies in flight; further ones are shed.")] = 32
    # As much as the captures may take.
    buffer_bytes: Annotated[
        int, Meta(ge=1024, le=1024 * MIB, description="Bytes of copies held; further ones are shed.")
    ] = 16 * MIB


class Health(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Looks at whether the model servers are well."""

    # Whoever takes connections answers.
    path: Annotated[
        Template | None, Meta(description="Path that answers 2xx while a server is well; null only connects.")
    ] = None
    interval_s: Annotated[Seconds, Meta(description="Between two looks.")] = 5.0
    timeout_s: Annotated[Seconds, Meta(description="For one answer.")] = 2.0
    # One answer may be lost.
    unhealthy_after: Annotated[int, Meta(ge=1, le=100, description="Bad answers in a row.")] = 3
    healthy_after: Annotated[int, Meta(ge=1, le=100, description="Good answers in a row.")] = 2


class Ejection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Takes the traffic from a variant that fails, for a while; from the last one never."""

    # Envoy's number.
    errors: Annotated[int, Meta(ge=0, le=10_000, description="Replies of 5xx in a row; 0 for never.")] = 5
    # A server that restarts refuses every one.
    connect_failures: Annotated[int, Meta(ge=0, le=10_000, description="Connections that fail in a row; 0: never.")] = 3
    # Envoy's numbers.
    eject_s: Annotated[Seconds, Meta(description="How long; twice as long each time that it fails again.")] = 30.0
    max_eject_s: Annotated[Seconds, Meta(description="How long at most.")] = 300.0
    # A model that has just started is slow.
    return_s: Annotated[float, Meta(ge=0, le=LONGEST_S, description="In which its share comes back, bit by bit.")] = (
        30.0
    )


class Experiment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which variant is better: judged at any time, and as often as one likes."""

    name: Annotated[Name, Meta(description="Another name begins another experiment, from nothing.")]
    champion: Annotated[Name, Meta(description="Whom the others are compared with.")]
    # All that are not the champion.
    challengers: Annotated[
        tuple[Name, ...], Meta(max_length=15, description="Who is compared; by default every other variant.")
    ] = ()
    measures: Annotated[tuple[Part, ...], Meta(max_length=16, description="By what.")] = (
        Part(kind="errors"),
        Part(kind="latency"),
    )
    # The usual one of a test.
    wrong_verdicts: Annotated[
        float, Meta(gt=0, le=0.5, description="Probability of any wrong verdict, over all measures and for all time.")
    ] = 0.05
    # Below it means are not yet normal, and users of one day are not the next one's.
    min_rows: Annotated[
        int, Meta(ge=50, le=1_000_000_000, description="Rows of each variant without which there is no verdict.")
    ] = 200


class Rollout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A challenger's way to all of the traffic, in steps, and back at once if it does harm."""

    champion: Annotated[Name, Meta(description="Who serves now, and again after a rollback.")]
    challenger: Annotated[Name, Meta(description="Who is to serve.")]
    steps: Annotated[
        tuple[Annotated[float, Meta(gt=0, lt=100)], ...],
        Meta(min_length=1, max_length=100, description="Percent of the traffic that the challenger gets, ascending."),
    ] = (1.0, 5.0, 25.0, 50.0)
    # Caches warm up; daily patterns are longer than any rollout.
    pause_s: Annotated[float, Meta(ge=0, le=LONGEST_S, description="At each step, at least.")] = 600.0
    min_rows: Annotated[int, Meta(ge=1, le=1_000_000_000, description="Of the challenger at each step, at least.")] = (
        200
    )
    # What harms clients at once.
    guardrails: Annotated[tuple[Part, ...], Meta(max_length=16, description="What must not become worse.")] = (
        Part(kind="errors", options={"margin": 0.01}),
        Part(kind="latency", options={"quantile": 0.99, "margin_ratio": 0.25}),
    )
    wrong_rollbacks: Annotated[
        float, Meta(gt=0, le=0.5, description="Probability of a rollback of a challenger that is within all margins.")
    ] = 0.01
    # Whoever writes it down wants it.
    start: Annotated[
        Literal["auto", "manual"],
        Meta(description="auto begins with each version of the challenger that has not been rolled out yet."),
    ] = "auto"
    # Most rollouts end so.
    finish: Annotated[
        Literal["promote", "hold"], Meta(description="After the last step: all of the traffic, or wait to be told.")
    ] = "promote"


class ListenerTls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS towards clients; the files are read again when they change."""

    cert: Annotated[File, Meta(description="PEM file of the certificate chain to present to clients.")]
    key: Annotated[File, Meta(description="PEM file of that certificate's private key.")]
    # Most clients have no certificate of their own.
    client_ca: Annotated[
        File | None, Meta(description="PEM file of the authorities whose client certificates are demanded.")
    ] = None


class Timeouts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long each step of an exchange may take."""

    # A SYN lost once is sent again after 1 s (RFC 6298): two of them fit.
    connect_s: Annotated[Seconds, Meta(description="To connect to an upstream, TLS included.")] = 3.0
    # A head is a few packets; what takes longer holds a connection to no purpose.
    header_s: Annotated[Seconds, Meta(description="For a client to send a request's head.")] = 10.0
    # What nginx and HAProxy's examples give a slow upstream; large models take seconds.
    first_byte_s: Annotated[
        Seconds, Meta(description="From the request sent to the first byte of the upstream's reply.")
    ] = 60.0
    # As long as first_byte_s: a pause within a message is not rarer than one before it.
    idle_s: Annotated[Seconds, Meta(description="Without a byte in either direction.")] = 60.0
    # Streams of tokens have no natural length.
    total_s: Annotated[Seconds | None, Meta(description="For a whole exchange; null is no limit.")] = None
    # Below uvicorn's keep-alive of 5 s, so that it is we who close first and no request meets a closing connection.
    pool_idle_s: Annotated[Seconds, Meta(description="For which an unused upstream connection is kept.")] = 4.0
    # Below Kubernetes' terminationGracePeriodSeconds of 30 s, with room for the sinks to flush.
    drain_s: Annotated[Seconds, Meta(description="For requests in flight to finish after SIGTERM.")] = 25.0

    @property
    def copy_s(self) -> float:
        """For the whole of what a shadow answers: as long as a server may be silent, before and within it."""
        silent_s = self.first_byte_s + self.idle_s
        return silent_s if self.total_s is None else min(silent_s, self.total_s)


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the sidecar accepts at most; what goes beyond is answered with 503, 431 or 414."""

    # Far above what a model server serves, below the usual limit of open files with two descriptors for each.
    connections: Annotated[int, Meta(ge=1, le=1_000_000, description="Client connections open at once.")] = 4096
    # A model server that has a thousand requests waiting is overloaded.
    in_flight: Annotated[int, Meta(ge=1, le=1_000_000, description="Requests in flight at once.")] = 1024
    # Twice what nginx (4 * 8 KiB) and four times what Node.js take: tokens and traces grow.
    head_bytes: Annotated[
        int, Meta(ge=1024, le=MIB, description="Bytes of a message's head, request line included.")
    ] = 65536
    # Twice Apache's LimitRequestFields of 100.
    fields: Annotated[int, Meta(ge=1, le=10_000, description="Header fields of a message.")] = 200
    # Twice RFC 9110's recommended minimum of 8000 octets (section 4.1).
    target_bytes: Annotated[int, Meta(ge=64, le=MIB, description="Bytes of a request's target.")] = 16384


class Headers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The header fields that the sidecar adds."""

    # An exchange without an id can be neither sampled alike by every sidecar nor found again.
    request_id: Annotated[bool, Meta(description="Add x-request-id where a request has none, and return it.")] = True
    # It shows whoever doubts it that the sidecar is not what is slow.
    server_timing: Annotated[bool, Meta(description="Add Server-Timing with the sidecar's own share.")] = True
    # Whoever keeps replies wants to know whose they are.
    variant: Annotated[
        bool, Meta(description="Add x-sidecar-variant and x-sidecar-version to replies of named variants.")
    ] = True
    # A model has no use for its clients' addresses.
    forwarded_for: Annotated[bool, Meta(description="Add the client's address to x-forwarded-for.")] = False


class Capture(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which exchanges are kept, and where they go."""

    # Statistics of a tenth are as good within a window of thousands; a disk holds ten times as many days.
    sample_ratio: Annotated[Ratio, Meta(description="Share of exchanges kept, chosen by the request id.")] = 0.1
    # Errors are rare, and are what one looks for.
    errors: Annotated[
        Literal["always", "sampled"], Meta(description="Whether every exchange that is not 2xx is kept.")
    ] = "always"
    # A batch of thousands of rows fits; images and audio beyond it are not decoded anyhow.
    max_body_bytes: Annotated[
        int, Meta(ge=0, le=1024 * MIB, description="Bytes kept of one body; the rest is passed on, not kept.")
    ] = MIB
    # A second of a thousand exchanges with bodies of 16 KiB.
    buffer_bytes: Annotated[
        int, Meta(ge=0, le=16 * 1024 * MIB, description="Bytes of captures waiting; what comes beyond is dropped.")
    ] = 16 * MIB
    # What tells clients and formats apart, and carries no secret.
    headers: Annotated[
        tuple[FieldName, ...], Meta(max_length=100, description="Header fields kept with a capture; no others are.")
    ] = ("content-type", "content-encoding", "content-length", "user-agent", "traceparent")
    # Nothing is written to a disk that nobody named.
    sinks: Annotated[tuple[Part, ...], Meta(max_length=16, description="Where captures go.")] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "headers", tuple(name.lower() for name in self.headers))


class Payload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How bodies are read as features and predictions, and what of them is never stored."""

    # Path, content type and content tell the formats apart.
    format: Annotated[str, Meta(min_length=1, description="The payload's format; auto recognises it.")] = AUTO
    # Most payloads carry names; the others get feature_0, feature_1, …
    features: Annotated[
        tuple[str, ...], Meta(max_length=10_000, description="Feature names, where the payload carries none.")
    ] = ()
    # As for features.
    prediction: Annotated[
        tuple[str, ...], Meta(max_length=10_000, description="Prediction names, where the reply carries none.")
    ] = ()
    # Only the user knows which values are private.
    redact: Annotated[
        tuple[Pointer, ...], Meta(max_length=1000, description="JSON pointers, * for any one step, never stored.")
    ] = ()
    # What carries credentials, should it be allowed by capture.headers.
    redact_headers: Annotated[
        tuple[FieldName, ...], Meta(max_length=100, description="Header fields whose values are never stored.")
    ] = ("authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key")

    def __post_init__(self) -> None:
        force_setattr(self, "redact_headers", tuple(name.lower() for name in self.redact_headers))


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model does, and which columns of its replies say what: for the monitors that want labels."""

    # What an answer of 1 means, only the user knows.
    task: Annotated[Literal["binary", "multiclass", "regression"] | None, Meta(description="What the model does.")] = (
        None
    )
    # Most replies have one answer, and call a probability so.
    prediction: Annotated[
        str, Meta(description="Column of the answer; empty for the first that is no probability.")
    ] = ""
    # As for prediction.
    probabilities: Annotated[
        tuple[str, ...],
        Meta(max_length=100, description="Columns of the probability of the positive class, or of each class."),
    ] = ()
    # What scikit-learn and SageMaker take for it.
    positive: Annotated[str, Meta(min_length=1, description="The positive class of two, as labels have it.")] = "1"
    # As every library has it.
    threshold: Annotated[
        Ratio, Meta(description="The least probability of the positive answer, where replies have no answer.")
    ] = 0.5
    # Labels and answers name them.
    classes: Annotated[
        tuple[str, ...], Meta(max_length=100, description="The classes of more than two, as probabilities order them.")
    ] = ()


class Statistics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rolling statistics of features and predictions, and their bounds."""

    # Enough that a tail of 1 % holds 20 rows.
    rows: Annotated[int, Meta(ge=10, le=10_000_000, description="Rows in the current window.")] = 2000
    # The window moves by a tenth of itself.
    panes: Annotated[int, Meta(ge=1, le=1000, description="Panes of which the window is the sum.")] = 10
    # Old rows of a quiet model say nothing about now.
    window_s: Annotated[Seconds, Meta(description="Age at which rows leave the window.")] = 3600.0
    # Some MB of histograms for each variant.
    max_features: Annotated[int, Meta(ge=1, le=100_000, description="Features followed; later ones are counted.")] = 256
    # A feature of more is an identifier or free text.
    max_categories: Annotated[
        int, Meta(ge=1, le=100_000, description="Categories counted per feature; others go into one.")
    ] = 100


class Reference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the data were like when all was well, in SageMaker Model Monitor's files."""

    # Without one, nothing is checked.
    path: Annotated[
        File | None,
        Meta(
            description="Folder of statistics.json and constraints.json; what is learned is written there.",
            extra={"flag": "--reference"},
        ),
    ] = None
    # Whether the traffic of the first hours is as it ought to be, only the user knows.
    learn_rows: Annotated[
        Annotated[int, Meta(ge=100, le=10_000_000)] | None,
        Meta(description="Learn the reference from so many live rows, where the folder has none."),
    ] = None
    # Rows are what a reference is worth; time is what one has.
    learn_s: Annotated[
        Seconds | None, Meta(description="Learn no longer than this, from 100 rows at least; alone or with learn_rows.")
    ] = None


class AlertRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which findings become alerts, and what alerts; the first rule that fits a finding counts."""

    monitor: Annotated[str, Meta(description="Kind of the monitor; * and ? stand for anything, here and below.")] = "*"
    check: Annotated[str, Meta(description="Kind of the detector, or SageMaker's name of the check.")] = "*"
    variant: Annotated[str, Meta(description="The variant.")] = "*"
    subject: Annotated[str, Meta(description="features or predictions.")] = "*"
    # Whether it is worth being woken, only the user knows.
    severity: Annotated[Literal["info", "warning", "critical"], Meta(description="How bad that is.")] = "warning"
    # The detectors that alarm by default know themselves how many rows they need.
    min_rows: Annotated[int, Meta(ge=0, description="Rows without which a finding is no alert yet.")] = 0
    # Features that change together are found within seconds of each other, and belong into one alert.
    hold_s: Annotated[float, Meta(ge=0, le=LONGEST_S, description="How long a finding must last.")] = 10.0
    # A finding that comes and goes is one alert, not many.
    resolve_s: Annotated[float, Meta(ge=0, le=LONGEST_S, description="How long it must be gone to be resolved.")] = 60.0
    # As Alertmanager's repeat_interval.
    repeat_s: Annotated[Seconds, Meta(description="Told again after so long, while it lasts.")] = 14_400.0
    # Whom one has named one wants to be told.
    channels: Annotated[
        tuple[str, ...], Meta(max_length=16, description="Who is told: kinds, or webhook[0] for the first channel.")
    ] = ("*",)


class Alerts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of findings."""

    # Those that keep a budget of false alarms, and limits that the user has set; a broken constraint of the data is at
    # /v1/violations, and need wake nobody.
    rules: Annotated[
        tuple[AlertRule, ...], Meta(max_length=100, description="Which findings become alerts, and how.")
    ] = (
        AlertRule(check="sequential"),
        AlertRule(check="dependence"),
        AlertRule(monitor="quality"),
        AlertRule(monitor="bias"),
        AlertRule(monitor="attribution"),
        # What has been done already waits for nothing.
        AlertRule(monitor="rollout", hold_s=0.0),
        AlertRule(monitor="experiment"),
        AlertRule(monitor="catalogue", hold_s=0.0),
    )
    # Nobody is told whom the user has not named.
    channels: Annotated[tuple[Part, ...], Meta(max_length=16, description="Who is told.")] = ()
    # Only the user knows under which name the admin side is reached.
    link: Annotated[
        str | None, Meta(description="What the links in alerts begin with; by default the admin side's address.")
    ] = None


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration of one sidecar. Every key but `kind` and its options has a default, save the upstream."""

    # Every address: the sidecar takes the place of the model server.
    listen: Annotated[Listening, Meta(description="Where clients connect: host:port, [v6]:port or unix:/path.")] = (
        "0.0.0.0:8080"
    )
    # Loopback needs no token; 9901 is Envoy's admin port.
    admin: Annotated[
        Listening, Meta(description="Where health, metrics and the API are; beyond loopback it needs a token.")
    ] = "127.0.0.1:9901"
    # Loopback needs none.
    admin_token: Annotated[
        Annotated[str, Meta(pattern=r"^[\x21-\x7e]+" + END, extra={"expected": "visible ASCII without spaces"})] | None,
        Meta(
            description="Bearer token of the admin side; admin_token_file keeps it out of ps.",
            extra_json_schema=_SECRET,
        ),
    ] = None
    # As for admin_token.
    admin_token_file: Annotated[File | None, Meta(description="File that holds the token instead.")] = None
    # One sidecar stands in front of one model; who has many names them.
    endpoint: Annotated[
        Name, Meta(description="Names the folder of captures, and the service where OTEL_SERVICE_NAME does not.")
    ] = "sidecar"
    # Nobody but the user knows it.
    upstream: Annotated[Url | None, Meta(description="The model server; short for one variant called default.")] = None
    # As for upstream.
    variants: Annotated[
        dict[Name, Variant], Meta(max_length=16, description="The model servers and their weights, by name.")
    ] = {}
    # Within a pod, clients come without TLS.
    split: Annotated[Split, Meta(description="Who serves which request.")] = Split()
    shadow: Annotated[Shadow | None, Meta(description="Copies of requests whose replies nobody gets.")] = None
    health: Annotated[Health, Meta(description="Looks at whether the model servers are well.")] = Health()
    ejection: Annotated[Ejection, Meta(description="Takes the traffic from who fails.")] = Ejection()
    experiment: Annotated[Experiment | None, Meta(description="Which variant is better.")] = None
    rollout: Annotated[Rollout | None, Meta(description="A challenger's way to all of the traffic.")] = None
    # A file needs no server.
    catalog: Annotated[Part, Meta(description="Where versions, their runs and their deployments are written down.")] = (
        Part(kind="sqlite")
    )
    # One pod needs no other.
    fleet: Annotated[
        Part | None, Meta(description="Where pods that share their routing keep it; by default each has its own.")
    ] = None
    tls: Annotated[ListenerTls | None, Meta(description="TLS towards clients.")] = None
    timeouts: Annotated[Timeouts, Meta(description="How long each step of an exchange may take.")] = Timeouts()
    limits: Annotated[Limits, Meta(description="What the sidecar accepts at most.")] = Limits()
    headers: Annotated[Headers, Meta(description="The header fields that the sidecar adds.")] = Headers()
    capture: Annotated[Capture, Meta(description="Which exchanges are kept, and where they go.")] = Capture()
    payload: Annotated[Payload, Meta(description="How bodies are read.")] = Payload()
    statistics: Annotated[Statistics, Meta(description="The rolling statistics and their bounds.")] = Statistics()
    reference: Annotated[Reference, Meta(description="What live rows are compared with.")] = Reference()
    # What a reference is for.
    monitors: Annotated[
        tuple[Part, ...], Meta(max_length=16, description="What is watched, where there is a reference.")
    ] = (Part(kind="data"),)
    model: Annotated[Model, Meta(description="What the model does, for quality and bias.")] = Model()
    # A file needs no server; a fleet that shares its labels does.
    labels: Annotated[
        Part, Meta(description="Where predictions await their labels, if a monitor of quality or bias wants these.")
    ] = Part(kind="sqlite")
    alerts: Annotated[Alerts, Meta(description="What becomes of findings.")] = Alerts()
    # Nothing is written to a disk that nobody named.
    state: Annotated[
        File | None, Meta(description="Folder for what is kept over a restart: alerts, and the evidence for them.")
    ] = None
    # The protocols' own are built in.
    routes: Annotated[
        tuple[Template, ...],
        Meta(max_length=1000, description="Route templates such as /score/{model}, before the built-in ones."),
    ] = ()
    telemetry: Annotated[Telemetry, Meta(description="What is exported.")] = Telemetry()
    log: Annotated[Log, Meta(description="The sidecar's own log.")] = Log()
