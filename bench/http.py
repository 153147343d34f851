"""The smallest HTTP/1.1 client that keeps a connection, so that a load measures the server and not its client."""

import asyncio
from types import TracebackType
from typing import Any, Self

import orjson


class Client:
    """One kept connection to a gateway, with one caller's access token."""

    def __init__(self, port: int, token: str = "") -> None:
        """Connect on first use."""
        self.port, self.token = port, token

    async def __aenter__(self) -> Self:
        """Open the connection."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it."""
        self.writer.close()

    async def ask(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        """Status and parsed body of one request."""
        content = orjson.dumps(body) if body is not None else b""
        head = f"{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
        head += "Content-Type: application/json\r\n" if content else ""
        head += f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        head += f"Idempotency-Key: {key}\r\n" if key else ""
        self.writer.write(head.encode() + b"\r\n" + content)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        text = await self.reader.readexactly(length)
        return int(answer[9:12]), orjson.loads(text) if text else None
