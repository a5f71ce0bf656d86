"""`schema`: JSON Schema for editors."""

from __future__ import annotations

from typing import Annotated

import typer

from alertbot.cli.shell import cli
from alertbot.cli.show import print_json
from alertbot.config.schema import config_schema
from alertbot.errors import UsageError
from alertbot.rulefiles.schema import rules_schema, tests_schema


@cli.command()
def schema(what: Annotated[str, typer.Argument(metavar="rules|config|tests", help="The kind of file.")]) -> None:
    """Print the JSON Schema of a kind of file, for editors."""
    schemas = {"rules": rules_schema, "config": config_schema, "tests": tests_schema}
    if what not in schemas:
        words = " or ".join(f"`alertbot schema {each}`" for each in schemas)
        raise UsageError(f"no schema of {what!r}: write {words}")
    print_json(schemas[what]())
