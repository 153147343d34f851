"""Products: catalogue, prices, stock and its ledger, reservations."""

from soms.models.idempotency import Idempotency
from soms.models.outbox import Outbox


class ProductOutbox(Outbox):
    """Events of products on their way to Kafka."""

    class Meta:
        """Schema products."""

        table = "outbox"


class ProductIdempotency(Idempotency):
    """Answers to keyed changes of products and stock."""

    class Meta:
        """Schema products."""

        table = "idempotency"
        unique_together = (("user_id", "key"),)
