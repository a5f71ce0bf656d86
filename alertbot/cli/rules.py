"""`check` and `schema`: what rule authors run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alertbot.app import template_folders
from alertbot.cli.shell import PROBLEM, AsJson, Config, cli
from alertbot.cli.show import fault_json, out, print_json, show_faults
from alertbot.cli.testing import lent_settings, rule_roots
from alertbot.config import config_schema
from alertbot.errors import Fault, FaultsFound, UsageError
from alertbot.notify.render import check_template
from alertbot.reloader import load_rules
from alertbot.rules.rule import Rule
from alertbot.rules.schema import rules_schema


@cli.command()
def check(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="[PATH…]", help="Rule files or folders.")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Configuration, rules and templates: every fault as path:line:column: text. With PATH only that."""
    lent = lent_settings(config, needed=not paths)
    if paths:
        groups = [tuple(paths)]
        folders = tuple((path if path.is_dir() else path.parent) / "templates" for path in paths)
    else:
        assert lent is not None
        groups = [(path,) for path in rule_roots(lent)]
        folders = template_folders(lent)
    rules: list[Rule] = []
    faults: list[Fault] = []
    for group in groups:
        try:
            rules += load_rules(group, lent.hours if lent else None).rules
        except FaultsFound as found:
            faults += found.faults
    for template in sorted({rule.template for rule in rules}):
        try:
            check_template(template, folders)
        except FaultsFound as found:
            faults += found.faults
    if as_json:
        print_json([fault_json(fault) for fault in sorted(faults)])
    elif faults:
        show_faults(sorted(faults))
    else:
        out.print(f"{len(rules)} rules, no faults")
    if faults:
        raise typer.Exit(PROBLEM)


@cli.command()
def schema(what: Annotated[str, typer.Argument(metavar="rules|config", help="Which file it describes.")]) -> None:
    """JSON Schema for editors."""
    schemas = {"rules": rules_schema, "config": config_schema}
    if what not in schemas:
        raise UsageError(f"no schema of {what!r}: write `alertbot schema rules` or `alertbot schema config`")
    print_json(schemas[what]())
