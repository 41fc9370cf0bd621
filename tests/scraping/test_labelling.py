import pytest

from sidecar.scraping.labelling import Labelling

OWN = {"feature_flag.result.variant": "champion", "sidecar.version": "3"}


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"feature_flag_result_variant": "x"}, ["exported_feature_flag_result_variant"]),
        (
            {"exported_sidecar_version": "x", "sidecar_version": "y"},
            ["exported_sidecar_version", "exported_exported_sidecar_version"],
        ),
        ({"feature_flag.result.variant": "x"}, ["exported_feature_flag.result.variant"]),
        ({"a.b": "x", "a_b": "y"}, ["a.b", "exported_a_b"]),
        ({"0": "x"}, ["exported_0"]),
        ({"": "x"}, ["exported_"]),
        ({"é": "x"}, ["é"]),
        ({"unset": ""}, []),
    ],
)
def test_no_label_takes_the_place_of_another(labels: dict[str, str], names: list[str]) -> None:
    attributes = Labelling("champion", "3").attributes(labels)
    assert dict(attributes) == OWN | dict(zip(names, filter(None, labels.values()), strict=True))


def test_an_unknown_version_is_not_told_and_its_name_is_kept_for_it() -> None:
    attributes = Labelling("champion", "").attributes({"sidecar.version": "7"})
    assert attributes == {"feature_flag.result.variant": "champion", "exported_sidecar.version": "7"}
