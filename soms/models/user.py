"""Users: profiles, credentials, sessions, addresses, preferences."""

from soms.models.outbox import Outbox


class UserOutbox(Outbox):
    """Events of users on their way to Kafka."""

    class Meta:
        """Schema users."""

        table = "outbox"
