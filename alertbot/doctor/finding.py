"""A finding: what was examined, what came of it, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What came of an examination."""

    OK = "ok"
    NOTE = "note"  # fine, and worth knowing
    PROBLEM = "problem"
    SKIPPED = "skipped"  # something else is in the way; it has a finding of its own


@dataclass(frozen=True)
class Finding:
    """One finding: `what` was examined, `finding` came of it, and `remedy` says what to do, "" where nothing."""

    what: str
    verdict: Verdict
    finding: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing needs to be done."""
        return self.verdict in (Verdict.OK, Verdict.NOTE)


def fine(what: str, finding: str) -> Finding:
    """All is well."""
    return Finding(what, Verdict.OK, finding)


def note(what: str, finding: str, remedy: str) -> Finding:
    """It works, and the administrator may want to know."""
    return Finding(what, Verdict.NOTE, finding, remedy)


def problem(what: str, finding: str, remedy: str) -> Finding:
    """It does not work, or will not for long."""
    return Finding(what, Verdict.PROBLEM, finding, remedy)


def skipped(what: str, why: str, remedy: str) -> Finding:
    """It could not be examined."""
    return Finding(what, Verdict.SKIPPED, f"not checked: {why}", remedy)
