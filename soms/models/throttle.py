"""Failed logins: how many an account or a client address may have, whatever instance they come to. Knows no passwords.

Attempts count after their password was looked at, and under the lock of the row that counts them: of any number that run in
parallel only as many as the limit learn whether they were right.
"""

import hashlib
import ipaddress
from typing import Final, NamedTuple

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.models import Model

from soms.errors import ResourceExhausted
from soms.models.database import fetch, transaction

WINDOW_MINUTES: Final = 15
ACCOUNT_LIMIT: Final = 10
ADDRESS_LIMIT: Final = 100
# one household or office has a /64 of IPv6 addresses
NETWORK_BITS: Final = 64

RECENT = f"array(select moment from unnest(known.moments) moment where moment > now() - interval '{WINDOW_MINUTES} minutes')"
WAIT = f"""
select extract(epoch from max(first + interval '{WINDOW_MINUTES} minutes' - now()))::float as seconds
from unnest($1::text[], $2::int[]) as asked (subject, allowed) join failed_logins known using (subject),
lateral (select min(moment) as first, count(*) as failures from unnest({RECENT}) moment) recent
where failures >= allowed
"""
COUNT = f"""
insert into failed_logins as known (subject, moments, newest) values ($1, array[now()], now())
on conflict (subject) do update set moments = {RECENT} || now(), newest = now() where cardinality({RECENT}) < $2
returning subject
"""


class FailedLogins(Model):
    """The moments of the newest failures of a subject: the SHA-256 of an account's e-mail or of a client's network."""

    subject = fields.CharField(max_length=64, primary_key=True)
    moments: list[str] = ArrayField("timestamptz")
    newest = fields.DatetimeField(db_index=True)

    class Meta:
        """Schema users."""

        table = "failed_logins"


class Subject(NamedTuple):
    """Who fails, and how often they may within the window."""

    name: str
    allowed: int


def subjects(email: str, client_address: str) -> list[Subject]:
    """Who an attempt counts against, always in this order; accounts that do not exist count as others do."""
    found = [Subject(_hashed("account", email), ACCOUNT_LIMIT)]
    if client_address:
        found.append(Subject(_hashed("address", _network(client_address)), ADDRESS_LIMIT))
    return found


async def admit(attempt: list[Subject]) -> None:
    """Raise ResourceExhausted (`rate_limited`, `retry_after` in seconds) if any subject has failed too often."""
    rows = await fetch("users", WAIT, [subject.name for subject in attempt], [subject.allowed for subject in attempt])
    if (seconds := rows[0]["seconds"]) is not None:
        raise ResourceExhausted("too many failed logins", retry_after=max(1.0, seconds))


async def count(attempt: list[Subject]) -> None:
    """Count a failure. Raises ResourceExhausted when others used up what was left meanwhile."""
    async with transaction("users"):
        counted = [await fetch("users", COUNT, subject.name, subject.allowed) for subject in attempt]
    if not all(counted):
        await admit(attempt)


async def forget(email: str) -> None:
    """Start an account afresh, in the transaction under way."""
    await fetch("users", "delete from failed_logins where subject = $1", _hashed("account", email))


def _hashed(kind: str, name: str) -> str:
    return hashlib.sha256(f"{kind}:{name}".encode()).hexdigest()


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, NETWORK_BITS), strict=False).network_address
    return str(parsed)
