"""The part of the configuration that says who serves whom: it may be replaced at run time, as one document."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from sidecar.config.keys import plain
from sidecar.config.reading import read
from sidecar.config.rules import ALIAS, broken_rules
from sidecar.config.schema import Config, Shadow, Split, Variant
from sidecar.errors import ConfigError, Fault
from sidecar.records import JSON

KEYS = ("variants", "split", "shadow")


@dataclass(frozen=True, slots=True)
class Routes:
    """Who serves whom: the values of the configuration's keys of these names."""

    variants: dict[str, Variant]
    split: Split
    shadow: Shadow | None

    @property
    def document(self) -> dict[str, JSON]:
        """As it is kept and shown: what differs from the defaults."""
        variants = {name: plain(variant) for name, variant in self.variants.items()}
        told: dict[str, JSON] = {"variants": variants, "split": plain(self.split)}
        return told if self.shadow is None else {**told, "shadow": plain(self.shadow)}

    @property
    def fingerprint(self) -> str:
        """By which two of them are the same."""
        return hashlib.sha256(json.dumps(self.document, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def aliases(self) -> dict[str, str]:
        """By variant, of those whose version is said by an alias of the catalogue; with the `@` before it."""
        named = {name: variant.version for name, variant in self.variants.items()}
        return {name: version for name, version in named.items() if version.startswith(ALIAS)}

    def resolved(self, versions: Mapping[str, str]) -> "Routes":
        """The same with the versions that aliases mean; an alias of which nobody knows stands for itself."""
        variants = {
            name: msgspec.structs.replace(variant, version=versions.get(variant.version, variant.version))
            for name, variant in self.variants.items()
        }
        return Routes(variants, self.split, self.shadow)

    def weighed(self, weights: dict[str, float]) -> "Routes":
        """The same with other weights; those of variants that are not named stay."""
        variants = {
            name: msgspec.structs.replace(variant, weight=weights.get(name, variant.weight))
            for name, variant in self.variants.items()
        }
        return Routes(variants, self.split, self.shadow)


def routes_of(config: Config) -> Routes:
    """What the configuration says itself."""
    return Routes(config.variants, config.split, config.shadow)


def with_routes(config: Config, routes: Routes) -> Config:
    """The configuration with these routes instead of its own.

    Raises:
        ConfigError: They do not fit the rest of it.
    """
    made = merged(config, routes)
    if faults := broken_rules(made, []):
        raise ConfigError(*faults)
    return made


def merged(config: Config, routes: Routes) -> Config:
    """The same, of routes that were found to fit before."""
    upstream = config.upstream if not routes.variants else None
    return msgspec.structs.replace(
        config, upstream=upstream, variants=routes.variants, split=routes.split, shadow=routes.shadow
    )


def parse_routes(document: JSON) -> Routes:
    """Read a document of routes.

    Raises:
        ConfigError: It is none; holds every fault, by path.
    """
    if not isinstance(document, dict):
        raise ConfigError(Fault("", f"expected a mapping of {', '.join(KEYS)}"))
    unknown = [
        Fault(str(name)[:63], f"unknown key; expected one of {', '.join(KEYS)}") for name in document.keys() - KEYS
    ]
    reading = read({name: document[name] for name in KEYS if name in document}, {})
    if faults := [*unknown, *reading.faults]:
        raise ConfigError(*faults)
    return routes_of(reading.config)
