"""Settings of every SOMS process: `SOMS_*` variables first, then the engines this machine started, then defaults.

The only module that reads the environment. Secrets are files in one folder, never settings and never defaults in code.
"""

import contextlib
import functools
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


class Settings(BaseSettings):
    """Where the engines are and how a process behaves; frozen after the first read."""

    model_config = SettingsConfigDict(env_prefix="SOMS_", frozen=True, extra="ignore")

    # state folder: engine data, logs, secrets, engines.json
    home: Path = Path("var")
    # folder of secret files; default `secrets` below home
    secrets_folder: Path | None = None
    # engines of your own: postgresql://user:password@host:port/database (a user that may create roles), host:port[,host:port], http://host:port/eureka
    postgres: str | None = None
    kafka: str | None = None
    eureka: str | None = None
    # mail server: host:port, or smtp://user:password@host:port?from=Shop%20<shop@example.com> (smtps:// for TLS from the beginning)
    smtp: str | None = None
    # provider of text messages in the way of Twilio: https://account:token@host?from=+447700900123; without one none are sent
    sms_url: str | None = None
    # where people reach the gateway, for links in mails; default its own address
    public_url: str = "http://127.0.0.1:8080"
    # webhooks may lead to private addresses and over plain http: on one machine and in tests
    webhook_private: bool = False
    # address that services bind and register, and their port: by default a free one each; a fixed one where each has a machine or container
    host: str = "127.0.0.1"
    port: int = Field(0, ge=0, le=65535)
    # the gateway's own address and port
    web_host: str = "127.0.0.1"
    web_port: int = Field(8080, ge=1, le=65535)
    # requests a minute per account (an address gets twice as many), or `off` for benchmarks
    rate_limit: Literal["off"] | PositiveInt = 6000
    # the day of `today` in live figures, and the zone of figures without one
    time_zone: str = "UTC"
    # currency of a price that names none
    currency: str = Field("GBP", pattern="^[A-Z]{3}$")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    # gRPC reflection: on where people explore, off in production
    reflection: bool = True
    # company mirror of Maven Central, an address; default Maven Central itself
    maven: str | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then `engines.json` of the state folder."""
        return init_settings, env_settings, LocalEngines(settings_cls)

    @property
    def engines_file(self) -> Path:
        """`engines.json`: ports and passwords of the engines this machine started."""
        return self.home / "engines.json"

    def secret_path(self, name: str) -> Path:
        """Where the file of secret `name` lies."""
        return (self.secrets_folder or self.home / "secrets") / name

    def secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_hex(32)) -> str:
        """The text of secret `name`, made on first use (32 random bytes, hex, unless `make` says else) and kept with mode 600."""
        return secret_file(self.secret_path(name), make)

    def environment(self) -> dict[str, str]:
        """The variables that give a child process these very settings.

        Where Python may not write bytecode beside its sources, children keep theirs in the state folder: it halves the time of a start.
        """
        variables = {**os.environ, "SOMS_HOME": str(self.home.resolve())}
        if variables.pop("PYTHONDONTWRITEBYTECODE", ""):
            variables.setdefault("PYTHONPYCACHEPREFIX", str(self.home.resolve() / "bytecode"))
        return variables


class LocalEngines(PydanticBaseSettingsSource):
    """Addresses out of `engines.json`, for whatever the environment does not name."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not used: the source answers as a whole."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Settings `postgres`, `kafka`, `eureka`, `smtp`, `sms_url`, `public_url` as far as the file knows them."""
        home = self.current_state.get("home", Settings.model_fields["home"].default)
        try:
            engines = json.loads((Path(home) / "engines.json").read_text())
        except FileNotFoundError:
            return {}
        found = {
            "postgres": (p := engines.get("postgres")) and "postgresql://{user}:{password}@{host}:{port}/{database}".format(**p),
            "kafka": engines.get("kafka", {}).get("bootstrap"),
            "eureka": engines.get("eureka", {}).get("url"),
            "smtp": engines.get("mailbox", {}).get("smtp"),
            "sms_url": engines.get("mailbox", {}).get("url", "").replace("://", "://soms:soms@"),
            "public_url": engines.get("web", {}).get("url"),
        }
        return {name: value for name, value in found.items() if value}


def secret_file(path: Path, make: Callable[[], str]) -> str:
    """The text of `path`; where it is missing, `make()` is stored there, mode 600, and the first of several rivals wins."""
    try:
        return path.read_text()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        draft.touch(mode=0o600)
        draft.write_text(make())
        try:
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(draft)
        finally:
            draft.unlink()
        return path.read_text()


@functools.cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
