"""`schema`: JSON Schema for editors."""

from __future__ import annotations

from typing import Annotated

import typer

from alertbot.cli.init import SCHEMAS
from alertbot.cli.show import print_json
from alertbot.errors import UsageError


def schema(what: Annotated[str, typer.Argument(metavar="rules|config|tests", help="The kind of file.")]) -> None:
    """Print the JSON Schema of a kind of file, for editors."""
    if what not in SCHEMAS:
        words = " or ".join(f"`alertbot schema {each}`" for each in SCHEMAS)
        raise UsageError(f"no schema of {what!r}: write {words}")
    print_json(SCHEMAS[what]())
