"""`check`: every fault in configuration, rules, templates and rule tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from alertbot.cli.fault_formats import Format, written
from alertbot.cli.shell import PROBLEM, AsJson, Config
from alertbot.cli.show import err, out, say, show_faults
from alertbot.cli.suites import find_suites, holds_tests, lent_settings, read_tests, rule_roots
from alertbot.config.load import config_path, is_configuration, load, read_text, unset_secrets
from alertbot.config.review import review_config, review_page
from alertbot.config.settings import Settings
from alertbot.errors import FaultsFound
from alertbot.notify.render import Templates
from alertbot.rulefiles.document import Documents
from alertbot.rulefiles.faults import Fault, Severity
from alertbot.rulefiles.fields import POLL_EVERY
from alertbot.rulefiles.on_disk import read_all, read_file, read_templates, skipped_files, template_folder
from alertbot.rulefiles.parse_rules import read_files
from alertbot.rulefiles.parse_tests import parse_tests
from alertbot.rulefiles.policy import Policy, review_policy
from alertbot.rulefiles.review import review, review_tests
from alertbot.rulefiles.review_live import review_look_back
from alertbot.rulefiles.rule_test import RuleTest
from alertbot.rules.rule import Level, RuleSet
from alertbot.rules.words import count
from alertbot.service.live_rules import check_templates
from alertbot.service.of_settings import serves_page, template_folders


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
    notes: list[str] = []
    for path in named or ([] if paths else [config_path(config)]):
        unset += unset_secrets(path)
        text = read_text(path)
        faults += review_config(path.as_posix(), text)
        if not serves_page(load(path, secrets=False)):
            faults += review_page(path.as_posix(), text)
    for group, templates in [] if named and not others else _groups(others, settings):
        found = check_group(group, templates, settings)
        rules, tests = rules + len(found.rules.rules), tests + len(found.tests)
        faults += found.faults
        if settings is not None:
            from alertbot.cli.check_recorded import judge_recorded  # not at the top: it imports the store and replay

            recorded = judge_recorded(group, found.rules, found.files, found.documents, settings)
            tested = None if found.broken_tests else {test.rule for test in found.tests}
            policy = _policy(settings)
            faults += review_policy(
                found.rules.rules,
                found.files,
                policy,
                tested=tested,
                fired=recorded.fired,
                documents=found.documents,
            )
            faults += recorded.hints
            notes += recorded.notes
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
            say(f"{' and '.join(what)}, no faults")
    if unset:
        notes.append(f"Not set here, and `run` needs them: {', '.join(dict.fromkeys(unset))}")
    for note in dict.fromkeys(notes):
        (out if form is Format.TEXT else err).print(note, markup=False, soft_wrap=True)
    if refused:
        raise typer.Exit(PROBLEM)


def _is_configuration(path: Path) -> bool:
    """Whether a path that was named is an alertbot.yaml. What cannot be read is reported as a rule file would be."""
    try:
        return path.is_file() and is_configuration(read_file(path))
    except OSError:
        return False


def _policy(settings: Settings) -> Policy:
    own = settings.policy
    return Policy(Level.of(own.runbook) if own.runbook else None, own.labels, own.tests, own.max_per_day)


def _groups(paths: Sequence[Path], settings: Settings | None) -> Iterator[tuple[tuple[Path, ...], tuple[Path, ...]]]:
    """Rules that run together, with the template folders they may use."""
    if paths:
        yield tuple(paths), tuple(dict.fromkeys(template_folder(path) for path in paths))
        return
    assert settings is not None  # required without paths
    for root in rule_roots(settings):
        yield (root,), template_folders(settings)


@dataclass(frozen=True)
class Checked:
    """What is below the paths of a group. `broken_tests`: some file of tests has faults, so its tests are not known."""

    rules: RuleSet
    files: Mapping[str, bytes]
    documents: Documents
    faults: tuple[Fault, ...]
    tests: tuple[RuleTest, ...]
    broken_tests: bool


def check_group(paths: Sequence[Path], templates: Sequence[Path], settings: Settings | None) -> Checked:
    """The rules below these paths, all faults in them and in their templates and tests."""
    suites, _ = find_suites(paths, rule_roots(settings))
    files, faults = read_all([path for path in paths if not holds_tests(path)])
    hours = settings.hours if settings else None
    poll_every = settings.longest_poll(paths) if settings is not None else POLL_EVERY
    documents: Documents = {}  # each file is parsed once, however many suites and reviews read it
    found = read_files(files, hours, poll_every, documents)
    faults += [*found.faults, *review(found.rules.rules, files, documents)]
    if settings is not None:
        record = settings.record
        faults += review_look_back(found.rules.rules, files, record.keep, poll_every, record.usual, documents)
    faults += skipped_files(paths)
    template_files, template_faults = read_templates(templates)
    faults += template_faults
    faults += check_templates(found.rules.rules, Templates(templates, template_files), strict=True)
    tests: list[RuleTest] = []
    broken = False
    for suite in suites:
        known = found
        if not set(suite.rules) <= set(paths):  # tests named directly, or tests of optional rules
            known = read_files(read_all(suite.rules)[0], hours, poll_every, documents)
        try:
            parsed = parse_tests(read_tests(suite.files, faults), known.rules, broken=known.broken)
            faults += review_tests(parsed, known.rules)
            tests += parsed
        except FaultsFound as error:
            faults += error.faults
            broken = True
    return Checked(found.rules, files, documents, tuple(faults), tuple(tests), broken)
