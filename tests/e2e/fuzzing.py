"""What schemathesis must know of SOMS that no OpenAPI document tells: how to sign in, and which refusals of good data are none.

A module of hooks (`SCHEMATHESIS_HOOKS=fuzzing`), not of tests.
"""

import json
import os
import subprocess
import sys
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure

TOKEN_SECONDS = 240
# what a schema cannot say: of which fields, and for which codes (1.0 is an integer to it; it knows no sums, nor what else there is)
UNSAID_FIELDS = {"time_zone", "password", "email", "lines", "delta", "url"}
UNSAID_CODES = {"int_type", "default_needed", "customer_needed"}


@schemathesis.auth(refresh_interval=TOKEN_SECONDS)
class Bearer:
    """An access token of the account in SOMS_FUZZ_EMAIL with the role in SOMS_FUZZ_ROLE."""

    def get(self, case: Any, context: Any) -> str:
        """A fresh token."""
        account = ("--email", os.environ["SOMS_FUZZ_EMAIL"], "--role", os.environ["SOMS_FUZZ_ROLE"])
        return subprocess.run((sys.executable, "-m", "soms", "token", *account), check=True, capture_output=True, text=True).stdout.strip()

    def set(self, case: Any, data: str, context: Any) -> None:
        """Send it along."""
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.serializer("application/x-ndjson")
def line(context: Any, value: Any) -> bytes:
    """The schema is that of a line."""
    return json.dumps(value).encode()


@schemathesis.check
def good_form_is_accepted(context: Any, response: Any, case: Any) -> None:
    """A body that the document allows is not refused for its form; for what stands in the books it may be."""
    if not case.meta or not case.meta.generation.mode.is_positive or "problem" not in response.headers.get("content-type", [""])[0]:
        return
    problem = response.json()
    wrong = [error for error in problem.get("errors", ()) if error["field"] not in UNSAID_FIELDS and error["code"] not in UNSAID_CODES]
    if problem["reason"] == "validation_failed" and wrong:
        raise Failure(operation=case.operation.label, title="Good form was refused", message=problem["detail"])
