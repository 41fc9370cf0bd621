import asyncio
import threading
import time
from collections.abc import Iterator
from typing import TypeVar

import orjson
import pytest
from aiohttp import web

from sidecar.admin import documents
from sidecar.admin.documents import Documents
from sidecar.admin.recent import Wanted
from sidecar.admin.routing import Routing
from sidecar.records import JSON
from sidecar.stats.traffic import COPIED, Labels, Series, Traffic
from tests.admin.rig import Sidecar, alert, busy_sidecar, capture

T = TypeVar("T")


def made(sidecar: Sidecar, name: str) -> JSON:
    async def make() -> bytes:
        view = sidecar.view()
        return await Documents(view, Routing(view)).makers[name]()

    return orjson.loads(asyncio.run(make()))


class Watched(Traffic):
    """Counts that remember who reads them."""

    def __init__(self) -> None:
        super().__init__(max_series=1000)
        self.threads: set[str] = set()

    def __iter__(self) -> Iterator[tuple[Labels, Series]]:
        self.threads.add(threading.current_thread().name)
        return super().__iter__()


@pytest.mark.parametrize("name", ["status", "traffic", "overview"])
def test_what_requests_are_counted_in_is_read_on_the_event_loop_alone(name: str) -> None:
    sidecar = Sidecar()
    sidecar.traffic = traffic = Watched()
    for place in range(3 * COPIED):
        traffic.series(Labels("champion", "3", "POST", str(place), 200, "")).add(0.01, 0.01, 0.0, 1, 1)

    made(sidecar, name)

    assert traffic.threads == {threading.main_thread().name}


def test_what_is_added_up_of_requests_is_added_up_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def noting(counted: Traffic) -> JSON:
        threads.append(threading.current_thread().name)
        return {"series": len(list(counted))}

    monkeypatch.setattr(documents, "traffic", noting)
    assert made(busy_sidecar(), "traffic") == {"series": 4}
    assert threads != [threading.main_thread().name]


def test_documents_are_of_now() -> None:
    sidecar = busy_sidecar()

    async def make() -> list[int]:
        view = sidecar.view()
        maker, found = Documents(view, Routing(view)).makers["status"], []
        for _ in range(2):
            found.append(orjson.loads(await maker())["variants"][0]["requests"])
            sidecar.traffic.series(Labels("champion", "3", "POST", "/infer", 200, "")).add(0.1, 0.1, 0.0, 1, 1)
        return found

    assert asyncio.run(make()) == [5, 6]


@pytest.mark.parametrize("name", ["quality", "bias", "attribution", "violations", "shadow"])
def test_where_nothing_is_known_that_is_refused(name: str) -> None:
    with pytest.raises(web.HTTPNotFound):
        made(Sidecar(), name)


def test_alerts_and_captures_may_be_chosen_from() -> None:
    sidecar = Sidecar()
    sidecar.alerting.alerts = [alert("0" * 16), alert("1" * 16, state="resolved")]
    sidecar.recent.extend([capture("a"), capture("b", status=500)])

    async def make() -> list[bytes]:
        view = sidecar.view()
        found = Documents(view, Routing(view))
        alerts = [await found.alerts(), await found.alerts("firing")]
        return [*alerts, await found.captures(), await found.captures(Wanted(status="5xx"))]

    assert [len(next(iter(orjson.loads(each).values()))) for each in asyncio.run(make())] == [2, 1, 2, 1]


def test_two_are_never_made_at_once() -> None:
    sidecar, working, most = Sidecar(), [0], [0]

    def work() -> JSON:
        working[0] += 1
        most[0] = max(most[0], working[0])
        time.sleep(0.001)  # time enough for another
        working[0] -= 1
        return {}

    async def make() -> None:
        view = sidecar.view()
        found = Documents(view, Routing(view))
        await asyncio.gather(*(found.made(work) for _ in range(20)))

    asyncio.run(make())
    assert most == [1]
