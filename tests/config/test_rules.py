from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from sidecar.config.rules import broken_rules, wanting_labels
from sidecar.config.schema import (
    AlertRule,
    Alerts,
    Capture,
    Config,
    Experiment,
    Limits,
    ListenerTls,
    Model,
    Part,
    Reference,
    Rollout,
    Shadow,
    Split,
    SplitRule,
    Statistics,
    Sticky,
    UpstreamTls,
    Variant,
)
from sidecar.errors import Fault

GOOD = Config(upstream="http://model:8081")
BINARY = Model(task="binary")
MODEL = Variant(url="https://model:8443")
NO_FILE = "/does/not/exist"
TWO = Config(variants={"a": Variant(url="http://a"), "b": Variant(url="http://b")}, state="/tmp/not/yet/there")
ROLLOUT = Rollout(champion="a", challenger="b")
TRIAL = Experiment(name="t", champion="a")


def split(**options: object) -> Config:
    return replace(TWO, split=Split(**options))  # type: ignore[arg-type]  # its own


def rollout(**options: object) -> Config:
    return replace(TWO, rollout=replace(ROLLOUT, **options))


def trial(**options: object) -> Config:
    return replace(TWO, experiment=replace(TRIAL, **options))


NOT_THERE = f"expected a file that can be read, got {NO_FILE}: No such file or directory"

CASES: list[tuple[Config, list[str]]] = [
    (GOOD, []),
    (Config(variants={"a": MODEL}), []),
    (Config(), ["upstream: missing; expected an upstream, or variants with a url each"]),
    (Config(upstream="http://a", variants={"a": MODEL}), ["upstream: given beside variants; expected one of the two"]),
    (
        Config(variants={"a": replace(MODEL, weight=0)}),
        ["variants: no weight above 0; expected at least one variant that takes traffic"],
    ),
    (replace(GOOD, admin="[::1]:9901"), []),
    (replace(GOOD, admin="unix:/run/admin.sock"), []),
    (replace(GOOD, admin="0.0.0.0:9901", admin_token="hush"), []),
    (
        replace(GOOD, admin="0.0.0.0:9901"),
        ["admin: 0.0.0.0:9901 is reached from other machines; expected an admin_token_file with it"],
    ),
    (
        replace(GOOD, admin_token="hush", admin_token_file=__file__),
        ["admin_token_file: given beside admin_token; expected one of the two"],
    ),
    (replace(GOOD, admin_token_file=NO_FILE), [f"admin_token_file: {NOT_THERE}"]),
    (replace(GOOD, listen="127.0.0.1:0", admin="127.0.0.1:0"), []),
    (replace(GOOD, listen="127.0.0.1:80", admin="[::1]:80"), []),
    (
        replace(GOOD, listen="127.0.0.1:80", admin="127.0.0.1:80"),
        ["admin: the same address as listen, 127.0.0.1:80; expected another one"],
    ),
    (
        replace(GOOD, listen="unix:/a", admin="unix:/a"),
        ["admin: the same address as listen, unix:/a; expected another one"],
    ),
    (
        replace(GOOD, listen="0.0.0.0:80", admin="127.0.0.1:80"),
        ["admin: the same port as listen, 127.0.0.1:80; expected another one"],
    ),
    (replace(GOOD, upstream="http://model:8080"), []),
    (
        replace(GOOD, upstream="http://127.0.0.1:8080"),
        ["upstream: http://127.0.0.1:8080 is where the sidecar itself listens; expected the model server's address"],
    ),
    (
        Config(listen="unix:/a", variants={"a": Variant(url="unix:/a")}),
        ["variants.a.url: unix:/a is where the sidecar itself listens; expected the model server's address"],
    ),
    (replace(GOOD, tls=ListenerTls(cert=__file__, key=__file__)), []),
    (
        replace(GOOD, tls=ListenerTls(cert=NO_FILE, key="/", client_ca="a\0b")),
        [
            f"tls.cert: {NOT_THERE}",
            "tls.key: expected a file that can be read, got /: Is a directory",
            "tls.client_ca: expected a file that can be read, got a\0b: embedded null byte",
        ],
    ),
    (
        replace(GOOD, tls=ListenerTls(cert="/dev/null", key=__file__)),
        ["tls.cert: expected a file that can be read, got /dev/null: it is empty"],
    ),
    (Config(variants={"a": replace(MODEL, tls=UpstreamTls(cert=__file__, key=__file__))}), []),
    (
        Config(variants={"a": replace(MODEL, tls=UpstreamTls(ca=NO_FILE, key=__file__))}),
        ["variants.a.tls: cert or key alone; expected both or neither", f"variants.a.tls.ca: {NOT_THERE}"],
    ),
    (
        Config(variants={"a": Variant(url="http://model", tls=UpstreamTls())}),
        ["variants.a.tls: given, but url does not speak TLS; expected https://, got http://model"],
    ),
    (
        replace(
            GOOD,
            capture=Capture(max_body_bytes=20, buffer_bytes=10),
            limits=Limits(head_bytes=1024, target_bytes=2048),
            statistics=Statistics(rows=10, panes=11),
        ),
        [
            "capture.max_body_bytes: expected at most capture.buffer_bytes, 10, got 20",
            "limits.target_bytes: expected at most limits.head_bytes, 1024, got 2048",
            "statistics.panes: expected at most statistics.rows, 10, got 11",
        ],
    ),
    (replace(GOOD, monitors=()), []),
    (replace(GOOD, model=BINARY, monitors=(Part(kind="data"), Part(kind="quality")), state="/tmp"), []),
    (replace(GOOD, model=BINARY, monitors=(Part(kind="quality"),), labels=Part(kind="redis")), []),
    (
        replace(GOOD, monitors=(Part(kind="data"), Part(kind="bias"))),
        [
            "model.task: missing; bias needs it, expected binary, multiclass or regression",
            "state: missing; labels for bias are kept there, expected a folder",
        ],
    ),
    (
        replace(GOOD, model=Model(task="multiclass", classes=("a", "a", "b"), probabilities=("p", "q"))),
        [
            "model.classes: one of them twice, expected each once",
            "model.probabilities: 2 for 3 classes, expected one for each, in their order",
        ],
    ),
    (
        replace(GOOD, model=Model(task="regression", probabilities=("p",))),
        ["model.probabilities: given for a regression, expected none"],
    ),
    (
        replace(GOOD, model=BINARY, monitors=(Part(kind="quality", options={"champion": "a"}),), state="/tmp"),
        ["monitors[0].champion: a is no variant, expected one of default"],
    ),
    (
        replace(GOOD, monitors=(Part(kind="data"), Part(kind="data"))),
        ["monitors[1].kind: data a second time, expected each once"],
    ),
    (
        replace(
            GOOD,
            alerts=Alerts(
                rules=(
                    AlertRule(channels=("slack", "slack[1]", "*")),
                    AlertRule(channels=()),
                    AlertRule(channels=("slck",)),
                ),
                channels=(Part(kind="webhook"), Part(kind="slack")),
            ),
        ),
        ["alerts.rules[2].channels[0]: slck is none, expected one of *, slack, slack[1], webhook, webhook[0]"],
    ),
    (replace(GOOD, reference=Reference(path="/reference", learn_rows=1000)), []),
    (replace(GOOD, state="/tmp"), []),
    (replace(GOOD, state="/tmp/not/yet/there"), []),
    (replace(GOOD, state="not/yet/there"), []),
    (
        replace(GOOD, state=__file__),
        [f"state: expected a folder to write in, got {__file__}: it is no folder"],
    ),
    (
        replace(GOOD, state=f"{__file__}/below/it"),
        [f"state: expected a folder to write in, got {__file__}/below/it: {__file__} is no folder"],
    ),
    (
        replace(GOOD, state="/proc/self/state"),
        ["state: expected a folder to write in, got /proc/self/state: /proc/self is not writable"],
    ),
    (replace(GOOD, state="a\0b"), ["state: expected a folder to write in, got a\0b: embedded null byte"]),
]

ROUTES: list[tuple[Config, list[str]]] = [
    (TWO, []),
    (split(sticky=Sticky(header="x")), []),
    (split(sticky=Sticky(address=True)), []),
    (split(sticky=Sticky(pointer="/user/id")), []),
    (
        split(sticky=Sticky()),
        ["split.sticky: none of them; expected one of header, cookie, query, pointer, address"],
    ),
    (
        split(sticky=Sticky(header="x", query="q", address=True)),
        ["split.sticky: header, query, address; expected one of header, cookie, query, pointer, address"],
    ),
    (
        split(sticky=Sticky(pointer="/users/*/id")),
        ["split.sticky.pointer: /users/*/id names many values; expected one without *"],
    ),
    (split(fallback="b", rules=(SplitRule(variant="a"),)), []),
    (
        split(fallback="bb", rules=(SplitRule(variant="a"), SplitRule(variant="x"))),
        [
            "split.fallback: bb is no variant, expected one of a, b; did you mean b?",
            "split.rules[1].variant: x is no variant, expected one of a, b",
        ],
    ),
    (replace(TWO, shadow=Shadow(variant="x", ratio=1)), ["shadow.variant: x is no variant, expected one of a, b"]),
    (
        replace(GOOD, shadow=Shadow(variant="x", ratio=1)),
        ["shadow.variant: x is no variant, expected one of the names of variants, which there are none of"],
    ),
    (trial(), []),
    (trial(challengers=("b",)), []),
    (
        trial(champion="x", challengers=("b", "y")),
        [
            "experiment.champion: x is no variant, expected one of a, b",
            "experiment.challengers[1]: y is no variant, expected one of a, b",
        ],
    ),
    (trial(challengers=("b", "a")), ["experiment.challengers: a is the champion, expected others"]),
    (trial(challengers=("b", "b")), ["experiment.challengers: one of them twice, expected each once"]),
    (trial(measures=()), ["experiment.measures: none, expected at least one"]),
    (
        replace(trial(), variants={"a": Variant(url="http://a")}),
        ["experiment.challengers: there is no other variant, expected at least one"],
    ),
    (
        replace(trial(), variants={name: Variant(url=f"http://{name}") for name in "abcdefghijklmnopq"}),
        ["experiment.challengers: 16 other variants, expected 15 of them by name"],
    ),
    (
        trial(measures=(Part(kind="quality"),)),
        ["model.task: missing; quality needs it, expected binary, multiclass or regression"],
    ),
    (replace(trial(measures=(Part(kind="quality"),)), model=BINARY), []),
    (
        replace(trial(measures=(Part(kind="outcome"),)), state=None),
        ["state: missing; labels for outcome are kept there, expected a folder"],
    ),
    (rollout(), []),
    (rollout(challenger="a"), ["rollout.challenger: a is the champion too, expected another variant"]),
    (
        replace(rollout(challenger="a"), variants={"a": Variant(url="http://a", weight=0), "b": MODEL}),
        ["rollout.challenger: a is the champion too, expected another variant"],
    ),
    (rollout(champion="x"), ["rollout.champion: x is no variant, expected one of a, b"]),
    (rollout(steps=(5.0, 1.0)), ["rollout.steps: 5, 1; expected them ascending"]),
    (rollout(steps=(5.0, 5.0)), ["rollout.steps: 5, 5; expected them ascending"]),
    (
        replace(rollout(), state=None),
        ["state: missing; where a rollout stands is kept there, expected a folder"],
    ),
    (replace(rollout(), state=None, fleet=Part(kind="kubernetes")), []),
    (
        replace(rollout(), variants={**{n: replace(v, weight=0) for n, v in TWO.variants.items()}, "c": MODEL}),
        ["variants: a and b have no weight that the rollout could deal; expected one above 0"],
    ),
    (replace(rollout(), variants={**TWO.variants, "a": Variant(url="http://a", weight=0)}), []),
    (
        replace(rollout(guardrails=(Part(kind="quality"),)), state=None, fleet=Part(kind="kubernetes")),
        [
            "model.task: missing; quality needs it, expected binary, multiclass or regression",
            "state: missing; labels for quality are kept there, expected a folder",
        ],
    ),
]

BAD_LINK = "alerts.link: expected http://host or https://host, and no more behind it than a path"


@pytest.mark.parametrize(
    "link",
    [
        "http://a",
        "https://ops.example:8443/sidecars/fraud/",
        "http://[::1]:9901",
        "http://10.0.0.7/",
        "https://a/%7Eb/@c;d=e,f",
    ],
)
def test_a_link_is_where_a_browser_gets(link: str) -> None:
    assert broken_rules(replace(GOOD, alerts=Alerts(link=link)), []) == []


@pytest.mark.parametrize(
    "link",
    [
        "",
        "a.example",
        "//a.example",
        "ftp://a",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://user:secret@a",
        "http://a?tab=alerts",
        "http://a/#",
        "http://a b",
        "http://a/|<b>",
        "http://a\n",
        "http://größe",
        "HTTP//a",
    ],
)
def test_what_is_no_link_is_refused(link: str) -> None:
    assert [str(fault) for fault in broken_rules(replace(GOOD, alerts=Alerts(link=link)), [])] == [BAD_LINK]


def aliased(*versions: str, kind: str = "mlflow") -> Config:
    variants = {f"v{place}": replace(MODEL, version=version) for place, version in enumerate(versions)}
    return Config(variants=variants, catalog=Part(kind=kind))


NO_ALIAS = "is no alias; expected @ with letters, digits, _ and - behind it, none like v1"
NO_ALIASES = "and the catalogue (sqlite) has no aliases; expected a version, or catalog.kind: mlflow"
ALIASES: list[tuple[Config, list[str]]] = [
    (aliased("@champion", "@latest", "@a_B-9", "@v1x", "3", ""), []),
    (aliased("3", "v1@x", "", kind="sqlite"), []),
    *(
        (aliased(alias), [f"variants.v0.version: {alias} {NO_ALIAS}"])
        for alias in ("@", "@v1", "@V22", "@a/b", "@@", "@é")
    ),
    (
        aliased("@champion", "2", "@v1", kind="sqlite"),
        [f"variants.v0.version: @champion, {NO_ALIASES}", f"variants.v2.version: @v1, {NO_ALIASES}"],
    ),
]


@pytest.mark.parametrize(("config", "messages"), CASES + ROUTES + ALIASES)
def test_what_must_hold_between_keys(config: Config, messages: list[str]) -> None:
    assert [str(fault) for fault in broken_rules(config, [])] == messages


@pytest.mark.parametrize("path", ["upstream", "variants", "variants.a", "variants.a.url"])
def test_a_rule_is_silent_about_keys_with_faults_of_their_own(path: str) -> None:
    assert broken_rules(Config(), [Fault(path, "is odd")]) == []


def test_what_wants_labels_is_named_monitors_first() -> None:
    judged = (Part(kind="errors"), Part(kind="outcome"))
    config = replace(
        trial(measures=judged),
        monitors=(Part(kind="data"), Part(kind="bias")),
        rollout=rollout(guardrails=judged).rollout,
    )
    assert [part.kind for part in wanting_labels(config)] == ["bias", "outcome", "outcome"]
    assert wanting_labels(TWO) == []


def test_a_rule_speaks_about_keys_beside_a_faulty_one() -> None:
    config = replace(GOOD, admin="0.0.0.0:80")

    assert [fault.path for fault in broken_rules(config, [Fault("admin_tokens", "unknown key")])] == ["admin"]


def test_a_file_that_may_not_be_read_is_a_fault(tmp_path: Path, unreadable: Callable[[Path], None]) -> None:
    secret = tmp_path / "key.pem"
    secret.write_text("key")
    unreadable(secret)

    (fault,) = broken_rules(replace(GOOD, tls=ListenerTls(cert=__file__, key=str(secret))), [])

    assert fault.path == "tls.key"


@pytest.fixture
def unreadable() -> Callable[[Path], None]:
    """Make a file one that nobody may read, root included: a link to itself."""

    def make(path: Path) -> None:
        path.unlink()
        path.symlink_to(path)

    return make
