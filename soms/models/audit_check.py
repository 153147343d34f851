"""What an audit asks of the database: a rule, how many things it is about, and the rows that break it. Knows no rule."""

from dataclasses import dataclass, field
from typing import NamedTuple

# more than anybody reads, and few enough to be asked about again and again
MOST_BREACHES = 1000


@dataclass(frozen=True)
class Check:
    """A rule and what to do where it is broken, in a sentence each.

    `things` is a statement that counts what the rule is about; `breaches` gives key, found and wanted, as text, of what breaks it.
    Both are run as the owner of all schemas, so they name the schema of each table.
    """

    name: str
    rule: str
    remedy: str
    things: str
    breaches: str


class Breach(NamedTuple):
    """One thing that is not as it should be; `key` stays the same for as long as it is not."""

    key: str
    found: str
    wanted: str


@dataclass
class Result:
    """What a check found out: of how many things, and at most `MOST_BREACHES` of those that break the rule."""

    name: str
    rule: str
    remedy: str
    things: int
    breaches: list[Breach] = field(default_factory=list)
