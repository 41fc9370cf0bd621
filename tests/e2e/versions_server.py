"""A model server in a process of its own: a scikit-learn model over the Open Inference Protocol, and faults on demand.

It starts in a second and answers in two milliseconds, where MLServer takes six seconds and twenty milliseconds:

    python -m tests.e2e.versions_server MODEL VERSION

A fault is PUT to `/fault` and holds until another one is; what a hanging server has let wait is answered then.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import joblib
import pandas as pd
from aiohttp import web

from sidecar.demo.model import NAME
from sidecar.records import JSON

MODEL = f"/v2/models/{NAME}"
FAULT = "/fault"


class Server:
    """Answers one row at a time.

    Args:
        file: Of the pickled model.
        version: That it says it has.
    """

    def __init__(self, file: Path, version: str) -> None:
        self._model = joblib.load(file)
        self._version = version
        self._fault: JSON = {}
        self._mended = asyncio.Event()

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get(MODEL, self._describe)
        application.router.add_post(f"{MODEL}/infer", self._infer)
        application.router.add_put(FAULT, self._break)
        return application

    async def _describe(self, _: web.Request) -> web.Response:
        return web.json_response({"name": NAME, "versions": [self._version]})

    async def _infer(self, request: web.Request) -> web.Response:
        inputs = json.loads(await request.read())["inputs"]
        if self._fault.get("hangs"):
            await self._mended.wait()
        await asyncio.sleep(self._fault.get("delay_s", 0.0))
        if status := self._fault.get("status"):
            return web.json_response({"error": "out of memory"}, status=status)
        row = pd.DataFrame({each["name"]: each["data"] for each in inputs})
        (shares,) = self._model.predict_proba(row).tolist()
        outputs = [
            _tensor("predict", "INT64", [int(shares[1] > shares[0])]),
            _tensor("predict_proba", "FP64", shares),
        ]
        return web.json_response({"model_name": NAME, "model_version": self._version, "outputs": outputs})

    async def _break(self, request: web.Request) -> web.Response:
        self._fault = await request.json()
        self._mended.set()
        self._mended = asyncio.Event()
        return web.Response()


def _tensor(name: str, datatype: str, data: Sequence[float]) -> JSON:
    return {"name": name, "shape": [1, len(data)], "datatype": datatype, "data": list(data)}


async def _main(file: Path, version: str, port: int) -> None:
    # What is under way when a test ends is nobody's any more.
    runner = web.AppRunner(Server(file, version).application(), access_log=None, shutdown_timeout=0.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"serving on {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("version")
    parser.add_argument("--port", type=int, default=0, help="any free one by default")
    chosen = parser.parse_args()
    asyncio.run(_main(chosen.model, chosen.version, chosen.port))
