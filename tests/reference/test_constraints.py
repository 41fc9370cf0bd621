from sidecar.reference.constraints import GENERATED, MAX_DOMAIN, Constraint, Constraints, Monitoring, suggested
from sidecar.reference.profile import Categories, Numbers, Profile, Profiles


def numbers(minimum: float) -> Numbers:
    return Numbers(mean=1.0, total=3.0, std=0.0, minimum=minimum, maximum=1.0, sketch=None)


def test_what_is_suggested_holds_for_the_data() -> None:
    few = {"a": 2, "b": 1}
    many = {str(number): 1 for number in range(MAX_DOMAIN + 1)}
    constraints = suggested(
        Profiles(
            4,
            [
                Profile("amount", "Fractional", 3, 1, numbers=numbers(0.0)),
                Profile("balance", "Fractional", 4, 0, numbers=numbers(-0.5)),
                Profile("country", "String", 3, 1, categories=Categories(2, few)),
                Profile("note", "String", 4, 0, categories=Categories(len(many), many)),
                Profile("folded", "String", 4, 0, categories=Categories(3, few)),
                Profile("empty", "Unknown", 0, 4),
            ],
        )
    )

    told = [(each.name, each.completeness, each.non_negative, each.domain) for each in constraints.features]
    assert told == [
        ("amount", 0.75, True, None),
        ("balance", 1.0, False, None),
        ("country", 0.75, False, ["a", "b"]),
        ("note", 1.0, False, None),
        ("folded", 1.0, False, None),
        ("empty", 0.0, False, None),
    ]
    assert constraints.monitoring == GENERATED


def test_what_somebody_has_chosen_holds_on() -> None:
    """How strict the checks are, and the ranges; what the data say is learned anew."""
    whole, own = Monitoring(emits=False), Monitoring(comparison_threshold=0.3)
    earlier = Constraints(
        [
            Constraint(
                "amount", "Integral", 1.0, non_negative=True, domain=None, monitoring=own, minimum=-5, maximum=9
            ),
            Constraint("gone", "Integral", 1.0, non_negative=True, domain=None, monitoring=own),
        ],
        whole,
    )
    profiles = Profiles(
        4,
        [
            Profile("amount", "Fractional", 3, 1, numbers=numbers(-2.0)),
            Profile("new", "Fractional", 4, 0, numbers=numbers(0.0)),
        ],
    )

    amount, new = suggested(profiles, earlier).features

    assert suggested(profiles, earlier).monitoring == whole
    assert amount == Constraint(
        "amount", "Fractional", 0.75, non_negative=False, domain=None, monitoring=own, minimum=-5, maximum=9
    )
    assert new == Constraint("new", "Fractional", 1.0, non_negative=True, domain=None, monitoring=whole)


def test_nothing_is_suggested_for_data_without_columns() -> None:
    assert suggested(Profiles(0, ())) == Constraints([], GENERATED)
