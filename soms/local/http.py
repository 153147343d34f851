"""Asking a local server over HTTP whether it answers."""

import http.client
import urllib.parse


def status(url: str, timeout_seconds: float) -> int:
    """The status of GET `url`; blocks; raises OSError where there is no proper answer."""
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=timeout_seconds)
    try:
        connection.request("GET", where.path)
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
