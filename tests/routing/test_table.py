from collections import Counter
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis.strategies import binary, booleans, floats, integers, lists, sampled_from, text
from scipy.stats import binom, chi2_contingency

from sidecar.routing.matching import Rule
from sidecar.routing.sticky import Address, Cookie, Header, Pointer
from sidecar.routing.table import POINTS, Choice, RoutingTable, Variant, points
from sidecar.wire.http1 import parse_request
from sidecar.wire.message import RequestHead

PICKS = 100_000
MANY = 1_000_000
USERS = 20_000
WEIGHTS = floats(0.01, 100.0)
NEVER = 1e-6
"""How often a seeded share may be outside its bounds; the seeds are fixed, so that it is once and for all."""


def table_of(*weights: float) -> RoutingTable:
    return RoutingTable(tuple(Variant(f"v{number}", weight=weight) for number, weight in enumerate(weights)))


def request(lines: bytes = b"", target: bytes = b"/") -> RequestHead:
    return parse_request(b"GET %b HTTP/1.1\r\nHost: a\r\n%b" % (target, lines))


HEAD = request()


def by_address(*variants: Variant, salt: str = "", fallback: str | None = None) -> RoutingTable:
    return RoutingTable(variants, sticky=Address(), salt=salt, fallback=fallback)


def weighed(**weights: float) -> RoutingTable:
    return by_address(*(Variant(name, weight=weight) for name, weight in weights.items()))


def choice(table: RoutingTable, user: int | bytes, request_id: bytes = b"r") -> Choice:
    return table.choose(HEAD, request_id, address=b"%d" % user if isinstance(user, int) else user)


def served(table: RoutingTable, users: int = USERS) -> list[str]:
    """Who serves the users 0 to `users`."""
    return [choice(table, user).variant.name for user in range(users)]


def within_chance(count: int, picks: int, share: float) -> bool:
    low, high = binom.ppf((NEVER, 1 - NEVER), picks, share)
    return bool(low <= count <= high)


@pytest.mark.parametrize(
    ("request_id", "split", "sample"),
    [
        (b"", 3836125271, 1954132660),
        (b"a", 1090035257, 1533428271),
        (b"0af7651916cd43dd8448eb211c80319c", 2407039285, 4214830526),
        (b"\xff\x00", 2347338301, 349446379),
    ],
)
def test_points_are_the_same_in_every_release(request_id: bytes, split: int, sample: int) -> None:
    assert points(request_id) == (split, sample)


def test_the_two_points_of_a_request_are_independent() -> None:
    counts = [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
    for number in range(PICKS // 5):
        split, sample = points(b"%d" % number)
        counts[split * 3 // POINTS][sample * 3 // POINTS] += 1

    assert chi2_contingency(counts).pvalue > 0.001


@pytest.mark.parametrize("weights", [(1.0,), (90.0, 10.0), (1.0, 1.0, 1.0), (0.001, 0.999), (5.0, 0.0, 3.0)])
def test_shares_are_the_weights_within_chance(weights: tuple[float, ...]) -> None:
    table = table_of(*weights)
    counts = dict.fromkeys(table.variants, 0)
    for number in range(PICKS):
        counts[table.pick(points(b"request-%d" % number)[0])] += 1

    for variant, count in counts.items():
        assert within_chance(count, PICKS, variant.weight / sum(weights))


@given(lists(floats(0.0, 1e6), min_size=1, max_size=10).filter(any))
def test_shares_are_exact_to_a_point(weights: list[float]) -> None:
    table = table_of(*weights)
    starts = [0, *table._ends]

    assert starts[-1] == POINTS
    for variant, start, end in zip(table.variants, starts[:-1], starts[1:], strict=True):
        exact = Fraction(variant.weight) / sum(map(Fraction, weights)) * POINTS
        assert abs(end - start - exact) <= 2
        assert start == end or table.pick(start) == table.pick(end - 1) == variant


@given(integers(0, POINTS - 1), sampled_from([(0.0, 1.0), (1.0, 0.0), (0.0, 1.0, 0.0)]))
def test_a_weight_of_zero_is_never_picked(point: int, weights: tuple[float, ...]) -> None:
    assert table_of(*weights).pick(point).weight == 1.0


@given(integers(0, POINTS - 1))
def test_more_weight_for_the_first_takes_nobody_from_it(point: int) -> None:
    before, after = table_of(1.0, 9.0), table_of(2.0, 8.0)

    assert before.pick(point).name != "v0" or after.pick(point).name == "v0"


@pytest.mark.parametrize("weights", [(), (0.0,), (0.0, 0.0), (float("nan"),)])
def test_a_table_without_weight_is_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="no variant has a weight above 0"):
        table_of(*weights)


def test_a_table_is_immutable() -> None:
    table = table_of(1.0)
    with pytest.raises(FrozenInstanceError):
        table.variants = ()  # type: ignore[misc]  # as a caller without types would


def test_a_million_users_are_shared_out_by_weight() -> None:
    table = weighed(champion=99, challenger=1)
    counts = Counter(table.choose(HEAD, b"r", address=b"%d" % user).drawn for user in range(MANY))

    assert within_chance(counts["challenger"], MANY, 0.01)
    assert counts.total() == MANY


def test_a_million_requests_are_shared_out_by_weight() -> None:
    table = table_of(90, 9, 1)
    counts = Counter(table.pick(points(b"%d" % number)[0]).name for number in range(MANY))

    for name, share in (("v0", 0.9), ("v1", 0.09), ("v2", 0.01)):
        assert within_chance(counts[name], MANY, share)


@pytest.mark.parametrize("arms", [2, 3, 16])
def test_many_arms_share_evenly(arms: int) -> None:
    counts = Counter(served(weighed(**{f"arm{number}": 1 for number in range(arms)})))

    assert len(counts) == arms
    assert all(within_chance(count, USERS, 1 / arms) for count in counts.values())


def test_a_user_stays_whatever_the_request() -> None:
    table = RoutingTable([Variant("a"), Variant("b")], sticky=Header("x-user"))
    heads = [request(b"X-User: 7\r\n"), request(b"A: 1\r\nx-user:  7 \r\n", b"/other?x")]
    choices = [table.choose(head, b"%d" % number) for head in heads for number in range(50)]

    assert len({(each.variant, each.drawn, each.unit, each.keyed) for each in choices}) == 1
    assert len({each.sample for each in choices}) == 50


def test_the_same_users_get_the_same_variant_in_every_release() -> None:
    table = by_address(Variant("champion", weight=3), Variant("challenger", weight=2), salt="first")
    choices = [choice(table, user) for user in range(8)]

    assert [each.drawn == "champion" for each in choices] == [True, False, True, True, False, True, False, True]
    assert choices[0].unit == 13121907426143720792


@given(text(max_size=4), binary(min_size=1, max_size=8), lists(WEIGHTS, min_size=1, max_size=4))
def test_nobody_moves_by_order_version_or_unit_of_weight(salt: str, user: bytes, weights: list[float]) -> None:
    variants = [Variant("abcd"[place], weight=weight) for place, weight in enumerate(weights)]
    other = [replace(each, version="2", weight=each.weight * 4) for each in reversed(variants)]

    assert choice(by_address(*variants, salt=salt), user).drawn == choice(by_address(*other, salt=salt), user).drawn


@given(
    binary(min_size=1, max_size=8),
    lists(floats(0.0, 100.0), min_size=4, max_size=4),
    sampled_from("abcd"),
    floats(0.01, 100.0),
)
def test_more_weight_moves_users_to_it_only(user: bytes, weights: list[float], name: str, more: float) -> None:
    before = dict(zip("abcd", weights, strict=True)) | {"a": weights[0] + 0.01}
    after = before | {name: before[name] + more}
    old, new = choice(weighed(**before), user).drawn, choice(weighed(**after), user).drawn

    assert new in (old, name)


@given(binary(min_size=1, max_size=8), lists(WEIGHTS, min_size=4, max_size=4), sampled_from("abcd"), floats(0.0, 1.0))
def test_less_weight_moves_users_from_it_only(user: bytes, weights: list[float], name: str, part: float) -> None:
    before = dict(zip("abcd", weights, strict=True))
    after = before | {name: before[name] * part}
    old, new = choice(weighed(**before), user).drawn, choice(weighed(**after), user).drawn

    assert old in (new, name)


@given(binary(min_size=1, max_size=8), lists(WEIGHTS, min_size=2, max_size=4), WEIGHTS)
def test_a_variant_that_comes_or_goes_moves_its_own_users_only(user: bytes, weights: list[float], more: float) -> None:
    few = dict(zip("abcd", weights, strict=False))
    without, beside = choice(weighed(**few), user).drawn, choice(weighed(**few, new=more), user).drawn

    assert beside in (without, "new")


@given(binary(min_size=1, max_size=8), lists(WEIGHTS, min_size=1, max_size=3))
def test_a_variant_without_weight_is_as_one_that_is_not_there(user: bytes, weights: list[float]) -> None:
    few = dict(zip("abc", weights, strict=False))

    assert choice(weighed(**few), user).drawn == choice(weighed(**few, off=0.0), user).drawn


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 90, "b": 10}, {"a": 80, "b": 20}),
        ({"a": 99, "b": 1}, {"a": 95, "b": 5}),
        ({"a": 5, "b": 3, "c": 2}, {"a": 5, "b": 6, "c": 2}),
        ({"a": 5, "b": 3, "c": 2}, {"a": 5, "b": 3, "c": 0}),
    ],
)
def test_as_few_users_move_as_can_be(before: dict[str, float], after: dict[str, float]) -> None:
    old, new = served(weighed(**before)), served(weighed(**after))
    moved = sum(one != other for one, other in zip(old, new, strict=True))
    apart = [before[name] / sum(before.values()) - after[name] / sum(after.values()) for name in before]

    assert within_chance(moved, USERS, sum(map(abs, apart)) / 2)


def test_two_salts_deal_independently() -> None:
    variants = [Variant("a", weight=3), Variant("b", weight=2), Variant("c", weight=1)]
    pairs = Counter(
        zip(served(by_address(*variants, salt="one")), served(by_address(*variants, salt="two")), strict=True)
    )

    assert chi2_contingency([[pairs[one, other] for other in "abc"] for one in "abc"]).pvalue > 0.001


@pytest.mark.parametrize(
    ("one", "other"), [(("ab", "c"), ("a", "bc")), (("", "ab"), ("ab", "")), (("a", ""), ("", "a"))]
)
def test_salt_and_name_and_key_do_not_run_into_each_other(one: tuple[str, str], other: tuple[str, str]) -> None:
    units = [choice(by_address(Variant("v"), salt=salt), b"%bx" % key.encode()).unit for salt, key in (one, other)]
    seeds = [by_address(Variant(f"{name}x"), salt=salt)._arms[0][0] for salt, name in (one, other)]

    assert units[0] != units[1]
    assert seeds[0] != seeds[1]


def test_a_salt_may_be_any_text() -> None:
    assert choice(by_address(Variant("v"), salt="\ud800"), 1).keyed


@pytest.mark.parametrize("bits", [slice(0, 2), slice(-2, None)])
def test_a_unit_is_independent_of_the_split(bits: slice) -> None:
    for table in (weighed(a=1, b=1), table_of(1, 1)):
        counts: Counter[tuple[str, str]] = Counter()
        for user in range(USERS):
            picked = table.choose(HEAD, b"%d" % user, address=b"%d" % user)
            counts[picked.drawn, f"{picked.unit:064b}"[bits]] += 1

        names, parts = {name for name, _ in counts}, ("00", "01", "10", "11")
        assert chi2_contingency([[counts[name, part] for part in parts] for name in names]).pvalue > 0.001


def test_a_sample_is_of_the_request_and_not_of_the_user() -> None:
    tables = [weighed(a=1, b=1), weighed(c=3, d=1), table_of(1.0)]

    assert {choice(table, user, b"id").sample for table in tables for user in range(9)} == {points(b"id")[1]}


def test_without_a_key_the_request_id_splits() -> None:
    sticky, plain = RoutingTable(table_of(3, 1).variants, sticky=Header("x-user")), table_of(3, 1)
    for number in range(200):
        assert sticky.choose(HEAD, b"%d" % number) == plain.choose(HEAD, b"%d" % number)
        assert plain.choose(HEAD, b"%d" % number).variant == plain.pick(points(b"%d" % number)[0])


@pytest.mark.parametrize(
    ("table", "keyed"),
    [
        (weighed(a=1), True),
        (RoutingTable([Variant("a")], sticky=Cookie("user")), False),
        (table_of(1.0), False),
    ],
)
def test_a_choice_says_whether_there_was_a_key(table: RoutingTable, keyed: bool) -> None:
    assert choice(table, 7).keyed == keyed


def test_a_body_is_needed_for_a_pointer_only() -> None:
    table = RoutingTable([Variant("a"), Variant("b")], sticky=Pointer("/user"))

    assert table.needs_body
    assert not weighed(a=1).needs_body
    assert not table_of(1.0).needs_body
    assert table.choose(HEAD, b"1", body=b'{"user": 7}')[2:] == (*table.choose(HEAD, b"1", body=b'{"user":"7"}')[2:],)
    assert not table.choose(HEAD, b"1", body=None).keyed


def test_the_address_is_needed_where_it_is_the_key() -> None:
    assert weighed(a=1).needs_address
    assert not RoutingTable([Variant("a")], sticky=Header("x")).needs_address
    assert not table_of(1.0).needs_address


@given(lists(sampled_from([0.0, 5e-324, 1e-300, 1.0, 1e9, 1e300]), min_size=1, max_size=4).filter(any), binary())
def test_weights_of_any_size_are_served(weights: list[float], user: bytes) -> None:
    variants = [Variant("abcd"[place], weight=weight) for place, weight in enumerate(weights)]
    for ratio in (1.0, 0.5, 0.0):
        table = by_address(*(replace(each, available=ratio) for each in variants))
        assert choice(table, user or b"x").variant.weight > 0


def with_override(*variants: Variant) -> RoutingTable:
    return RoutingTable(variants, override_header="X-Variant", rules=[Rule("b", path="/b*")])


@pytest.mark.parametrize(
    ("lines", "target", "name"),
    [
        (b"X-Variant: c\r\n", b"/", "c"),
        (b"x-variant:c \r\n", b"/b", "c"),
        (b"X-Variant: c\r\nX-Variant: b\r\n", b"/", "c"),
        (b"X-Variant: C\r\n", b"/", "a"),
        (b"X-Variant: d\r\n", b"/", "a"),
        (b"X-Variant: d\r\n", b"/b", "b"),
        (b"X-Variant:\r\n", b"/", "a"),
        (b"X-Variant: \xff\r\n", b"/", "a"),
        (b"X-Variant: gone\r\n", b"/", "a"),
        (b"", b"/b", "b"),
        (b"", b"/", "a"),
    ],
)
def test_the_override_field_comes_before_rules_and_these_before_the_split(
    lines: bytes, target: bytes, name: str
) -> None:
    off = [Variant(name, weight=0.0) for name in "bc"]
    table = with_override(Variant("a"), *off, Variant("gone", weight=0.0, available=0.0))
    chosen = table.choose(request(lines, target), b"1")

    assert chosen.variant.name == name
    assert chosen.drawn == ("a" if name == "a" else "")


def test_an_override_reaches_a_variant_on_its_way_back() -> None:
    table = with_override(Variant("a"), Variant("b"), Variant("c", available=1e-9))

    assert table.choose(request(b"X-Variant: c\r\n"), b"1").variant.name == "c"


def test_the_first_rule_that_fits_counts() -> None:
    rules = [Rule("b", path="/x*"), Rule("c", path="/x*"), Rule("c", methods=("GET",)), Rule("b")]
    table = RoutingTable([Variant("a"), Variant("b"), Variant("c")], rules=rules)

    assert table.choose(request(target=b"/xy"), b"1").variant.name == "b"
    assert table.choose(request(target=b"/y"), b"1").variant.name == "c"


def test_a_choice_apart_from_the_split_has_the_user_all_the_same() -> None:
    rules = [Rule("b", path="/b")]
    table = RoutingTable([Variant("a"), Variant("b")], sticky=Header("x-user"), rules=rules)
    lines = b"X-User: 7\r\n"
    ruled, split = table.choose(request(lines, b"/b"), b"1"), table.choose(request(lines), b"1")

    assert (ruled.unit, ruled.sample, ruled.keyed) == (split.unit, split.sample, split.keyed)
    assert (ruled.drawn, ruled.keyed) == ("", True)


@pytest.mark.parametrize(
    ("fallback", "available", "name"),
    [(None, 0.0, "b"), ("c", 0.0, "c"), ("b", 0.0, "b"), ("gone", 0.0, "b"), ("c", 1.0, "b")],
)
def test_a_rule_gives_way_to_the_fallback_only(fallback: str | None, available: float, name: str) -> None:
    variants = [Variant("a"), Variant("b", available=available), Variant("c"), Variant("gone", available=0.0)]
    table = RoutingTable(variants, rules=[Rule("b")], fallback=fallback)

    assert table.choose(HEAD, b"1").variant.name == name


@given(binary(min_size=1, max_size=8), lists(WEIGHTS, min_size=2, max_size=4), booleans())
def test_an_ejected_variant_serves_nobody(user: bytes, weights: list[float], keyed: bool) -> None:
    variants = [Variant("abcd"[place], weight=weight) for place, weight in enumerate(weights)]
    whole = RoutingTable(variants, sticky=Address() if keyed else None)
    table = replace(whole, variants=[replace(variants[0], available=0.0), *variants[1:]])
    before, after = whole.choose(HEAD, user, address=user), table.choose(HEAD, user, address=user)

    assert after.variant.name != "a"
    assert after.drawn == before.drawn
    assert before.drawn in ("a", after.variant.name)


@given(binary(min_size=1, max_size=8), lists(WEIGHTS, min_size=2, max_size=4))
def test_a_users_place_during_a_failure_is_that_after_a_removal(user: bytes, weights: list[float]) -> None:
    variants = [Variant("abcd"[place], weight=weight) for place, weight in enumerate(weights)]
    ejected = by_address(replace(variants[0], available=0.0), *variants[1:])

    assert choice(ejected, user).variant.name == choice(by_address(*variants[1:]), user).variant.name


@given(binary(min_size=1, max_size=8), floats(0.0, 1.0), floats(0.0, 1.0), booleans())
def test_whoever_is_back_stays_while_a_variant_returns(user: bytes, early: float, late: float, keyed: bool) -> None:
    early, late = sorted((early, late))
    names = []
    for ratio in (early, late):
        table = RoutingTable([Variant("a", available=ratio), Variant("b")], sticky=Address() if keyed else None)
        names.append(table.choose(HEAD, user, address=user).variant.name)

    assert names[0] == "b" or names[1] == "a" or names[0] == names[1]


@pytest.mark.parametrize("sticky", [Address(), None])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_a_returning_variant_serves_its_part(ratio: float, sticky: Address | None) -> None:
    table = RoutingTable([Variant("a", weight=3, available=ratio), Variant("b", weight=2)], sticky=sticky)
    choices = [table.choose(HEAD, b"%d" % user, address=b"%d" % user) for user in range(USERS)]
    drawn = [each for each in choices if each.drawn == "a"]

    assert within_chance(len(drawn), USERS, 0.6)
    assert within_chance(sum(each.variant.name == "a" for each in drawn), len(drawn), ratio)
    assert {each.variant.name for each in choices if each.drawn == "b"} == {"b"}


@pytest.mark.parametrize("sticky", [Address(), None])
def test_the_others_share_by_weight_and_availability(sticky: Address | None) -> None:
    variants = [
        Variant("a", weight=4, available=0.0),
        Variant("b", weight=4, available=0.25),
        Variant("c", weight=1),
        Variant("d", weight=2),
        Variant("off", weight=0),
    ]
    table = RoutingTable(variants, sticky=sticky)
    choices = [table.choose(HEAD, b"%d" % user, address=b"%d" % user) for user in range(USERS)]
    counts = Counter(each.variant.name for each in choices if each.drawn == "a")

    assert set(counts) == {"b", "c", "d"}
    for name, share in (("b", 0.25), ("c", 0.25), ("d", 0.5)):
        assert within_chance(counts[name], counts.total(), share)


@pytest.mark.parametrize(
    ("fallback", "available", "name"),
    [("c", 1.0, "c"), ("c", 0.01, "c"), ("c", 0.0, "b"), ("a", 1.0, "b"), (None, 1.0, "b")],
)
def test_the_fallback_serves_where_it_can(fallback: str | None, available: float, name: str) -> None:
    variants = [
        Variant("a", weight=1e9, available=0.0),
        Variant("b", weight=1e-9),
        Variant("c", weight=0, available=available),
    ]
    for user in range(20):
        assert choice(by_address(*variants, fallback=fallback), user).variant.name == name


def test_where_nobody_is_available_the_drawn_one_serves() -> None:
    table = by_address(Variant("a", available=0.0), Variant("b", available=0.0), fallback="b")
    choices = [choice(table, user) for user in range(20)]

    assert [each.variant.name for each in choices] == [each.drawn for each in choices]
    assert {each.drawn for each in choices} == {"a", "b"}


def test_a_single_variant_serves_whatever_its_state() -> None:
    assert choice(by_address(Variant("a", available=0.0)), 1).variant.name == "a"
    assert choice(by_address(Variant("a", available=0.5)), 1).variant.name == "a"


@given(binary(min_size=1, max_size=8), lists(WEIGHTS, min_size=2, max_size=4), booleans())
def test_instead_of_a_variant_that_failed_serves_who_would_if_it_were_ejected(
    user: bytes, weights: list[float], keyed: bool
) -> None:
    variants = [Variant("abcd"[place], weight=weight) for place, weight in enumerate(weights)]
    whole = RoutingTable(variants, sticky=Address() if keyed else None)
    chosen = whole.choose(HEAD, user, address=user)
    ejected = [replace(each, available=float(each.name != chosen.drawn)) for each in variants]

    assert whole.instead(chosen) == replace(whole, variants=ejected).choose(HEAD, user, address=user).variant


def test_instead_of_the_only_one_nobody_serves() -> None:
    table = by_address(Variant("a"), Variant("b", available=0.0), Variant("c", weight=0))

    assert table.instead(choice(table, 1)) is None


@pytest.mark.parametrize(("fallback", "name"), [(None, None), ("b", None), ("c", "c")])
def test_instead_of_a_rules_variant_only_the_fallback_serves(fallback: str | None, name: str | None) -> None:
    table = RoutingTable([Variant("a"), Variant("b"), Variant("c")], rules=[Rule("b")], fallback=fallback)
    other = table.instead(table.choose(HEAD, b"1"))

    assert (other.name if other else None) == name


@pytest.mark.parametrize(
    ("rules", "fallback", "message"),
    [
        ([Rule("a"), Rule("x")], None, r"rules\[1\]: no variant is called 'x'"),
        ([], "x", "fallback: no variant is called 'x'"),
        ([], "", "fallback: no variant is called ''"),
        ([], "\ud800", "fallback: no variant is called"),
    ],
)
def test_unknown_names_are_refused(rules: list[Rule], fallback: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RoutingTable([Variant("a")], rules=rules, fallback=fallback)
