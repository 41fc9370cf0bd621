"""The sidecar's admin side, as the demo asks it."""

import aiohttp

from sidecar.demo.ending import DemoError
from sidecar.records import JSON

TIMEOUT = aiohttp.ClientTimeout(total=10.0)


class Admin:
    """Asks.

    Args:
        session: For the requests.
        address: `host:port`.
    """

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address

    async def get(self, path: str) -> JSON:
        """What is there.

        Raises:
            DemoError: It cannot be read.
        """
        return await self._asked("GET", path, None)

    async def post(self, path: str, document: JSON) -> JSON:
        """Bring a document there; the answer.

        Raises:
            DemoError: It is refused, or the answer cannot be read.
        """
        return await self._asked("POST", path, document)

    async def _asked(self, method: str, path: str, document: JSON) -> JSON:
        url = f"http://{self._address}{path}"
        try:
            async with self._session.request(
                method, url, json=document, timeout=TIMEOUT, raise_for_status=True
            ) as reply:
                return await reply.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise DemoError(f"{url}: cannot be read ({error!r}), expected JSON") from None
