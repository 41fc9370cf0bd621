"""What it costs to say who serves a request: `python -m tests.bench.routing [--core 1]`.

The head has nine fields, the key stands in the last but one; the body is a row of a thousand bytes, the key its last
member. Each figure is of one call, sampling point included: the quickest of many short runs, since whatever else runs
on the machine can only make it slower.
"""

import argparse
import json
import os
from collections.abc import Mapping
from timeit import repeat

from sidecar.routing.matching import Rule
from sidecar.routing.sticky import Address, Cookie, Header, Pointer, Query
from sidecar.routing.table import RoutingTable, Variant
from sidecar.wire.http1 import parse_request
from tests.bench.table import at_most, print_table, print_verdicts

CALL = "choose(head, request_id, address=address, body=body)"
CALLS, RUNS = 1000, 1000
TARGET_US = 2.0
REQUEST_ID = b"0af7651916cd43dd8448eb211c80319c"
HEAD = parse_request(
    b"POST /v2/models/fraud/infer?trace=1&lang=de&user=user-12345678 HTTP/1.1\r\n"
    b"Host: models.example.com\r\n"
    b"User-Agent: python-requests/2.32.3\r\n"
    b"Accept: */*\r\n"
    b"Accept-Encoding: gzip, deflate\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: 1000\r\n"
    b"Cookie: session=0123456789abcdef; lang=de; user=user-12345678\r\n"
    b"X-User-Id: user-12345678\r\n"
    b"X-Request-Id: " + REQUEST_ID + b"\r\n"
)
BODY = json.dumps(
    {**{f"feature_{number:02d}": number + 0.25 for number in range(44)}, "user": "user-12345678"}
).encode()
ADDRESS = b"203.0.113.7"

TWO = (Variant("champion", weight=90), Variant("challenger", weight=10))
RETURNING = (Variant("champion", weight=90, available=0.5), Variant("challenger", weight=10))
SIXTEEN = tuple(Variant(f"arm-{number}") for number in range(16))
RULES = (
    Rule("challenger", path="/v1/*"),
    Rule("challenger", methods=("PUT", "PATCH"), header="x-tier", value="gold*"),
    Rule("challenger", header="x-tier", value="gold*"),
)
STICKY = "two variants, sticky by header"
TABLES: Mapping[str, RoutingTable] = {
    "one variant": RoutingTable(TWO[:1]),
    "two variants": RoutingTable(TWO),
    STICKY: RoutingTable(TWO, sticky=Header("x-user-id")),
    "… by cookie": RoutingTable(TWO, sticky=Cookie("user")),
    "… by query": RoutingTable(TWO, sticky=Query("user")),
    "… by address": RoutingTable(TWO, sticky=Address()),
    f"… by pointer into {len(BODY)} bytes": RoutingTable(TWO, sticky=Pointer("/user")),
    "… by header, which is not there": RoutingTable(TWO, sticky=Header("x-customer")),
    "… by header, champion half returned": RoutingTable(RETURNING, sticky=Header("x-user-id")),
    "… by header, after an override field": RoutingTable(TWO, sticky=Header("x-user-id"), override_header="x-variant"),
    "… by header, after three rules": RoutingTable(TWO, sticky=Header("x-user-id"), rules=RULES),
    "sixteen variants, sticky by header": RoutingTable(SIXTEEN, sticky=Header("x-user-id")),
}


def measure_us(table: RoutingTable) -> float:
    names = {"choose": table.choose, "head": HEAD, "request_id": REQUEST_ID, "address": ADDRESS, "body": BODY}
    return min(repeat(CALL, number=CALLS, repeat=RUNS, globals=names)) / CALLS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=int, default=1)
    os.sched_setaffinity(0, {parser.parse_args().core})
    figures = {name: measure_us(table) for name, table in TABLES.items()}
    print_table("who serves a request", ("", "µs"), [(name, f"{figure:.2f}") for name, figure in figures.items()])
    print_verdicts([at_most(STICKY, figures[STICKY], TARGET_US, "µs")])


if __name__ == "__main__":
    main()
