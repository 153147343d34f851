"""The same two transactions, reserve and place, under pgbench on the same server: what the database alone could do."""

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from bench.placement import SKUS
from bench.stack import Stack
from soms.config import Settings
from soms.local.postgres import BINARIES
from soms.models.placement import PLACE
from soms.models.reservation import HOLD
from soms.models.schema import migrate

ORDER = "md5(:n::text || :m)::uuid"
LINE_ORDERS = f"array[{ORDER},{ORDER},{ORDER}]"
GOODS = "array['BENCH-' || :a, 'BENCH-' || :b, 'BENCH-' || :c]"
DOCUMENT = json.dumps(
    {"lines": [{"sku": f"BENCH-{n}", "name": "Bench", "quantity": 2, "unit_price": 150} for n in range(3)], "filler": "x" * 300}
)
RESERVE_ARGUMENTS = [LINE_ORDERS, GOODS, "array[1,2,3]"]
PLACE_ARGUMENTS = [
    f"array[{ORDER}]",
    "array['B' || :n]",
    f"array[{ORDER}]",
    "array['bench@example.org']",
    "array['GBP']",
    "array[600]",
    "array[null]",
    "array[null]",
    "array[now()]",
    "array['k']",
    "array['\\x00']",
    f"array['{DOCUMENT}']",
    f"array['{DOCUMENT}']",
    "array[null]",
    f"array[{ORDER}]",
    "array['customer']",
    "array[null]",
    LINE_ORDERS,
    "array[1,2,3]",
    GOODS,
    "array['a','b','c']",
    "array[1,2,3]",
    "array[100,100,100]",
]
VARIABLES = f"""
\\set n random(1, 9000000000000000000)
\\set m random(1, 9000000000000000000)
\\set a random(0, {SKUS // 3 - 1})
\\set b random({SKUS // 3}, {2 * SKUS // 3 - 1})
\\set c random({2 * SKUS // 3}, {SKUS - 1})
"""


def script() -> str:
    """One order as pgbench says it: two statements, each a transaction."""
    reserve = _filled(HOLD, RESERVE_ARGUMENTS)
    place = _filled(PLACE, PLACE_ARGUMENTS)
    return f"{VARIABLES}\nset search_path = products;\n{reserve};\nset search_path = orders;\n{place};\n"


def _filled(statement: str, arguments: list[str]) -> str:
    return re.sub(r"\$(\d+)", lambda found: arguments[int(found[1]) - 1], " ".join(statement.split()))


async def transactions_per_second(stack: Stack, clients: int, seconds: int) -> float:
    """Orders a second of so many pgbench clients, on a database of its own on the stack's server."""
    settings = Settings(home=stack.home)
    server = urlsplit(settings.postgres or "")
    owner = await asyncpg.connect(settings.postgres)
    await owner.execute("drop database if exists bench")
    await owner.execute("create database bench")
    await owner.close()
    bench = settings.model_copy(update={"postgres": server._replace(path="/bench").geturl()})
    await migrate(bench)
    await _stock(str(bench.postgres))
    path = Path(stack.home, "bench.sql")
    path.write_text(script())
    command = [str(BINARIES / "pgbench"), "-n", "-M", "simple", "-f", str(path), "-c", str(clients), "-j", "1", "-T", str(seconds), "bench"]
    variables = {
        "PGHOST": str(server.hostname),
        "PGPORT": str(server.port),
        "PGUSER": str(server.username),
        "PGPASSWORD": str(server.password),
    }
    run = await asyncio.to_thread(subprocess.run, command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([0-9.]+)", run.stdout)
    if run.returncode or not found:
        raise SystemExit(run.stderr[-2000:])
    return float(found[1])


async def _stock(address: str) -> None:
    owner = await asyncpg.connect(address)
    await owner.execute(f"""
        set search_path = products;
        insert into product (sku, name, description, price, currency, active, version)
        select 'BENCH-' || n, 'Bench', '', 150, 'GBP', true, 1 from generate_series(0, {SKUS - 1}) as n;
        insert into stock (sku, on_hand, reserved, low_threshold, version)
        select 'BENCH-' || n, 100000000, 0, 0, 1 from generate_series(0, {SKUS - 1}) as n;
    """)
    await owner.close()
