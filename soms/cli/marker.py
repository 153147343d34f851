"""Remembers in the state folder which database was seeded, so that a later start asks no service and is quick."""

from pathlib import Path

from soms.config import Settings


def seeded(settings: Settings) -> bool:
    """Whether the database of `settings` has been seeded from this state folder."""
    file = _file(settings)
    return file.exists() and file.read_text() == _database(settings)


def remember(settings: Settings) -> None:
    """From now on it has been."""
    _file(settings).write_text(_database(settings))


def _file(settings: Settings) -> Path:
    return settings.home / "seeded"


def _database(settings: Settings) -> str:
    """Host, port and name, without user and password."""
    return (settings.postgres or "").rpartition("@")[2]
