"""Sessions: a browser, which cannot send the token with everything, shows it once and is known by a cookie then.

The cookie's id says nothing of the token, and is kept as its digest only. Whatever changes something wants more than
the cookie, which a browser sends along by itself: that the page is one of ours.
"""

import hmac
import re
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from math import ceil

from aiohttp import web
from msgspec import Struct

from sidecar.admin.changing import body
from sidecar.admin.guard import failure, is_of_our_page, reply

LASTS_S = 12 * 3600.0
MAX_SESSIONS = 100
"""The oldest ones go."""

WRONG, WRONG_S = 10, 60.0
"""Wrong tokens in so many seconds, beyond which none is looked at; who sends it as a bearer is not affected."""

NAME = "sidecar_session"


class _Login(Struct, forbid_unknown_fields=True):
    """Of `POST /v1/session`."""

    token: str


class Sessions:
    """Those that there are.

    Args:
        token: What opens one; None where nobody needs any.
        now_s: A clock that does not go back.
        fresh: Makes an id that nobody guesses.
        link: How people come here, as far as is known.
    """

    def __init__(
        self, token: str | None, *, now_s: Callable[[], float], fresh: Callable[[], str], link: str = ""
    ) -> None:
        self._token = token
        self._now_s = now_s
        self._fresh = fresh
        self._link = link
        self._until_s: dict[bytes, float] = {}
        self._wrong_s: deque[float] = deque(maxlen=WRONG)

    def add_to(self, app: web.Application) -> None:
        """Have it answer."""
        app.router.add_get("/v1/session", self.tell)
        app.router.add_post("/v1/session", self.login)
        app.router.add_delete("/v1/session", self.logout)

    def knows(self, request: web.Request) -> bool:
        """Whether the request is of a session."""
        given = request.cookies.get(_name(request), "")
        return self._now_s() < self._until_s.get(_digest(given), 0.0)

    async def tell(self, request: web.Request) -> web.Response:
        """Whether one is needed, and there is one."""
        return self._told(known=self._token is None or self.knows(request) or self.bears(request))

    async def login(self, request: web.Request) -> web.Response:
        """Begin one."""
        asked = await body(request, _Login)
        if self._token is None:
            return self._told(known=True)
        now_s = self._now_s()
        if len(self._wrong_s) == WRONG and now_s - self._wrong_s[0] < WRONG_S:
            wait_s = ceil(self._wrong_s[0] + WRONG_S - now_s)
            told = f"{WRONG} wrong tokens within {WRONG_S:g} s: expected the next in {wait_s} s"
            return failure(429, told, {"Retry-After": str(wait_s)})
        if not hmac.compare_digest(_digest(asked.token), _digest(self._token)):
            self._wrong_s.append(now_s)
            told = "the token is wrong; expected the one of admin_token_file"
            return failure(401, told, {"WWW-Authenticate": "Bearer"})
        answer = self._told(known=True)
        self.give(request, answer)
        return answer

    async def logout(self, request: web.Request) -> web.Response:
        """End it."""
        if self.knows(request) and not is_of_our_page(request):
            return failure(403, "expected an Origin of this address, or Sec-Fetch-Site: same-origin")
        self._until_s.pop(_digest(request.cookies.get(_name(request), "")), None)
        answer = self._told(known=self._token is None)
        answer.del_cookie(_name(request), path="/", httponly=True, samesite="Strict")
        return answer

    def bears(self, request: web.Request) -> bool:
        """Whether the request brings the token itself."""
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return self._token is not None and hmac.compare_digest(given, f"Bearer {self._token}".encode())

    def give(self, request: web.Request, answer: web.StreamResponse) -> None:
        """Begin a session with who gets this answer."""
        answer.set_cookie(
            _name(request),
            self.open(),
            max_age=int(LASTS_S),
            path="/",
            secure=request.secure or self._link.startswith("https:"),
            httponly=True,
            samesite="Strict",
        )

    def open(self) -> str:
        """Begin a session; its id."""
        if len(self._until_s) >= MAX_SESSIONS:
            del self._until_s[next(iter(self._until_s))]
        name = self._fresh()
        self._until_s[_digest(name)] = self._now_s() + LASTS_S
        return name

    def _told(self, *, known: bool) -> web.Response:
        return reply({"needed": self._token is not None, "in": known})


def _name(request: web.Request) -> str:
    """Of the cookie; browsers give those of one port of a host to all others, and would mix up two sidecars."""
    port = re.search(r":([0-9]{1,5})\Z", request.headers.get("Host", ""))
    return f"{NAME}_{port[1]}" if port else NAME


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
