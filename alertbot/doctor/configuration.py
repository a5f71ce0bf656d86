"""alertbot.yaml and the rules: permissions of the file, secrets that are not set, faults, calendars that run out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from alertbot.config.load import literal_secrets, read_text, unset_secrets
from alertbot.config.settings import Settings
from alertbot.doctor.finding import Finding, fine, problem
from alertbot.errors import FaultsFound
from alertbot.rulefiles.on_disk import read_disk
from alertbot.rulefiles.parse_rules import read_files
from alertbot.rules.hours import Calendar
from alertbot.rules.rule import RuleSet
from alertbot.rules.words import count, listed
from alertbot.service.live_rules import LiveRules
from alertbot.service.of_settings import parser, rule_paths

ENDS_SOON = timedelta(days=30)

_WHERE = {
    "api_key": "create the pair in the 8x8 Admin Console > API Keys, for the product Analytics for Contact Center",
    "api_secret": "8x8 shows it once, when the key is created: if it is lost, create another pair",
    "bot_token": "it is on the Slack app's page OAuth & Permissions, xoxb-…",
}


@dataclass(frozen=True)
class Rules:
    """By tenant, the rules without faults, and whether all files are free of faults."""

    by_tenant: Mapping[str, RuleSet]
    sound: bool


def check_file(path: Path) -> Iterator[Finding]:
    """Who can read and change the configuration file, and which secrets are not set."""
    what = "configuration file"
    literal = literal_secrets(read_text(path))
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if os.name == "posix" and mode & stat.S_IWOTH:
        yield problem(what, f"{path}: every user of this machine can change it", f"run: chmod o-w {path}")
    elif os.name == "posix" and literal and mode & (stat.S_IRGRP | stat.S_IROTH):
        yield problem(
            what,
            f"{path} holds secrets ({listed(literal)}) and other users can read it (mode {mode:o})",
            f"run: chmod 600 {path}; or write ${{NAME}} in it and set the secrets in the environment",
        )
    else:
        yield fine(what, f"{path} is valid" + (", and only its owner can read the secrets in it" if literal else ""))
    for name in unset_secrets(path):
        key = name.rpartition(".")[2]
        if "." in name and key in _WHERE:
            yield problem(f"secret {name}", "it has no value", _WHERE[key])
        elif os.sep in name:
            yield problem(f"secret {name}", "the file cannot be read", "create it, readable for the user of alertbot")
        else:
            yield problem(
                f"secret {name}",
                "the environment variable is not set here",
                "set it, or run doctor where it is set: in the container, or with the environment of the service",
            )


def check_rules(settings: Settings) -> tuple[Rules, list[Finding]]:
    """The rules of each tenant, and what is wrong with their files. Faults of one file stop no other."""
    paths = rule_paths(settings)
    try:
        live = LiveRules(paths, parser(settings))
    except FaultsFound as found:
        rules = {tenant: read_files(read_disk(path).rules, settings.hours).rules for tenant, path in paths.items()}
        first = found.faults[0]
        more = f" (and {len(found.faults) - 1} more)" if len(found.faults) > 1 else ""
        finding = problem(
            "rules", f"{first}{more}", "`alertbot check` lists every fault; `run` does not start until they are fixed"
        )
        return Rules(rules, sound=False), [finding]
    rules = {tenant: live.rules(tenant) for tenant in paths}
    findings = []
    for tenant, each in rules.items():
        what = f"rules of {tenant}" if len(rules) > 1 else "rules"
        if each.rules:
            findings.append(fine(what, f"{count(len(each.rules), 'rule')}, version {each.version}"))
        else:
            findings.append(problem(what, f"{paths[tenant]} has no rules", "add rules; `alertbot init` writes some"))
    return Rules(rules, sound=True), findings


def check_calendars(settings: Settings, rules: Mapping[str, RuleSet], now: datetime) -> Iterator[Finding]:
    """Calendars whose holidays are listed as dates, and run out."""
    calendars: dict[str, Calendar] = dict(settings.hours)
    for each in rules.values():
        for rule in each.rules:
            for hours in (rule.during, rule.outside):
                if hours is not None:
                    calendars.setdefault(hours.calendar.name, hours.calendar)
    for name, calendar in sorted(calendars.items()):
        yield _of_calendar(f"calendar {name}", calendar, now)


def _of_calendar(what: str, calendar: Calendar, now: datetime) -> Finding:
    today = now.astimezone(calendar.zone).date()
    last = max(calendar.dates, default=None)
    if last is None or calendar.countries:
        return fine(what, "its holidays do not run out")
    remedy = f"add later dates, or use `{{country: …}}`, which does not run out{_place(calendar)}"
    if last < today:
        return problem(what, f"its last holiday was {last.isoformat()}: it opens on every later holiday", remedy)
    if last - today < ENDS_SOON:
        return problem(what, f"its last holiday is {last.isoformat()}, in {count((last - today).days, 'day')}", remedy)
    return fine(what, f"its last holiday is {last.isoformat()}")


def _place(calendar: Calendar) -> str:
    return f" ({calendar.where})" if calendar.where else ""
