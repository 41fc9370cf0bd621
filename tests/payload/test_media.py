import pytest

from sidecar.payload.media import is_json, media_type


@pytest.mark.parametrize(
    ("field", "media"),
    [
        ("", ""),
        ("text/csv", "text/csv"),
        (" Text/CSV ; header=present", "text/csv"),
        (";charset=utf-8", ""),
    ],
)
def test_media_types_are_compared_without_case_and_parameters(field: str, media: str) -> None:
    assert media_type(field) == media


@pytest.mark.parametrize(
    ("media", "json"),
    [("application/json", True), ("application/problem+json", True), ("application/jsonlines", False), ("", False)],
)
def test_json_is_known_by_name_and_suffix(media: str, json: bool) -> None:
    assert is_json(media) is json
