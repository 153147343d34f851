"""Asking a local server over HTTP whether it answers: `python -m soms.local.http URL`, which ends with code 0 if it says 200."""

import http.client
import sys
import urllib.parse
from http import HTTPStatus


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


if __name__ == "__main__":
    sys.exit(status(sys.argv[1], timeout_seconds=4) != HTTPStatus.OK)
