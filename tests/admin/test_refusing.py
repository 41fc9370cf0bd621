import pytest
from aiohttp import web

from sidecar.admin.refusing import API, BY, FAULTS, SHOWN, WHY, limit, refusals, words
from sidecar.errors import ConfigError, ConflictError, DeliveryError, Fault, PayloadError, UnknownError


def refused(error: Exception) -> web.HTTPException:
    """What becomes of an error."""
    with pytest.raises(web.HTTPException) as caught, refusals():
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError(Fault("a.b", "is odd")), 400),
        (UnknownError("there is none"), 404),
        (ConflictError("somebody was first"), 409),
        (DeliveryError("nobody answers"), 503),
    ],
)
def test_an_error_becomes_the_reply_that_means_the_same(error: Exception, status: int) -> None:
    reply = refused(error)
    assert (reply.status, reply.text) == (status, str(error))
    assert reply.headers.get("Retry-After") == ("1" if status == 503 else None)


def test_every_fault_has_a_line_of_its_own() -> None:
    reply = refused(ConfigError(Fault("a", "is odd\nand long"), Fault("", "nothing fits")))
    assert reply.text == "a: is odd\\nand long\nnothing fits"


def test_so_many_faults_are_told() -> None:
    text = refused(ConfigError(*(Fault(str(number), "is odd") for number in range(FAULTS + 3)))).text
    assert (text or "").splitlines()[FAULTS - 1 :] == [f"{FAULTS - 1}: is odd", "and 3 more"]


@pytest.mark.parametrize("kind", [UnknownError, ConflictError, DeliveryError])
def test_an_error_is_told_in_so_many_characters_on_one_line(kind: type[Exception]) -> None:
    text = refused(kind("\ud800\n" + "x" * 5000)).text or ""
    assert (len(text), text[:9]) == (SHOWN, "\\ud800\\nx")


def test_another_error_passes_as_it_is() -> None:
    with pytest.raises(PayloadError), refusals():
        raise PayloadError("malformed", "not mine")


def test_who_changes_something_without_a_name_is_the_api() -> None:
    assert (words("", ""), words("ann", "so")) == ((API, ""), ("ann", "so"))


def test_words_of_any_language_are_taken_up_to_their_limit() -> None:
    assert words("é" * BY, "日" * WHY) == ("é" * BY, "日" * WHY)


@pytest.mark.parametrize("text", ["a\nb", "\x00", "\x1b[31m", "\u202e", "\ud800", "x" * 501])
def test_words_that_cannot_be_shown_or_are_too_long_are_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        words(text, text)
    assert [fault.path for fault in caught.value.faults] == ["by", "why"]


@pytest.mark.parametrize(("given", "expected"), [("1", 1), ("10", 10), ("07", 7)])
def test_a_limit_is_a_number(given: str, expected: int) -> None:
    assert limit(given, 10) == expected


@pytest.mark.parametrize("given", ["0", "11", "", "-1", "1.0", "²", "007", "9" * 5000])
def test_any_other_limit_is_refused(given: str) -> None:
    with pytest.raises(web.HTTPBadRequest) as caught:
        limit(given, 10)
    assert (caught.value.text or "").startswith("limit: expected a number from 1 to 10, got ")
