from pathlib import Path

import pytest

from sidecar.config.loading import FILE_BYTES, Source
from sidecar.config.schema import Config, ListenerTls, Part, Variant
from sidecar.errors import ConfigError
from tests.config.parts import FAMILIES

UPSTREAM = {"SIDECAR_UPSTREAM": "http://model:8081"}


def write(folder: Path, text: str | bytes) -> str:
    path = folder / "sidecar.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def faults(source: Source) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        source.load(FAMILIES)
    return [str(fault) for fault in caught.value.faults]


def test_a_flag_outweighs_the_environment_and_that_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "timeouts: {connect_s: 1, header_s: 1, idle_s: 1}\nupstream: http://model")
    environ = {"SIDECAR_TIMEOUTS__HEADER_S": "2", "SIDECAR_TIMEOUTS__IDLE_S": "2"}

    timeouts = Source(path, {"timeouts.idle_s": "3"}, environ).load(FAMILIES).timeouts

    assert (timeouts.connect_s, timeouts.header_s, timeouts.idle_s) == (1, 2, 3)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("SIDECAR_ENDPOINT", "3", Config(endpoint="3")),
        ("SIDECAR_ADMIN_TOKEN", "null", Config(admin_token="null")),
        ("SIDECAR_ADMIN_TOKEN", "", Config()),
        ("SIDECAR_VARIANTS__CHAMPION__URL", "http://a", Config(variants={"champion": Variant(url="http://a")})),
        ("SIDECAR_VARIANTS", "{A: {url: 'http://a'}}", Config(variants={"A": Variant(url="http://a")})),
        ("SIDECAR_ROUTES", "[/a, '/b/{c}']", Config(routes=("/a", "/b/{c}"))),
    ],
)
def test_variables_are_read_by_the_type_of_their_key(name: str, text: str, expected: Config) -> None:
    environ = {name: text} if "VARIANTS" in name else {name: text, **UPSTREAM}
    upstream = None if "VARIANTS" in name else UPSTREAM["SIDECAR_UPSTREAM"]
    fields = {field: getattr(expected, field) for field in expected.__struct_fields__}

    assert Source(environ=environ).load(FAMILIES) == Config(**{**fields, "upstream": upstream})


def test_scalars_of_every_type_come_from_texts() -> None:
    flags = {
        "timeouts.total_s": "1e1",
        "limits.fields": "7",
        "headers.request_id": "false",
        "capture.errors": "sampled",
        "capture.sinks": "[{kind: shelf, path: /x}]",
        "tls.cert": __file__,
        "tls.key": __file__,
    }

    config = Source(flags=flags, environ=UPSTREAM).load(FAMILIES)

    assert config.timeouts.total_s == 10.0
    assert config.limits.fields == 7
    assert config.headers.request_id is False
    assert config.capture.errors == "sampled"
    assert config.capture.sinks == (Part(kind="shelf", options={"path": "/x"}),)
    assert config.tls == ListenerTls(cert=__file__, key=__file__)


def test_variables_refine_what_the_file_and_wider_variables_say(tmp_path: Path) -> None:
    path = write(tmp_path, "variants: {Champion: {url: http://a, weight: 3}}\ntls:")
    environ = {"SIDECAR_VARIANTS__CHAMPION__WEIGHT": "5", "SIDECAR_TLS__CERT": __file__, "SIDECAR_TLS__KEY": __file__}

    config = Source(path, environ=environ).load(FAMILIES)

    assert config.variants == {"Champion": Variant(url="http://a", weight=5.0)}
    assert config.tls == ListenerTls(cert=__file__, key=__file__)
    environ = {"SIDECAR_VARIANTS__A__WEIGHT": "5", "SIDECAR_VARIANTS": "{a: {url: 'http://b'}}"}
    assert Source(environ=environ).load(FAMILIES).variants == {"a": Variant(url="http://b", weight=5.0)}


def test_other_variables_are_none_of_ours() -> None:
    links = {
        "SIDECAR_PORT": "tcp://10.0.0.1:80",
        "SIDECAR_PORT_80_TCP": "tcp://10.0.0.1:80",
        "SIDECAR_PORT_80_TCP_ADDR": "10.0.0.1",
        "SIDECAR_SERVICE_HOST": "10.0.0.1",
        "SIDECAR_SERVICE_PORT_HTTP": "80",
        "SIDECAR_ADMIN_SERVICE_PORT": "80",
    }
    other = {"SIDECAR_CONFIG": "/etc/other.yaml", "PATH": "/bin", "sidecar_listn": "x"}

    assert Source(environ={**UPSTREAM, **links, **other}).load(FAMILIES) == Config(upstream="http://model:8081")


@pytest.mark.parametrize("name", ["SIDECAR_TRACKING", "SIDECAR_TO"])
def test_what_commands_are_told_is_no_key(name: str) -> None:
    assert Source(environ={**UPSTREAM, name: "http://127.0.0.1:9901"}).load(FAMILIES) == Source(environ=UPSTREAM).load(
        FAMILIES
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SIDECAR_TIMEOUTS__CONECT_S", "unknown variable; did you mean SIDECAR_TIMEOUTS__CONNECT_S?"),
        ("SIDECAR_TIMEOUT_CONNECT_S", "unknown variable; did you mean SIDECAR_TIMEOUTS__CONNECT_S?"),
        ("SIDECAR_TIMEOUTS", "unknown variable"),
        ("SIDECAR_LISTEN__X", "unknown variable; did you mean SIDECAR_LISTEN?"),
        ("SIDECAR_VARIANTS__A__B__C", "unknown variable; did you mean SIDECAR_VARIANTS?"),
        ("SIDECAR_", "unknown variable"),
    ],
)
def test_unknown_variables_are_refused_with_the_nearest(name: str, message: str) -> None:
    (fault,) = faults(Source(environ={**UPSTREAM, name: "3"}))

    assert fault.startswith(f"{name}: {message}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a", "expected a mapping of keys"),
        ("just words", "expected a mapping of keys"),
        ("listen: a\nlisten: [", "line 3: not YAML: did not find expected node content"),
        (b"\x93NUMPY\x01\x00v\x00{", "expected a text in UTF-8, got other bytes at 0"),
        (b"#" * (FILE_BYTES + 1), f"expected at most {FILE_BYTES} bytes"),
        ("a: &a [x, x]\nb: [*a, *a]", "line 2: the alias *a; write the value out"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_fault(tmp_path: Path, text: str | bytes, expected: str) -> None:
    path = write(tmp_path, text)

    assert faults(Source(path)) == [f"{path}: {expected}"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/does/not/exist", "/does/not/exist: cannot be read: No such file or directory"),
        ("/", "/: cannot be read: Is a directory"),
        ("", "--config: cannot be read: Is a directory"),
        ("a\0b", "'a\\x00b': cannot be read: embedded null byte"),
        ("/dev/zero", f"/dev/zero: expected at most {FILE_BYTES} bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_fault(path: str, message: str) -> None:
    assert faults(Source(path)) == [message]


def test_repeated_keys_are_refused_by_their_path(tmp_path: Path) -> None:
    path = write(tmp_path, "timeouts:\n  idle_s: 1\n  idle_s: 2\n")

    assert faults(Source(path)) == ["timeouts.idle_s: line 3: given again, expected once"]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "\ufeffupstream: http://model:8081"])
def test_a_file_without_keys_is_all_defaults(tmp_path: Path, text: str) -> None:
    assert Source(write(tmp_path, text), environ=UPSTREAM).load(FAMILIES) == Config(upstream="http://model:8081")


def test_all_faults_are_told_with_who_set_the_value(tmp_path: Path) -> None:
    path = write(tmp_path, "timeuots: {}\nlimits: {fields: 0}\nadmin: 0.0.0.0:9901\nvariants: {a: {weight: -1}}")
    flags = {"capture.sample_ratio": "2", "routes": "[", "statistics.rows": "many", "admin_token": "hush hush"}
    environ = {"SIDECAR_LISTN": "x", "SIDECAR_VARIANTS__A__URL": "model", "SIDECAR_ENDPOINT": "caf\udce9"}

    assert faults(Source(path, flags, environ)) == [
        "endpoint: expected a text in UTF-8 (from SIDECAR_ENDPOINT)",
        "SIDECAR_LISTN: unknown variable; did you mean SIDECAR_LISTEN?",
        "routes: line 2: not YAML: did not find expected node content (from --routes)",
        "timeuots: unknown key; did you mean timeouts?",
        "admin_token: expected visible ASCII without spaces (from --admin-token)",
        'variants.a.url: expected http://host:port, https://host:port or unix:/path, got "model" '
        "(from SIDECAR_VARIANTS__A__URL)",
        "variants.a.weight: expected a number >= 0 and <= 1000000000, got -1",
        "limits.fields: expected a whole number >= 1 and <= 10000, got 0",
        "capture.sample_ratio: expected a number >= 0 and <= 1, got 2 (from --capture-sample-ratio)",
        'statistics.rows: expected a whole number >= 10 and <= 10000000, got "many" (from --statistics-rows)',
    ]


def test_what_a_variable_cannot_refine_is_left_to_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "timeouts: 5\nupstream: http://model")

    assert faults(Source(path, environ={"SIDECAR_TIMEOUTS__IDLE_S": "3"})) == ["timeouts: expected a mapping, got 5"]


def test_faults_of_a_whole_mapping_name_its_flag() -> None:
    assert faults(Source(flags={"variants": "{a: {}}"})) == [
        "variants.a.url: missing; expected http://host:port, https://host:port or unix:/path (from --variants)"
    ]


def test_loading_again_reads_the_file_as_it_then_is(tmp_path: Path) -> None:
    source = Source(write(tmp_path, "endpoint: old"), environ=UPSTREAM)
    assert source.load(FAMILIES).endpoint == "old"

    write(tmp_path, "endpoint: new")

    assert source.load(FAMILIES).endpoint == "new"
