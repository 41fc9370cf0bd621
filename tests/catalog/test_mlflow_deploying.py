from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalog.mlflow_deploying import Order, Registry, orders
from sidecar.catalog.mlflow_replies import Tag, VersionDocument
from sidecar.catalog.mlflow_versions import deployments
from sidecar.ports import Serving

GROUP = "fraud"
NOW_S = 1_785_412_800.0


Weights = Mapping[str, tuple[str, float]]
"""Version and weight of each variant."""


@dataclass
class Server:
    """Three versions, and what orders make of them."""

    aliases: dict[str, int] = field(default_factory=dict)
    tags: dict[int, dict[str, str]] = field(default_factory=lambda: {1: {}, 2: {}, 3: {}})

    def registry(self) -> Registry:
        documents = [
            VersionDocument(GROUP, number, tags=[Tag(key, text) for key, text in said.items()])
            for number, said in self.tags.items()
        ]
        return Registry(
            group=GROUP, versions=documents, aliases=self.aliases, champion="champion", challenger="challenger"
        )

    def take(self, order: Order) -> None:
        told = {key: str(text) for key, text in order.document.items()}
        number = int(told["version"])
        match order.what:
            case "registered-models/alias":
                self.aliases[told["alias"]] = number
            case "model-versions/set-tag":
                self.tags[number][told["key"]] = told["value"]
            case "model-versions/delete-tag":
                del self.tags[number][told["key"]]
            case other:
                raise AssertionError(other)

    def orders(self, passed_s: float, weights: Weights) -> list[Order]:
        serving = [Serving(variant, version, weight) for variant, (version, weight) in weights.items()]
        return orders(self.registry(), serving, by="us", why="", now_s=NOW_S + passed_s)

    def deploy(self, passed_s: float, weights: Weights, most: int | None = None) -> int:
        """How many orders there were; only so many are sent."""
        found = self.orders(passed_s, weights)
        for each in found[:most]:
            self.take(each)
        return len(found)

    def open(self) -> dict[str, tuple[int, float]]:
        """Version and weight behind each variant."""
        return {
            each.variant: (document.version, each.weight)
            for document in self.registry().versions
            for each in deployments(document)
            if each.until_s is None
        }


def test_the_champion_is_who_newly_has_all_of_the_traffic() -> None:
    server = Server()
    for passed_s, first, second, expected in (
        (0, 100.0, 0.0, 1),
        (1, 90.0, 10.0, 1),
        (2, 0.0, 100.0, 2),
        (3, 100.0, 0.0, 1),
        (4, 0.0, 0.0, 1),
    ):
        server.deploy(passed_s, {"a": ("1", first), "b": ("2", second)})
        assert server.aliases["champion"] == expected


def test_two_variants_with_one_version_make_it_the_champion() -> None:
    server = Server()
    server.deploy(0, {"a": ("2", 50.0), "b": ("2", 50.0)})
    assert server.aliases == {"champion": 2}


def test_nobody_is_the_champion_beside_a_version_that_nobody_registered() -> None:
    server = Server()
    server.deploy(0, {"a": ("1", 50.0), "b": ("unknown", 50.0)})
    assert server.aliases == {}


def test_the_challenger_is_who_newly_has_a_part_beside_the_champion() -> None:
    server = Server()
    server.deploy(0, {"a": ("1", 100.0)})
    server.deploy(1, {"a": ("1", 90.0), "b": ("2", 10.0)})
    assert server.aliases == {"champion": 1, "challenger": 2}
    server.deploy(2, {"a": ("1", 90.0), "b": ("3", 10.0)})
    assert server.aliases == {"champion": 1, "challenger": 3}
    server.aliases["challenger"] = 2  # by hand
    server.deploy(3, {"a": ("1", 80.0), "b": ("3", 20.0)})
    assert server.aliases == {"champion": 1, "challenger": 2}


def test_of_two_that_are_new_at_once_none_is_the_challenger() -> None:
    server = Server()
    server.deploy(0, {"a": ("1", 50.0), "b": ("2", 50.0)})
    assert server.aliases == {}


def test_aliases_that_were_there_first_are_left() -> None:
    server = Server({"champion": 3, "challenger": 1})
    server.deploy(0, {"a": ("1", 100.0)})
    assert server.aliases == {"champion": 3, "challenger": 1}


def test_what_is_said_by_an_alias_is_the_version_that_it_means() -> None:
    server = Server({"champion": 2})
    server.deploy(0, {"a": ("@champion", 100.0), "b": ("@nobody", 0.0)})
    assert server.open() == {"a": (2, 100.0)}


def test_what_has_no_weight_or_none_that_is_a_number_does_not_serve() -> None:
    server = Server()
    assert server.deploy(0, {"a": ("1", 0.0), "b": ("2", float("nan")), "c": ("3", -1.0)}) == 0


def test_a_tag_that_could_not_be_taken_away_goes_with_the_next_call() -> None:
    server = Server()
    server.deploy(0, {"a": ("1", 50.0), "b": ("1", 50.0)})
    server.deploy(1, {}, most=1)
    assert (server.open(), len(server.tags[1])) == ({}, 3)
    assert server.deploy(2, {}) == 2
    assert set(server.tags[1]) == {"sidecar.deployments"}


WEIGHTS = st.dictionaries(
    st.sampled_from("abc"), st.tuples(st.sampled_from(["1", "2", "3", "4"]), st.sampled_from([0.0, 10.0, 100.0]))
)


@given(st.lists(WEIGHTS, min_size=1, max_size=6))
def test_what_is_noted_is_what_serves_and_to_say_it_again_changes_nothing(
    story: list[Weights],
) -> None:
    server = Server()
    for passed_s, weights in enumerate(story):
        server.deploy(passed_s, weights)
        expected = {v: (int(n), weight) for v, (n, weight) in weights.items() if weight > 0 and n != "4"}
        assert server.open() == expected
        assert server.deploy(passed_s + 0.5, weights) == 0


@given(st.lists(WEIGHTS, max_size=3), WEIGHTS)
def test_a_call_that_was_cut_off_anywhere_is_made_whole_by_making_it_again(story: list[Weights], last: Weights) -> None:
    before = Server()
    before.deploy(0, {"z": ("1", 1.0)})  # with nothing noted before, aliases of others are respected
    for passed_s, weights in enumerate(story):
        before.deploy(passed_s + 1, {"z": ("1", 1.0), **weights})
    whole = deepcopy(before)
    for cut in range(whole.deploy(99, last)):
        broken = deepcopy(before)
        broken.deploy(99, last, most=cut)
        broken.deploy(99, last)
        assert broken == whole


def test_of_two_that_a_call_left_behind_a_variant_the_latest_was_replaced() -> None:
    server = Server()
    server.deploy(0, {"a": ("2", 100.0)})
    server.deploy(1, {"a": ("1", 100.0)}, most=2)
    server.deploy(2, {"a": ("3", 100.0)})
    assert server.open() == {"a": (3, 100.0)}
    assert '"replaced":"1"' in server.tags[3]["sidecar.deployment.a"]


def test_who_is_the_champion_already_is_no_challenger() -> None:
    server = Server()
    server.deploy(0, {"a": ("1", 100.0)})
    server.aliases["champion"] = 3  # by hand
    server.deploy(1, {"a": ("1", 90.0), "b": ("3", 10.0)})
    assert server.aliases == {"champion": 3}


def test_an_alias_that_is_where_it_belongs_is_not_sent_again() -> None:
    server = Server()
    server.deploy(0, {"a": ("1", 100.0)})
    server.aliases |= {"champion": 2, "challenger": 3}  # by hand
    assert [each.what for each in server.orders(1, {"a": ("2", 100.0)}) if "alias" in each.what] == []
    assert [each.what for each in server.orders(1, {"a": ("1", 90.0), "b": ("3", 10.0)}) if "alias" in each.what] == []
