"""Hot statements of orders find their rows by index, whatever the tables' size was when they were planned."""

import pytest

from soms.models.database import fetch, transaction
from soms.models.order_document import ONE, PAGE
from soms.models.placement import LOOK_UP

STATEMENTS = {
    "look-up": (LOOK_UP, "(uuid[], text[], uuid[])", "(null, null, null)"),
    "one": (ONE, "(uuid, uuid)", "(null, null)"),
    "page": (PAGE, "(uuid, text, timestamptz, timestamptz, timestamptz, uuid, int)", "(null, null, null, null, null, null, 21)"),
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_table_is_read_whole(database: None, name: str) -> None:
    """The generic plan has no sequential scan."""
    statement, types, arguments = STATEMENTS[name]
    async with transaction("orders"):
        await fetch("orders", "set local plan_cache_mode = force_generic_plan")
        await fetch("orders", f"prepare hot{types} as {statement}")
        plan = await fetch("orders", f"explain execute hot{arguments}")
        await fetch("orders", "deallocate hot")

    assert [row[0] for row in plan if "Seq Scan" in row[0]] == []
