"""`check`: every fault in configuration, rules, templates and rule tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from alertbot.cli.fault_formats import Format, written
from alertbot.cli.shell import PROBLEM, AsJson, Config
from alertbot.cli.show import err, out, show_faults
from alertbot.cli.suites import find_suites, holds_tests, lent_settings, read_tests, rule_roots
from alertbot.config.load import config_path, is_configuration, read_text, unset_secrets
from alertbot.config.review import review_config
from alertbot.config.settings import Settings
from alertbot.errors import AlertbotError, FaultsFound
from alertbot.evaluation.snapshot import Snapshot
from alertbot.notify.render import Templates
from alertbot.rulefiles.faults import Fault, Severity
from alertbot.rulefiles.fields import POLL_EVERY
from alertbot.rulefiles.on_disk import read_all, read_file, read_templates, skipped_files, template_folder
from alertbot.rulefiles.parse_rules import ParsedRules, read_files
from alertbot.rulefiles.parse_tests import parse_tests
from alertbot.rulefiles.review import review, review_tests
from alertbot.rulefiles.review_live import review_coverage, review_look_back
from alertbot.rules.coverage import Entities
from alertbot.rules.match import EVERY_ENTITY, Match, covers
from alertbot.rules.words import count
from alertbot.service.live_rules import check_templates
from alertbot.service.of_settings import template_folders


def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH…]", help="Rule files, folders, or an alertbot.yaml.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
    form: Annotated[
        Format, typer.Option("--format", help="github: annotations of a workflow; sarif: for code scanning.")
    ] = Format.TEXT,
) -> None:
    """Check configuration, rules, templates and rule tests: each fault as path:line:column. With PATH, only that.

    Exit status 1 for errors and warnings; hints do not change it.
    """
    form = Format.JSON if as_json else form
    named = [path for path in paths or () if _is_configuration(path)]
    others = [path for path in paths or () if path not in named]
    settings = lent_settings(named[0] if named and config is None else config, needed=not paths)
    rules = tests = 0
    faults: list[Fault] = []
    unset: list[str] = []
    for path in named or ([] if paths else [config_path(config)]):
        unset += unset_secrets(path)
        faults += review_config(path.as_posix(), read_text(path))
    for group, templates in [] if named and not others else _groups(others, settings):
        found, test_count = check_group(group, templates, settings)
        rules, tests = rules + len(found.rules.rules), tests + test_count
        faults += found.faults
        faults += _coverage_hints(group, found, settings)
    faults = sorted(set(faults))
    refused = [fault for fault in faults if fault.severity is not Severity.HINT]
    if form is not Format.TEXT:
        sys.stdout.write(written(faults, form))
    else:
        if faults:
            show_faults(faults)
        if not refused:
            counts = [count(each, word) for each, word in ((rules, "rule"), (tests, "rule test")) if each]
            what = ["the configuration"] if named and not counts else counts or ["nothing to check"]
            out.print(f"{' and '.join(what)}, no faults")
    if unset:
        text = f"Not set here, and `run` needs them: {', '.join(dict.fromkeys(unset))}"
        (out if form is Format.TEXT else err).print(text, markup=False, soft_wrap=True)
    if refused:
        raise typer.Exit(PROBLEM)


def _is_configuration(path: Path) -> bool:
    """Whether a path that was named is an alertbot.yaml. What cannot be read is reported as a rule file would be."""
    try:
        return path.is_file() and is_configuration(read_file(path))
    except OSError:
        return False


def _groups(paths: Sequence[Path], settings: Settings | None) -> Iterator[tuple[tuple[Path, ...], tuple[Path, ...]]]:
    """Rules that run together, with the template folders they may use."""
    if paths:
        yield tuple(paths), tuple(dict.fromkeys(template_folder(path) for path in paths))
        return
    assert settings is not None  # required without paths
    for root in rule_roots(settings):
        yield (root,), template_folders(settings)


def _coverage_hints(paths: Sequence[Path], found: ParsedRules, settings: Settings | None) -> list[Fault]:
    """Hints about matches that cover nothing, where there is a database with polls of the tenants of these rules."""
    files, _ = read_all([path for path in paths if not holds_tests(path)])
    if settings is None or not any(rule.overrides or rule.match != EVERY_ENTITY for rule in found.rules.rules):
        return []
    from alertbot.service.databases import open_to_read  # not at the top: the store imports much, for these hints alone

    try:
        store = open_to_read(settings)
    except AlertbotError:
        return []  # no database yet, or none that can be read: then no last poll is at hand
    try:
        roots = {path.resolve() for path in paths}
        own = [each for each in settings.tenants if settings.path(each.rules or settings.rules).resolve() in roots]
        scopes = found.rules.scopes()
        polls = [
            {scope: _not_ignored(last, ignored.get(scope)) for scope, last in store.latest(tenant.name, scopes).items()}
            for tenant in own or settings.tenants
            for ignored in (settings.ignored(tenant),)
        ]
        return review_coverage(
            found.rules.rules,
            files,
            lambda scope: [poll[scope] for poll in polls if scope in poll],
        )
    except AlertbotError:
        return []
    finally:
        store.close()


def _not_ignored(last: Snapshot, ignored: Match | None) -> Entities:
    """The entities of a complete snapshot that rules evaluate; none of one that is incomplete."""
    pairs = zip(last.ids, last.names, strict=True) if last.complete else ()
    kept = [pair for pair in pairs if ignored is None or covers(ignored, *pair)]
    return tuple(id_ for id_, _ in kept), tuple(name for _, name in kept)


def check_group(paths: Sequence[Path], templates: Sequence[Path], settings: Settings | None) -> tuple[ParsedRules, int]:
    """The rules below these paths, all faults in them, their templates and tests, and the number of tests."""
    suites, _ = find_suites(paths, rule_roots(settings))
    files, faults = read_all([path for path in paths if not holds_tests(path)])
    hours = settings.hours if settings else None
    poll_every = settings.longest_poll(paths) if settings is not None else POLL_EVERY
    found = read_files(files, hours, poll_every)
    faults += [*found.faults, *review(found.rules.rules, files)]
    if settings is not None:
        faults += review_look_back(found.rules.rules, files, settings.record.keep, poll_every)
    faults += skipped_files(paths)
    template_files, template_faults = read_templates(templates)
    faults += template_faults
    faults += check_templates(found.rules.rules, Templates(templates, template_files), strict=True)
    tests = 0
    for suite in suites:
        known = found
        if not set(suite.rules) <= set(paths):  # tests named directly, or tests of optional rules
            known = read_files(read_all(suite.rules)[0], hours, poll_every)
        try:
            parsed = parse_tests(read_tests(suite.files, faults), known.rules, broken=known.broken)
            faults += review_tests(parsed, known.rules)
            tests += len(parsed)
        except FaultsFound as error:
            faults += error.faults
    return ParsedRules(found.rules, found.broken, tuple(faults)), tests
