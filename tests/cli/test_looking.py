from sidecar.cli.admin import Admin
from sidecar.cli.looking import FORMAT, Captures, drifting, look
from sidecar.config.addresses import parse_upstream
from tests.cli.served import served


def test_a_look_reads_what_a_sidecar_answers() -> None:
    with served() as found:
        admin = Admin(parse_upstream(found.url), "")
        seen, columns = look(admin), drifting(admin)

    assert [each.name for each in seen.overview.variants] == [each.name for each in seen.status.variants]
    assert (seen.status.ready, seen.firing, seen.well) == (True, [], True)
    assert columns.variants == []


def test_of_one_variant_alone_the_headline_says_it_all() -> None:
    with served() as found:
        seen = look(Admin(parse_upstream(found.url), ""))
    first = seen.overview.variants[0]
    seen.overview.headline.sentence = first.sentence

    assert [each.name for each in seen.of_variants] == [each.name for each in seen.overview.variants[1:]]


def test_bodies_that_could_not_be_decoded_are_told_where_they_are_most() -> None:
    assert Captures({"default": 500}, {"format": 499}).undecoded == ""
    assert Captures().undecoded == ""
    assert Captures({}, {"json": 1}).undecoded == "1 captured body could not be decoded (json 1), 0 rows could"
    assert Captures({"default": 24}, {"shape": 1000, "format": 200}).undecoded == (
        f"1,200 captured bodies could not be decoded (format 200, shape 1,000), 24 rows could; {FORMAT}"
    )
