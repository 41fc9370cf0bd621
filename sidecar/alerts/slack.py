"""Alerts for people, in a chat: Slack, and what takes the messages of its incoming webhooks."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.alerts.document import document
from sidecar.alerts.posting import BOTH, On, SecretUrl, check_url, encode, on_faults, post, read_secret, url_faults
from sidecar.config.values import File
from sidecar.errors import ConfigError, DeliveryError, Fault
from sidecar.records import JSON, Notice

if TYPE_CHECKING:
    from aiohttp import ClientSession

MAX_TEXT_CHARACTERS = 3000
"""Of a text object (Slack's reference of composition objects)."""
SHOWN = 10
"""Features told apart; whoever wants them all follows the link."""

_ENTITIES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
# Where other chats of the same interface see a mention, a link, or the middle of `[a link](…)`.
_SPRINGS = re.compile(r"@|:(?=//)|\](?=\()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """POSTs a message for each notice to an incoming webhook of Slack, Mattermost, Rocket.Chat or the like.

    Args:
        url: Where to. Whoever has it can post; url_file keeps it out of the configuration.
        url_file: File that holds the URL instead.
        ca: PEM file of the authorities to trust instead of the system's.
        on: What is told: firing (also when repeated), resolved.

    Raises:
        ConfigError: There is not exactly one of `url` and `url_file`, `url` is no URL, `ca` without use, `on` empty.
    """

    url: SecretUrl | None = field(default=None, repr=False)
    url_file: File | None = None
    ca: File | None = None
    on: On = BOTH

    def __post_init__(self) -> None:
        faults = on_faults(self.on)
        if self.url is not None and self.url_file is not None:
            faults.append(Fault("url_file", "given beside url; expected one of the two"))
        elif self.url is not None:
            faults += url_faults(self.url, self.ca)
        elif self.url_file is None:
            faults.append(Fault("url", "missing; expected url or url_file"))
        if faults:
            raise ConfigError(*faults)

    async def send(self, notice: Notice, http: "ClientSession") -> None:
        """Post one message.

        Raises:
            DeliveryError: It was not taken, or a file cannot be used.
        """
        if notice.alert.state not in self.on:
            return
        url = await self._where()
        await post(http, url, encode(message(notice)), {"Content-Type": "application/json; charset=utf-8"}, self.ca)

    async def _where(self) -> str:
        if self.url is not None:
            return self.url
        assert self.url_file is not None  # or it would not have been made
        url = await read_secret("url_file", self.url_file)
        try:
            check_url(url)
        except ValueError as error:
            raise DeliveryError(f"url_file {self.url_file}: {error}") from error
        return url


def message(notice: Notice) -> JSON:
    """The message: `text` for notifications and for chats without blocks.

    References:
        https://docs.slack.dev/messaging/formatting-message-text, section Escaping text.
        https://docs.slack.dev/reference/block-kit/composition-objects/text-object
    """
    told = document(notice.alert, link=notice.link)
    said = f"*{escaped(told['title'])}*\n{escaped(told['text'])}"
    link = _link(told["link"])
    about = [told["severity"], told["state"], *link]
    blocks = [
        {"type": "section", "text": _mrkdwn(said)},
        *({"type": "section", "text": _mrkdwn(text)} for text in _features(told)),
        {"type": "context", "elements": [_mrkdwn(" · ".join(about))]},
    ]
    return {"text": "\n".join([_cut(said), *link]), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def escaped(text: str) -> str:
    r"""The text for Slack to show as it is, whatever a payload's names are: no link, no mention.

    Example:
        >>> escaped("<!channel> & @here")
        '&lt;!channel&gt; &amp; @\u200bhere'
    """
    return _SPRINGS.sub("\\g<0>\u200b", text.translate(_ENTITIES))


def _mrkdwn(text: str) -> JSON:
    return {"type": "mrkdwn", "text": _cut(text), "verbatim": True}  # verbatim: what looks like a link is none


def _cut(text: str) -> str:
    """As much as Slack takes, no entity in halves."""
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    return re.sub(r"&[a-z]*\Z", "", text[: MAX_TEXT_CHARACTERS - 1]) + "…"


def _features(told: JSON) -> list[str]:
    """A text with a line for each feature; none without them, for a text must not be empty."""
    features = told["features"]
    lines = [
        f"• `{_name(each['name'])}` {each['share'] or 0:.0%}: {escaped(each['text'])}" for each in features[:SHOWN]
    ]
    more = len(features) - len(lines) + told["features_omitted"]
    return ["\n".join([*lines, *([f"and {more} more"] if more else [])])] if lines else []


def _name(name: str) -> str:
    """A name between backticks, which it cannot hold."""
    return escaped(name.replace("`", "'"))


def _link(url: str) -> list[str]:
    """A link of our own making, if there is one; what would end it is not in it as it is."""
    coded = url.translate({ord(each): f"%{ord(each):02X}" for each in "|<>"}).replace("&", "&amp;")
    return [f"<{coded}|more>"] if url.startswith(("http://", "https://")) else []
