"""The requests of the demo's payments, each with an id by which its label can call it."""

from collections.abc import Callable, Mapping

from sidecar.demo import model
from sidecar.demo.client import Request
from sidecar.demo.fraud.late import Late, Truth
from sidecar.demo.fraud.payments import FEATURES, Payment, Stream

REQUEST_ID, INFERENCE_ID = "X-Request-Id", "X-Amzn-SageMaker-Inference-Id"


class Requests:
    """Requests for payments, whose labels are known later.

    Payments call themselves by a request id of their own, by an inference id, or by the request id that the sidecar
    gave them and returned: a third of them each.

    Args:
        payments: Where they come from.
        late: Gets the label of every payment that is answered.
        now_s: The clock of `late`.
    """

    def __init__(self, payments: Stream, late: Late, now_s: Callable[[], float]) -> None:
        self._payments = payments
        self._late = late
        self._now_s = now_s

    def __iter__(self) -> "Requests":
        """It is its own iterator."""
        return self

    def __next__(self) -> Request:
        """The next request."""
        changed = self._payments.changed
        payment = next(self._payments)
        number = self._payments.drawn
        name = f"payment-{number:06d}"
        own = ({REQUEST_ID: name}, {INFERENCE_ID: name}, {})[number % 3]

        def answered(reply: Mapping[str, str]) -> None:
            self._learn(payment, name if own else reply[REQUEST_ID], changed=changed)

        return Request(model.body(FEATURES, payment.cells), own, answered)

    def _learn(self, payment: Payment, name: str, *, changed: bool) -> None:
        self._late.take(Truth(name, payment.fraud, changed), self._now_s())
