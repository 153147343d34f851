"""`make chaos`: orders go on while brokers, databases and agents stop, hang and die by a seeded schedule; then everything must agree."""

import argparse
import asyncio
import logging
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.faults import FAULTS
from bench.field import Field, own
from bench.journal import Journal, loaded, lost
from bench.mailbox import delivered
from bench.stack import READY_SECONDS
from soms.cli.services import found
from soms.config import Settings

RATE = 10.0
WARM_SECONDS = 3
# after the last fault the load goes on for a moment, so that what came back has work to do
QUIET_SECONDS = 3
AUDIT_SECONDS = 120
# how long a broker is stopped: in a short run, in a long one
SHORT_STOP, LONG_STOP, LONG_RUN = 15, 60, 300
WEIGHTS = {"join-leave": 2, "terminate": 3, "kill": 4, "poison": 3}


def main() -> None:
    """Run it, on a stack of its own in a temporary folder or on a running one; exits with 1 where anything is lost or differs."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="how long faults go on")
    parser.add_argument("--seed", type=int, default=1, help="of the schedule")
    parser.add_argument("--rate", type=float, default=RATE, help="orders a second")
    parser.add_argument("--faults", default="", help="these, one after the other, instead of a schedule: " + ", ".join(FAULTS))
    parser.add_argument("--home", type=Path, help="the state folder of a running stack, to be hurt instead of one of its own")
    parser.add_argument("--port", type=int, help="of its gateway")
    asked = parser.parse_args()
    if asked.home:
        raise SystemExit(asyncio.run(chaos(Field(asked.home, asked.port), asked)))
    with tempfile.TemporaryDirectory(prefix="soms-chaos-") as folder, own(Path(folder)) as field:
        raise SystemExit(asyncio.run(chaos(field, asked)))


async def chaos(field: Field, asked: argparse.Namespace) -> int:
    """Load, faults, and the verdict: 0 where nothing is lost and the audit is clean."""
    start = time.monotonic()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that brokers are away is no news here
    print(f"seed {asked.seed}, {asked.rate:g} orders/s, agents: {', '.join(field.agents)}", flush=True)
    async with found(Settings(home=field.home), "USER-SERVICE", timeout_seconds=READY_SECONDS) as services:
        async with loaded(field, services, asked.rate, asked.seed) as journal:
            await _hurt(field, journal, asked)
        print(f"{time.monotonic() - start:6.1f} s  every order is answered", flush=True)
        missing = await lost(field, services, journal)
    print(journal.report(), f"orders that were answered and are not there: {len(missing)} {missing[:5] or ''}", sep="\n", flush=True)
    result = await verdict(field, journal)
    print(f"{time.monotonic() - start:6.1f} s  done")
    return int(bool(missing) or result)


async def _hurt(field: Field, journal: Journal, asked: argparse.Namespace) -> None:
    """One fault after the other, told as it is over."""
    start, chance = time.monotonic(), random.Random(asked.seed)
    await asyncio.sleep(WARM_SECONDS)
    stop_seconds = LONG_STOP if asked.seconds >= LONG_RUN and not asked.faults else SHORT_STOP
    for name in asked.faults.split(",") if asked.faults else schedule(chance, time.monotonic() + asked.seconds):
        at = time.monotonic() - start
        said = await FAULTS[name](field, chance, stop_seconds)
        print(f"{at:6.1f} s  {name:<12} {said}  ({len(journal.placed):,} orders)", flush=True)
    await asyncio.sleep(QUIET_SECONDS)


def schedule(chance: random.Random, until: float) -> Iterator[str]:
    """Faults by chance, the likely ones more often, until then; the first ones are each of them once."""
    first = list(FAULTS)
    chance.shuffle(first)
    while time.monotonic() < until:
        yield first.pop() if first else chance.choices(list(FAULTS), [WEIGHTS.get(name, 1) for name in FAULTS])[0]


async def verdict(field: Field, journal: Journal) -> int:
    """Tell what people were told and what the audit finds; 0 where all is well."""
    wrong, figures = await delivered(field)
    print(figures, *wrong, sep="\n", flush=True)
    audit = await asyncio.to_thread(field.command, "audit", "--wait", str(AUDIT_SECONDS))
    print(f"{audit.stdout}{audit.stderr}", end="")
    broken = {name: number for name, number in journal.statuses.items() if name.endswith(" 500")}
    print(f"internal errors: {broken or 'none'}")
    return int(bool(audit.returncode or wrong or broken))


if __name__ == "__main__":
    main()
