"""What must hold between keys, and between a key and this machine."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from sidecar.config.addresses import SocketAddress, parse_address, parse_upstream
from sidecar.config.exported import metrics, scrapes
from sidecar.config.reading import nearest
from sidecar.config.schema import Config, Part, UpstreamTls
from sidecar.errors import Fault

Rule = Callable[[Config], Iterator[Fault]]

MOST_CHALLENGERS = 15
"""Of an experiment, as `experiment.challengers` takes at most."""

ALIAS = "@"
"""What a version begins with that is said by an alias of the catalogue."""

ALIASING = "mlflow"
"""The kind of catalogue that has aliases."""

# Visible ASCII: no spaces, nothing that would be a user, a query or a fragment, nothing that ends a link in a text.
_BASE = re.compile(r"https?://[A-Za-z0-9._~:\[\]%-]+(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?")

# As MLflow has them, which takes `v3` for a version; `latest` is an alias that it keeps itself.
_ALIAS = re.compile(r"@(?!v[0-9]+\Z)[A-Za-z0-9_-]+", re.IGNORECASE)


def broken_rules(config: Config, faults: list[Fault]) -> list[Fault]:
    """The faults between keys; a rule about a key that has a fault of its own has nothing to say."""
    faulty = {fault.path.partition("[")[0] for fault in faults}
    return [
        fault
        for about, rule in RULES
        if not any(_overlap(path, known) for path in about for known in faulty)
        for fault in rule(config)
    ]


def _overlap(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.") or not other


def _one_upstream(config: Config) -> Iterator[Fault]:
    if config.upstream and config.variants:
        yield Fault("upstream", "given beside variants; expected one of the two")
    elif not config.upstream and not config.variants:
        yield Fault("upstream", "missing; expected an upstream, or variants with a url each")


def _weights(config: Config) -> Iterator[Fault]:
    if config.variants and not any(variant.weight > 0 for variant in config.variants.values()):
        yield Fault("variants", "no weight above 0; expected at least one variant that takes traffic")


def _aliases(config: Config) -> Iterator[Fault]:
    """That a version which is said by an alias can be found out."""
    for name, variant in config.variants.items():
        version, path = variant.version, f"variants.{name}.version"
        if not version.startswith(ALIAS):
            continue
        if config.catalog.kind != ALIASING:
            told = f"the catalogue ({config.catalog.kind}) has no aliases"
            yield Fault(path, f"{version}, and {told}; expected a version, or catalog.kind: {ALIASING}")
        elif not _ALIAS.fullmatch(version):
            told = "@ with letters, digits, _ and - behind it, none like v1"
            yield Fault(path, f"{version} is no alias; expected {told}")


def _split(config: Config) -> Iterator[Fault]:
    sticky = config.split.sticky
    if sticky is None:
        return
    given = [name for name in ("header", "cookie", "query", "pointer") if getattr(sticky, name) is not None]
    if len(given) + sticky.address != 1:
        told = ", ".join([*given, *(["address"] if sticky.address else [])]) or "none of them"
        yield Fault("split.sticky", f"{told}; expected one of header, cookie, query, pointer, address")
    if sticky.pointer is not None and "*" in sticky.pointer.split("/"):
        yield Fault("split.sticky.pointer", f"{sticky.pointer} names many values; expected one without *")


def _matches(config: Config) -> Iterator[Fault]:
    """That a rule means some requests: a value without its field would be that of all, and take them from the split."""
    for place, rule in enumerate(config.split.rules):
        if rule.value != "*" and rule.header is None:
            yield Fault(f"split.rules[{place}].header", "missing; expected the field whose value this is")


def _captured(config: Config) -> Iterator[Fault]:
    """That what is judged by captures has some."""
    weighed = {
        "experiment.measures": config.experiment.measures if config.experiment else (),
        "rollout.guardrails": config.rollout.guardrails if config.rollout else (),
    }
    for path, parts in weighed.items():
        for place, part in enumerate(parts):
            wants = part.kind in {"quality", "outcome", "metric", "drift"} or "pointer" in part.options
            if wants and config.capture.sample_ratio == 0:
                yield Fault(f"{path}[{place}]", "judged by captures, and capture.sample_ratio is 0; expected some")


def _named(config: Config) -> Iterator[Fault]:
    """That every variant that is spoken of is there."""
    named = {"split.fallback": config.split.fallback}
    named |= {f"split.rules[{place}].variant": rule.variant for place, rule in enumerate(config.split.rules)}
    if config.shadow is not None:
        named["shadow.variant"] = config.shadow.variant
    if (trial := config.experiment) is not None:
        named["experiment.champion"] = trial.champion
        named |= {f"experiment.challengers[{place}]": name for place, name in enumerate(trial.challengers)}
    if config.rollout is not None:
        named |= {"rollout.champion": config.rollout.champion, "rollout.challenger": config.rollout.challenger}
    for path, name in named.items():
        if name is not None and name not in config.variants:
            known = ", ".join(sorted(config.variants)) or "the names of variants, which there are none of"
            yield Fault(path, f"{name} is no variant, expected one of {known}{nearest(name, config.variants)}")


def _experiment(config: Config) -> Iterator[Fault]:
    trial = config.experiment
    if trial is None:
        return
    if trial.champion in trial.challengers:
        yield Fault("experiment.challengers", f"{trial.champion} is the champion, expected others")
    if len(set(trial.challengers)) < len(trial.challengers):
        yield Fault("experiment.challengers", "one of them twice, expected each once")
    others = len(config.variants) - 1
    if not trial.challengers and others < 1:
        yield Fault("experiment.challengers", "there is no other variant, expected at least one")
    if not trial.challengers and others > MOST_CHALLENGERS:
        yield Fault("experiment.challengers", f"{others} other variants, expected {MOST_CHALLENGERS} of them by name")
    if not trial.measures:
        yield Fault("experiment.measures", "none, expected at least one")


def _rollout(config: Config) -> Iterator[Fault]:
    rollout = config.rollout
    if rollout is None:
        return
    if rollout.champion == rollout.challenger:
        yield Fault("rollout.challenger", f"{rollout.challenger} is the champion too, expected another variant")
    if list(rollout.steps) != sorted(set(rollout.steps)):
        yield Fault("rollout.steps", f"{', '.join(map('{:g}'.format, rollout.steps))}; expected them ascending")
    weights = [
        config.variants[name].weight for name in (rollout.champion, rollout.challenger) if name in config.variants
    ]
    if len(weights) == 2 and rollout.champion != rollout.challenger and not sum(weights):
        told = f"{rollout.champion} and {rollout.challenger} have no weight that the rollout could deal"
        yield Fault("variants", f"{told}; expected one above 0")
    if config.state is None and config.fleet is None:
        yield Fault("state", "missing; where a rollout stands is kept there, expected a folder")


def _upstream_tls(config: Config) -> Iterator[Fault]:
    for name, variant in config.variants.items():
        if variant.tls:
            path = f"variants.{name}.tls"
            if parse_upstream(variant.url).scheme != "https":
                yield Fault(path, f"given, but url does not speak TLS; expected https://, got {variant.url}")
            yield from _pem_files(variant.tls, path)


def _listener_tls(config: Config) -> Iterator[Fault]:
    if config.tls:
        yield from _files(
            {"tls.cert": config.tls.cert, "tls.key": config.tls.key, "tls.client_ca": config.tls.client_ca}
        )


def _pem_files(tls: UpstreamTls, path: str) -> Iterator[Fault]:
    if (tls.cert is None) != (tls.key is None):
        yield Fault(path, "cert or key alone; expected both or neither")
    yield from _files({f"{path}.ca": tls.ca, f"{path}.cert": tls.cert, f"{path}.key": tls.key})


def _files(files: Mapping[str, str | None]) -> Iterator[Fault]:
    for path, file in files.items():
        if file is not None and (problem := _unreadable(file)):
            yield Fault(path, f"expected a file that can be read, got {file}: {problem}")


def _unreadable(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            return "" if opened.read(1) else "it is empty"
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:
        return str(error)


def _admin_token(config: Config) -> Iterator[Fault]:
    if config.admin_token and config.admin_token_file:
        yield Fault("admin_token_file", "given beside admin_token; expected one of the two")
    yield from _files({"admin_token_file": config.admin_token_file})
    if not (parse_address(config.admin).loopback or config.admin_token or config.admin_token_file):
        yield Fault("admin", f"{config.admin} is reached from other machines; expected an admin_token_file with it")


def _ports(config: Config) -> Iterator[Fault]:
    listen, admin = parse_address(config.listen), parse_address(config.admin)
    if listen == admin and not (isinstance(listen, SocketAddress) and listen.port == 0):
        yield Fault("admin", f"the same address as listen, {admin}; expected another one")
    elif _collide(listen, admin):
        yield Fault("admin", f"the same port as listen, {admin}; expected another one")


def _collide(one: object, other: object) -> bool:
    if not (isinstance(one, SocketAddress) and isinstance(other, SocketAddress)):
        return False
    return one.port == other.port != 0 and (one.wildcard or other.wildcard)


def _loops(config: Config) -> Iterator[Fault]:
    urls = {f"variants.{name}.url": variant.url for name, variant in config.variants.items()}
    if config.upstream:
        urls["upstream"] = config.upstream
    listen = parse_address(config.listen)
    for path, url in urls.items():
        address = parse_upstream(url).address
        here = (
            _collide(listen, address) and isinstance(address, SocketAddress) and (address.loopback or address.wildcard)
        )
        if here or address == listen:
            yield Fault(path, f"{url} is where the sidecar itself listens; expected the model server's address")


def _monitors(config: Config) -> Iterator[Fault]:
    kinds = [part.kind for part in config.monitors]
    for place, kind in enumerate(kinds):
        if kind in kinds[:place]:
            yield Fault(f"monitors[{place}].kind", f"{kind} a second time, expected each once")


def wanting_labels(config: Config) -> list[Part]:
    """What cannot do without labels, or outcomes."""
    weighed = [
        *(config.experiment.measures if config.experiment else ()),
        *(config.rollout.guardrails if config.rollout else ()),
    ]
    monitors = [part for part in config.monitors if part.kind in {"quality", "bias"}]
    return monitors + [part for part in weighed if part.kind in {"quality", "outcome"}]


def _labels(config: Config) -> Iterator[Fault]:
    """That labels which are acknowledged can be kept."""
    wants = [part.kind for part in wanting_labels(config)]
    judges = [kind for kind in wants if kind != "outcome"]
    if judges and config.model.task is None:
        yield Fault("model.task", f"missing; {judges[0]} needs it, expected binary, multiclass or regression")
    if wants and config.labels.kind == "sqlite" and config.state is None:
        yield Fault("state", f"missing; labels for {wants[0]} are kept there, expected a folder")


def _classes(config: Config) -> Iterator[Fault]:
    model = config.model
    if len(set(model.classes)) < len(model.classes):
        yield Fault("model.classes", "one of them twice, expected each once")
    if model.task == "regression" and model.probabilities:
        yield Fault("model.probabilities", "given for a regression, expected none")
    named = model.task == "multiclass" and model.probabilities
    if named and model.classes and len(model.classes) != len(model.probabilities):
        told = f"{len(model.probabilities)} for {len(model.classes)} classes"
        yield Fault("model.probabilities", f"{told}, expected one for each, in their order")


def _champions(config: Config) -> Iterator[Fault]:
    variants = set(config.variants) or {"default"}
    for place, part in enumerate(config.monitors):
        name = part.options.get("champion", "")
        if name and name not in variants:
            expected = ", ".join(sorted(variants))
            yield Fault(f"monitors[{place}].champion", f"{name} is no variant, expected one of {expected}")


def _told(config: Config) -> Iterator[Fault]:
    """That a rule tells only who is there: a retraining that never starts is noticed too late."""
    kinds = [part.kind for part in config.alerts.channels]
    known = {"*", *kinds, *(f"{kind}[{place}]" for place, kind in enumerate(kinds))}
    for number, rule in enumerate(config.alerts.rules):
        for place, name in enumerate(rule.channels):
            if name not in known:
                expected = ", ".join(sorted(known))
                yield Fault(f"alerts.rules[{number}].channels[{place}]", f"{name} is none, expected one of {expected}")


def _state(config: Config) -> Iterator[Fault]:
    if config.state is not None and (problem := _unwritable(Path(config.state))):
        yield Fault("state", f"expected a folder to write in, got {config.state}: {problem}")


def _unwritable(folder: Path) -> str:
    """Why nothing can be written there; a folder that is not there yet can be made where the one above is writable."""
    if "\0" in str(folder):
        return "embedded null byte"
    found = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not found.is_dir():
        return "it is no folder" if found == folder else f"{found} is no folder"
    return "" if os.access(found, os.W_OK | os.X_OK) else f"{found} is not writable"


def _link(config: Config) -> Iterator[Fault]:
    if config.alerts.link is not None and not _BASE.fullmatch(config.alerts.link):
        yield Fault("alerts.link", "expected http://host or https://host, and no more behind it than a path")


def _at_most(small: str, large: str) -> tuple[tuple[str, ...], Rule]:
    less, most = attrgetter(small), attrgetter(large)

    def rule(config: Config) -> Iterator[Fault]:
        if less(config) > most(config):
            yield Fault(small, f"expected at most {large}, {most(config)}, got {less(config)}")

    return (small, large), rule


RULES: Sequence[tuple[tuple[str, ...], Rule]] = (
    (("upstream", "variants"), _one_upstream),
    (("variants",), _weights),
    (("variants", "catalog"), _aliases),
    (("variants",), _upstream_tls),
    (("split",), _split),
    (("split",), _matches),
    (("experiment", "rollout", "capture"), _captured),
    (("variants", "split", "shadow", "experiment", "rollout"), _named),
    (("variants", "experiment"), _experiment),
    (("variants", "rollout", "state"), _rollout),
    (("tls",), _listener_tls),
    (("admin", "admin_token", "admin_token_file"), _admin_token),
    (("listen", "admin"), _ports),
    (("listen", "upstream", "variants"), _loops),
    _at_most("capture.max_body_bytes", "capture.buffer_bytes"),
    _at_most("limits.target_bytes", "limits.head_bytes"),
    _at_most("statistics.panes", "statistics.rows"),
    (("monitors",), _monitors),
    (("state",), _state),
    (("monitors", "labels", "state", "model", "experiment", "rollout"), _labels),
    (("model",), _classes),
    (("monitors", "variants"), _champions),
    (("alerts",), _link),
    (("alerts",), _told),
    (("telemetry", "variants"), scrapes),
    (("telemetry", "payload"), metrics),
)
"""Each rule with the keys that it is about."""
