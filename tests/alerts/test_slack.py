import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.alerts.document import document
from sidecar.alerts.slack import MAX_TEXT_CHARACTERS, SHOWN, Slack, escaped, message
from sidecar.config.keys import options, shape
from sidecar.errors import ConfigError
from sidecar.records import JSON
from tests.alerts.receiver import FINDING, LINK, named, notice, posted, refused, status

MORE = f"<{LINK}|more>"
_ENTITY = re.compile("&(amp|lt|gt);")

hostile = st.text(st.sampled_from("<>&@!|`*_~#:/.[]()abch\n\0\u202e\ud800") | st.characters(), max_size=300)


def texts(message: JSON) -> list[str]:
    """All that is shown."""
    sections = [block["text"]["text"] for block in message["blocks"] if block["type"] == "section"]
    contexts = [text["text"] for block in message["blocks"] for text in block.get("elements", ())]
    return [message["text"], *sections, *contexts]


def test_a_notice_is_a_message() -> None:
    told = notice()
    text = document(told.alert, link=LINK)["text"]

    (post,) = posted(lambda url: Slack(url=url + "/services/T0/B0/x"), told)

    assert (post.method, post.target) == ("POST", "/services/T0/B0/x")
    assert post.headers["Content-Type"] == "application/json; charset=utf-8"
    assert post.document == {
        "text": f"*Data drift in variant champion: amount, country*\n{text}\n{MORE}",
        "blocks": [
            section(f"*Data drift in variant champion: amount, country*\n{text}"),
            section("• `amount` 75%: amount is greater\n• `country` 25%: country is NL more often"),
            {
                "type": "context",
                "elements": [{"type": "mrkdwn", "text": f"warning · firing · {MORE}", "verbatim": True}],
            },
        ],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def section(text: str) -> JSON:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def test_an_alert_that_is_over_says_so() -> None:
    told = message(notice("resolved"))

    assert told["text"].startswith("*Resolved: Data drift in variant champion")
    assert texts(told)[-1] == f"warning · resolved · {MORE}"


@settings(max_examples=30)
@given(st.lists(hostile, min_size=1, max_size=20))
def test_no_name_makes_a_link_or_a_mention_or_is_too_long(names: list[str]) -> None:
    for text in texts(message(named(*names))):
        ours = text.replace(MORE, "")
        assert not re.search("[<>]", ours)
        assert "&" not in _ENTITY.sub("", ours)
        assert not re.search(r"@(?!\u200b)|:(?=//)|\](?=\()", ours)
        assert 0 < len(ours) <= MAX_TEXT_CHARACTERS


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<!channel>", "&lt;!channel&gt;"),
        ("<@U012AB3CD>", "&lt;@\u200bU012AB3CD&gt;"),
        ("<http://evil.example|all well>", "&lt;http:\u200b//evil.example|all well&gt;"),
        ("[all well](http://evil.example)", "[all well]\u200b(http:\u200b//evil.example)"),
        ("@here", "@\u200bhere"),
        ("&lt;", "&amp;lt;"),
        ("a:b/c", "a:b/c"),
    ],
)
def test_what_means_something_is_shown_as_it_is(name: str, shown: str) -> None:
    assert escaped(name) == shown


def test_a_name_does_not_end_its_backticks() -> None:
    assert "• `a'b'` 100%:" in texts(message(named("a`b`")))[2]


def test_features_beyond_the_first_are_counted() -> None:
    lines = texts(message(named(*(f"f{number}" for number in range(100)))))[2].splitlines()

    assert len(lines) == SHOWN + 1
    assert lines[-1] == f"and {100 - SHOWN} more"


def test_a_text_that_is_too_long_is_cut_between_characters() -> None:
    for pad in range(6):
        for text in texts(message(named(*(["x" * pad + "&" * 80] * 10)))):
            assert len(text) <= MAX_TEXT_CHARACTERS + len(MORE) + 1
            assert "&" not in _ENTITY.sub("", text)


def test_an_alert_without_features_has_no_empty_text() -> None:
    told = message(notice(finding=replace(FINDING, carriers=())))

    assert [block["type"] for block in told["blocks"]] == ["section", "context"]


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("http://a/?b=1&c=2", "<http://a/?b=1&amp;c=2|more>"),
        ("http://a/|b>c<d", "<http://a/%7Cb%3Ec%3Cd|more>"),
        ("unix:/run/admin.sock", ""),
        ("", ""),
    ],
)
def test_a_link_is_one_or_is_left_out(link: str, shown: str) -> None:
    told = message(replace(notice(), link=link))

    assert texts(told)[-1] == " · ".join(filter(None, ["warning", "firing", shown]))
    assert told["text"].endswith(shown)


def test_a_file_holds_the_url(tmp_path: Path) -> None:
    file = tmp_path / "url"

    def made(url: str) -> Slack:
        file.write_text(f"{url}/services/x\n")
        return Slack(url_file=str(file))

    (post,) = posted(made, notice())

    assert post.target == "/services/x"


@pytest.mark.parametrize("content", ["s3cret", "https://user:s3cret@hook/", "https://a/s3cret https://b/"])
def test_a_file_without_a_url_is_a_failure_by_its_name(content: str, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(content)

    told = refused(lambda _: Slack(url_file=str(file)))

    assert told.startswith(f"url_file {file}: expected ")
    assert "s3cret" not in told


def test_slacks_word_for_a_refusal_is_told() -> None:
    told = refused(lambda url: Slack(url=url + "/services/x"), status(410, "channel_is_archived"))

    assert told == ": answered 410 (channel_is_archived), expected 2xx"


def test_only_the_states_asked_for_are_told() -> None:
    notices = [notice(), notice("resolved"), notice("pending")]

    assert len(posted(lambda url: Slack(url=url), *notices)) == 2
    assert len(posted(lambda url: Slack(url=url, on=("resolved",)), *notices)) == 1


@pytest.mark.parametrize(
    ("given", "faulty"),
    [
        ({}, ["url"]),
        ({"url": "https://hook/", "url_file": "f"}, ["url_file"]),
        ({"url": "hook/s3cret"}, ["url"]),
        ({"url": "http://hook/", "ca": "ca.pem"}, ["ca"]),
        ({"url": "https://hook/", "on": ()}, ["on"]),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(given: dict[str, object], faulty: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Slack(**given)  # type: ignore[arg-type]  # as in the table
    assert [fault.path for fault in caught.value.faults] == faulty
    assert "s3cret" not in str(caught.value)


def test_its_url_is_shown_nowhere() -> None:
    assert "s3cret" not in repr(Slack(url="https://hook/s3cret"))
    assert [option.name for option in options(Slack) if shape(option.annotation).secret] == ["url"]
