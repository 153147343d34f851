"""Slots: who holds which, under what name, and for how long."""

from pathlib import Path

import pytest

from soms.agents.slot import taken
from soms.config import Settings
from soms.errors import FailedPrecondition


def test_each_worker_has_a_slot_of_its_own(tmp_path: Path) -> None:
    """The first free one, or the one asked for unless another holds it; free again afterwards."""
    settings = Settings(home=tmp_path)
    with taken(settings, "inventory") as first, taken(settings, "inventory") as second, taken(settings, "analytics") as other:
        assert [first.number, second.number, other.number] == [0, 1, 0]
        with pytest.raises(FailedPrecondition, match="slot 1 of inventory"), taken(settings, "inventory", 1):
            pass
    with taken(settings, "inventory", 1) as again:
        assert again.member == second.member


def test_a_slot_keeps_its_name_and_port(tmp_path: Path) -> None:
    """Name and port stay; the same slot of another folder has another name, so that two stacks can share a broker."""
    with taken(Settings(home=tmp_path / "a"), "inventory") as slot:
        assert slot.port == 0
        slot.remember(4711)
        name = slot.member
    with taken(Settings(home=tmp_path / "a"), "inventory") as again, taken(Settings(home=tmp_path / "b"), "inventory") as other:
        assert (again.member, again.port) == (name, 4711)
        assert other.member != name
        assert other.member.startswith("inventory-0-")


def test_a_broken_slot_is_mended(tmp_path: Path) -> None:
    """A file that a full disk cut off makes a new name, not an end."""
    with taken(Settings(home=tmp_path), "inventory") as slot:
        (slot.folder / "slot.json").write_text('{"mem')
    with taken(Settings(home=tmp_path), "inventory") as again:
        assert again.member.startswith("inventory-0-")
