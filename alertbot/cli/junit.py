"""JUnit XML of rule tests, for CI servers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from alertbot.backtest.trial import RuleTestResult
from alertbot.cli.timeline import draw_failure
from alertbot.errors import UsageError
from alertbot.rulefiles.faults import Fault

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, outcomes: Sequence[RuleTestResult], faults: Sequence[Fault]) -> None:
    """One suite per file, one case per rule test; a fault in a file is a case with an error.

    Raises UsageError when the file cannot be written.
    """
    root = ElementTree.Element("testsuites")
    files = dict.fromkeys([*(each.test.file for each in outcomes), *(fault.file for fault in faults)])
    for file in files:
        own = [each for each in outcomes if each.test.file == file]
        wrong = [fault for fault in faults if fault.file == file]
        failed = [each for each in own if not each.passed]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_text(file),
            tests=str(len(own) + len(wrong)),
            failures=str(len(failed)),
            errors=str(len(wrong)),
        )
        for each in own:
            test = each.test
            element = ElementTree.SubElement(
                suite,
                "testcase",
                classname=_text(test.rule),
                name=_text(test.name),
                file=_text(file),
                line=str(test.line),
            )
            if not each.passed:
                first = each.misses[0]
                message = _text(f"expected {first.expected}, got {first.actual}")
                failure = ElementTree.SubElement(element, "failure", message=message)
                failure.text = _text("\n".join(draw_failure(each)))
        for fault in wrong:
            element = ElementTree.SubElement(
                suite, "testcase", classname=_text(fault.rule or file), name=f"line {fault.line}"
            )
            ElementTree.SubElement(element, "error", message=_text(str(fault)))
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    tree = ElementTree.ElementTree(root)
    ElementTree.indent(tree)
    try:
        tree.write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)
