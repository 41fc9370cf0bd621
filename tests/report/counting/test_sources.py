from sidecar.report.counting.sources import Source, sources


def test_numbers_and_texts_of_a_name_are_one_column() -> None:
    found = sources(["time", "row", "feature__a", "prediction__b", "feature_text__a", "prediction_text__c"], [])

    assert found == [
        Source("a", "features", "feature__a", "feature_text__a"),
        Source("b", "predictions", "prediction__b"),
        Source("c", "predictions", texts="prediction_text__c"),
    ]
    assert [each.columns for each in found] == [
        ["feature__a", "feature_text__a"],
        ["prediction__b"],
        ["prediction_text__c"],
    ]


def test_a_feature_and_a_prediction_of_a_name_are_two_columns() -> None:
    assert [(each.name, each.subject) for each in sources(["feature__a", "prediction__a"], [])] == [
        ("a", "features"),
        ("a", "predictions"),
    ]


def test_names_are_spelt_as_the_reference_spells_them() -> None:
    """Engines take names that differ in their case only for one, and it has the spelling of the file read first."""
    assert [each.name for each in sources(["feature__AGE", "feature__Sex", "feature__new"], ["Age", "sex"])] == [
        "Age",
        "sex",
        "new",
    ]


def test_a_feature_whose_name_begins_as_ours_do_keeps_it() -> None:
    assert sources(["feature__feature__x", "feature__text__y"], []) == [
        Source("feature__x", "features", "feature__feature__x"),
        Source("text__y", "features", "feature__text__y"),
    ]


def test_a_name_that_no_column_can_have_is_known_again() -> None:
    columns = ["feature__", "feature__\\x00", "feature__\\ud800"]
    assert [each.name for each in sources(columns, ["", "\0", "\ud800"])] == ["", "\0", "\ud800"]
