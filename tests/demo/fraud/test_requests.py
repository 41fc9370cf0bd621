import json
from itertools import islice

import numpy as np

from sidecar.demo.fraud.late import LATE_S, Late
from sidecar.demo.fraud.payments import FEATURES, Stream
from sidecar.demo.fraud.requests import INFERENCE_ID, REQUEST_ID, Requests

LAST_S = 2 * LATE_S[1]


def made() -> tuple[Requests, Stream, Late]:
    stream, late = Stream(np.random.default_rng(1)), Late(np.random.default_rng(2))
    return Requests(stream, late, lambda: 0.0), stream, late


def test_a_payment_calls_itself_in_one_of_three_ways() -> None:
    requests, _, _ = made()

    assert [dict(request.headers) for request in islice(requests, 4)] == [
        {INFERENCE_ID: "payment-000001"},
        {},
        {REQUEST_ID: "payment-000003"},
        {INFERENCE_ID: "payment-000004"},
    ]


def test_a_request_has_every_feature_and_no_label() -> None:
    requests, _, _ = made()

    document = json.loads(next(requests).body)

    assert tuple(column["name"] for column in document["inputs"]) == FEATURES


def test_a_label_is_known_of_answered_payments_by_the_id_that_the_sidecar_knows() -> None:
    requests, _, late = made()
    ids = []
    for number in range(90):
        request = next(requests)
        if number % 3 < 2:  # of every third nobody says that it was answered
            assert request.answered is not None
            request.answered({REQUEST_ID: f"given-{number}"})
            ids.append(f"given-{number}" if not request.headers else f"payment-{number + 1:06d}")

    known = {truth.id for truth in late.due(LAST_S)}
    assert known <= set(ids)
    assert len(known) + late.never == len(ids)


def test_what_counts_is_what_was_so_when_the_payment_was_made() -> None:
    requests, stream, late = made()
    before = [next(requests) for _ in range(30)]
    stream.changed = True
    after = [next(requests) for _ in range(30)]
    for request in (*before, *after):
        assert request.answered is not None
        request.answered({REQUEST_ID: "given"})

    assert {truth.changed for truth in late.due(LAST_S) if "given" < truth.id <= "payment-000030"} == {False}
    assert late.changed > 20
