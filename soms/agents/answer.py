"""Answers of servers that are not ours: read up to a limit, whatever they send. Knows nothing of what they mean."""

from typing import Final

import aiohttp

LARGEST_BYTES: Final = 64 * 1024


async def beginning(answer: aiohttp.ClientResponse) -> bytes:
    """The body, at most 64 KiB of it."""
    found = bytearray()
    async for chunk in answer.content.iter_any():
        found += chunk
        if len(found) >= LARGEST_BYTES:
            break
    return bytes(found[:LARGEST_BYTES])
