import pytest
from msgspec.structs import replace

from sidecar.config.routes import merged, parse_routes, routes_of, with_routes
from sidecar.config.schema import (
    Config,
    Shadow,
    Split,
    SplitRule,
    Sticky,
    UpstreamTls,
    Variant,
)
from sidecar.errors import ConfigError
from sidecar.records import JSON

A, B = Variant(url="http://a"), Variant(url="https://b", version="2", weight=0.1, tls=UpstreamTls(verify=False))
SPLIT = Split(
    sticky=Sticky(header="X-User", max_body_bytes=9),
    salt="s",
    override_header="x-v",
    rules=(SplitRule(variant="a", path="/x/*", methods=("GET",), header="x", value="1?"),),
    fallback="a",
)
FULL = Config(variants={"a": A, "b": B}, split=SPLIT, shadow=Shadow(variant="b", ratio=0.5, concurrency=3))


@pytest.mark.parametrize("config", [Config(), Config(upstream="http://m"), Config(variants={"a": A}), FULL])
def test_a_document_says_all_that_was_configured(config: Config) -> None:
    routes = routes_of(config)
    again = parse_routes(routes.document)
    assert again == routes
    assert again.fingerprint == routes.fingerprint
    assert merged(config, again) == config


def test_routes_that_differ_have_other_fingerprints() -> None:
    others = [
        FULL,
        replace(FULL, shadow=None),
        replace(FULL, split=Split()),
        replace(FULL, variants={"a": A}),
        replace(FULL, variants={"a": A, "b": replace(B, weight=0.2)}),
    ]
    assert len({routes_of(config).fingerprint for config in others}) == len(others)


def test_the_order_of_variants_makes_no_difference() -> None:
    turned = replace(FULL, variants={"b": B, "a": A})
    assert routes_of(turned).fingerprint == routes_of(FULL).fingerprint


def test_weights_change_those_that_are_named() -> None:
    weighed = routes_of(FULL).weighed({"a": 7.0})
    assert {name: variant.weight for name, variant in weighed.variants.items()} == {"a": 7.0, "b": 0.1}
    assert (weighed.variants["b"], weighed.split, weighed.shadow) == (B, FULL.split, FULL.shadow)


def test_an_alias_is_its_version_where_that_is_known_and_itself_elsewhere() -> None:
    said = {"a": "@champion", "b": "@new", "c": "3", "d": ""}
    routes = routes_of(Config(variants={name: replace(A, version=each) for name, each in said.items()}))
    assert routes.aliases == {"a": "@champion", "b": "@new"}
    resolved = routes.resolved({"@champion": "7", "@other": "9"})
    assert {name: each.version for name, each in resolved.variants.items()} == {**said, "a": "7"}
    assert resolved.variants["a"] == replace(A, version="7")
    assert (resolved.split, resolved.shadow) == (routes.split, routes.shadow)


@pytest.mark.parametrize(
    ("document", "faults"),
    [
        (None, ["expected a mapping of variants, split, shadow"]),
        (["variants"], ["expected a mapping of variants, split, shadow"]),
        ({"listen": "a"}, ["listen: unknown key; expected one of variants, split, shadow"]),
        ({"variants": 7}, ["variants: expected a mapping, got 7"]),
        (
            {"variants": {"a": {"url": "http://a", "weight": "x"}}, "shadow": {"variant": "a"}},
            [
                'variants.a.weight: expected a number >= 0 and <= 1000000000, got "x"',
                "shadow.ratio: missing; expected a number >= 0 and <= 1",
            ],
        ),
    ],
)
def test_every_fault_is_told_by_its_path(document: JSON, faults: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_routes(document)
    assert [str(fault) for fault in caught.value.faults] == faults


def test_routes_take_the_place_of_an_upstream_and_give_it_back() -> None:
    config = Config(upstream="http://m")
    routed = with_routes(config, routes_of(FULL))
    assert (routed.upstream, routed.variants) == (None, FULL.variants)
    assert with_routes(config, routes_of(Config())) == config


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({}, "upstream: missing; expected an upstream, or variants with a url each"),
        (
            {"variants": {"a": {"url": "http://a", "weight": 0}}},
            "variants: no weight above 0; expected at least one variant that takes traffic",
        ),
        (
            {"variants": {"a": {"url": "http://a"}}, "shadow": {"variant": "b", "ratio": 1}},
            "shadow.variant: b is no variant, expected one of a",
        ),
    ],
)
def test_what_does_not_fit_the_rest_is_refused(document: JSON, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_routes(FULL, parse_routes(document))
    assert [str(each) for each in caught.value.faults] == [fault]
