import pytest

from sidecar.config.reading import nearest, read
from sidecar.config.schema import (
    AlertRule,
    Alerts,
    Config,
    ListenerTls,
    Part,
    Variant,
)
from tests.config.parts import FAMILIES

SHELF = {"kind": "shelf", "path": "/x"}
ACCEPTED: list[tuple[dict[str, object], Config]] = [
    ({}, Config()),
    ({"upstream": None}, Config()),
    ({"tls": {"cert": "a", "key": "b"}}, Config(tls=ListenerTls(cert="a", key="b"))),
    (
        {"variants": {"a": {"url": "http://a"}, "b": {"url": "unix:/b", "weight": 0, "version": "3"}}},
        Config(
            variants={
                "a": Variant(url="http://a"),
                "b": Variant(url="unix:/b", weight=0.0, version="3"),
            }
        ),
    ),
    (
        {"monitors": [{"kind": "data", "detectors": [SHELF, {"kind": "bin"}]}]},
        Config(
            monitors=(
                Part(
                    kind="data",
                    options={"detectors": (Part(kind="shelf", options={"path": "/x"}), Part(kind="bin"))},
                ),
            )
        ),
    ),
    (
        {"alerts": {"rules": [{"check": "psi", "hold_s": 0}, {}], "channels": [{"kind": "bin"}]}},
        Config(alerts=Alerts(rules=(AlertRule(check="psi", hold_s=0), AlertRule()), channels=(Part(kind="bin"),))),
    ),
    ({"routes": ["/score/{model}", "/v1/{model}:ask", "/"]}, Config(routes=("/score/{model}", "/v1/{model}:ask", "/"))),
]
FAULTS: list[tuple[object, list[str]]] = [
    ([], ["expected a mapping, got a list"]),
    ("text", ['expected a mapping, got "text"']),
    ({"timeuots": {}}, ["timeuots: unknown key; did you mean timeouts?"]),
    ({"zzz": 1}, [
        "zzz: unknown key; expected one of listen, admin, admin_token, admin_token_file, endpoint, upstream, variants, "
        "split, shadow, health, ejection, experiment, rollout, catalog, fleet, "
        "tls, timeouts, limits, headers, capture, payload, statistics, reference, monitors, model, labels, alerts, "
        "state, routes, telemetry, log"]),
    ({"timeouts": None}, ["timeouts: expected a mapping, got nothing"]),
    ({"timeouts": {"conect_s": 3}}, ["timeouts.conect_s: unknown key; did you mean connect_s?"]),
    ({"timeouts": {"connect_s": 0}}, ["timeouts.connect_s: expected a number > 0 and <= 604800, got 0"]),
    ({"timeouts": {"connect_s": True}}, ["timeouts.connect_s: expected a number > 0 and <= 604800, got true"]),
    ({"timeouts": {"total_s": "1s"}}, ['timeouts.total_s: expected a number > 0 and <= 604800 or null, got "1s"']),
    ({"timeouts": {"idle_s": 10**30}}, [f"timeouts.idle_s: expected a number > 0 and <= 604800, got {10**30}"]),
    ({"limits": {"fields": 1.5}}, ["limits.fields: expected a whole number >= 1 and <= 10000, got 1.5"]),
    ({"limits": {"head_bytes": []}}, ["limits.head_bytes: expected a whole number >= 1024 and <= 1048576, got a list"]),
    ({"headers": {"request_id": "no"}}, ['headers.request_id: expected true or false, got "no"']),
    ({"capture": {"errors": "never"}}, ['capture.errors: expected always or sampled, got "never"']),
    ({"capture": {"headers": "accept"}}, ['capture.headers: expected a list, got "accept"']),
    ({"capture": {"headers": ["a", "b c"]}}, ['capture.headers[1]: expected the name of a header field, got "b c"']),
    ({"endpoint": ".."}, ['endpoint: expected 1 to 63 letters, digits, `_`, `.` or `-`, got ".."']),
    ({"endpoint": "a\n"}, ['endpoint: expected 1 to 63 letters, digits, `_`, `.` or `-`, got "a\\n"']),
    ({"endpoint": "x" * 99}, [f'endpoint: expected 1 to 63 letters, digits, `_`, `.` or `-`, got "{"x" * 59}…']),
    ({"admin_token": 12345}, ["admin_token: expected visible ASCII without spaces"]),
    ({"admin_token": "hush hush"}, ["admin_token: expected visible ASCII without spaces"]),
    ({"listen": 8080}, ["listen: expected host:port, [v6]:port or unix:/path, got 8080"]),
    ({"listen": "8080"}, ['listen: expected host:port, [v6]:port or unix:/path, got "8080"']),
    ({"tls": {"cert": "a"}}, ["tls.key: missing; expected a file's path"]),
    ({"tls": {"cert": "", "key": "b"}}, ["tls.cert: expected a file's path, got \"\""]),
    ({"variants": []}, ["variants: expected a mapping, got a list"]),
    ({"variants": {"a": {"url": "http://a", "weight": -1}}},
     ["variants.a.weight: expected a number >= 0 and <= 1000000000, got -1"]),
    ({"variants": {"a": {"url": "http://a", "version": 3}}},
     ["variants.a.version: expected a text of up to 128 visible ASCII characters without spaces, got 3; quote it"]),
    ({"variants": {"a": {"url": "http://a", "weight": float("inf")}}},
     ["variants.a.weight: expected a number >= 0 and <= 1000000000, got inf"]),
    ({"capture": {"sinks": [{**SHELF, "ratios": [float("inf")]}]}},
     ["capture.sinks[0].ratios[0]: expected a number, got inf"]),
    ({"variants": {f"v{n}": {"url": "http://a"} for n in range(17)}}, ["variants: expected at most 16, got 17"]),
    ({"payload": {"format": "cvs"}},
     ['payload.format: unknown kind "cvs"; expected one of csv, mlflow; did you mean csv?']),
    ({"payload": {"redact": ["card"]}},
     ['payload.redact[0]: expected a JSON pointer, as in /instances/*/card_number, got "card"']),
    ({"routes": ["score/{model}", "/a?b"]}, [
        'routes[0]: expected a path, as in /score/{model}, got "score/{model}"',
        'routes[1]: expected a path, as in /score/{model}, got "/a?b"']),
    ({"capture": {"sinks": ["shelf"]}}, ['capture.sinks[0]: expected a mapping with a kind, got "shelf"']),
    ({"capture": {"sinks": [{"path": "x"}]}}, ["capture.sinks[0].kind: expected one of shelf, bin, got nothing"]),
    ({"capture": {"sinks": [{"kind": "shefl"}]}},
     ['capture.sinks[0].kind: unknown kind "shefl"; expected one of shelf, bin; did you mean shelf?']),
    ({"capture": {"sinks": [{"kind": "shelf", "sise": 3}]}}, [
        "capture.sinks[0].sise: unknown key; did you mean size?", "capture.sinks[0].path: missing; expected a text"]),
    ({"capture": {"sinks": [{**SHELF, "made": 1}]}}, [
        "capture.sinks[0].made: unknown key; expected one of path, size, order, tags, ratios, note, token"]),
    ({"capture": {"sinks": [{**SHELF, "token": 5}]}}, ["capture.sinks[0].token: expected a text; quote it"]),
    ({"capture": {"sinks": [SHELF, {**SHELF, "size": 0, "ratios": ["a"]}]}}, [
        "capture.sinks[1].size: expected a whole number >= 1, got 0",
        'capture.sinks[1].ratios[0]: expected a number, got "a"']),
    ({"capture": {"sinks": [{"kind": "shelf", "path": "/dev/null"}]}},
     ["capture.sinks[0].path: is bottomless, expected a shelf"]),
    ({"capture": {"sinks": [{"kind": "bin", "deep": True}]}},
     ["capture.sinks[0].deep: unknown key; expected none here"]),
    ({"monitors": [{"kind": "data", "detectors": [{"kind": "bin"}, {"kind": "shelf", "pth": 1}]}]}, [
        "monitors[0].detectors[1].pth: unknown key; did you mean path?",
        "monitors[0].detectors[1].path: missing; expected a text"]),
    ({"alerts": {"rules": [{"severity": "page"}]}},
     ['alerts.rules[0].severity: expected info or warning or critical, got "page"']),
    ({"listn": 1, "limits": {"fields": 0}, "variants": {"a": {}, "b": None}}, [
        "listn: unknown key; did you mean listen?",
        "variants.a.url: missing; expected http://host:port, https://host:port or unix:/path",
        "variants.b: expected a mapping, got nothing",
        "limits.fields: expected a whole number >= 1 and <= 10000, got 0"]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "config"), ACCEPTED)
def test_documents_become_structs(document: object, config: Config) -> None:
    assert read(document, FAMILIES) == (config, [])


@pytest.mark.parametrize(("document", "messages"), FAULTS)
def test_every_fault_is_named_by_its_path(document: object, messages: list[str]) -> None:
    assert [str(fault) for fault in read(document, FAMILIES).faults] == messages


def test_a_broken_key_leaves_the_others_as_they_are_said() -> None:
    config = read({"listen": "?", "endpoint": "fraud", "variants": {"a": {}}}, FAMILIES).config

    assert config == Config(endpoint="fraud")


def test_whole_numbers_may_be_written_with_an_exponent() -> None:
    assert read({"statistics": {"rows": 2e3}}, FAMILIES).config.statistics.rows == 2000


def test_options_of_parts_are_typed() -> None:
    document = {"capture": {"sinks": [{**SHELF, "tags": ["a"], "ratios": [1], "note": None}]}}

    config = read(document, FAMILIES).config

    assert config.capture.sinks == (
        Part(kind="shelf", options={"path": "/x", "tags": ("a",), "ratios": [1.0], "note": None}),
    )


def test_registries_are_not_asked_where_no_part_is_named() -> None:
    class Untouchable(dict[str, object]):
        def __getitem__(self, path: str) -> object:
            raise AssertionError(path)

    families = Untouchable({"payload.format": {}, "capture.sinks": {}})

    assert read({"payload": {"format": "auto"}}, families).faults == []  # type: ignore[arg-type]  # it holds nothing


def test_nothing_is_near_to_what_resembles_nothing() -> None:
    assert nearest("wxyz", ["listen", "admin"]) == ""
