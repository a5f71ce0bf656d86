"""Templates that would take for ever, or all memory: each is refused at once, and the built-in card is used."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from alertbot.errors import FaultsFound
from alertbot.notify.pens import PlainPen
from alertbot.notify.render import Templates, check_template
from tests.notify.cases import FIRING, card

DOUBLED = "{% set x = 'x' * 30000 %}"
GREEDY = {
    "a loop in a loop": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "a range beyond the sandbox": "{% for a in range(99999) %}{% endfor %}",
    "a loop with a condition": "{% for a in range(9999) %}{% for b in range(9999) if b < 0 %}{% endfor %}{% endfor %}",
    "a recursive loop": "{% for a in range(99) recursive %}{{ loop(range(99)) }}{% endfor %}",
    "a macro that calls itself twice": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}"
    ),
    "a block that calls itself": "{{ self.body() }}{{ self.body() }}",
    "a power of a power": "{{ 9**(9**9) }}",
    "a power that is not shown": "{% set x = 9**(9**9) %}",
    "a power in an option": "{% autoescape 9**(9**9) %}{% endautoescape %}",
    "a product of products": "{% set x = 9**300 %}" + "{% set x = x * x %}" * 40,
    "a repeated text": '{{ "x" * 20000000000 }}',
    "a repeated text the other way round": '{{ 20000000000 * "x" }}',
    "a repeated list": "{{ [1] * 20000000000 }}",
    "a list in a list": "{% set x = [1] %}" + "{% set x = [x, x] %}" * 40 + "{{ x }}",
    "a mapping in a mapping": "{% set x = {} %}" + "{% set x = dict(a=x, b=x) %}" * 40 + "{{ x }}",
    "a sum of texts": DOUBLED + "{{ x + x }}",
    "joined texts": DOUBLED + "{{ x ~ x }}",
    "a text set to itself": "{% set x %}x{% endset %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40,
    "a replaced text": "{% set x = 'x' * 9999 %}{{ x | replace('x', x) }}",
    "the method replace": "{% set x = 'x' * 9999 %}{{ x.replace('x', x) }}",
    "the filter join": "{% set x = 'x' * 9999 %}{{ range(9999) | join(x) }}",
    "the method join": "{% set x = 'x' * 9999 %}{{ x.join('y' * 9999) }}",
    "a wide format": '{{ "%2000000000d" % 1 }}',
    "a format as wide as a value": '{{ "%*d" % (2000000000, 1) }}',
    "the filter format": '{{ "%2000000000d" | format(1) }}',
    "the method format": '{{ "{:>2000000000}".format(1) }}',
    "the method format with a value": '{{ "{:>{}}".format(1, 2000000000) }}',
    "the filter center": '{{ "x" | center(2000000000) }}',
    "the method center": '{{ "x".center(2000000000) }}',
    "the filter indent": '{{ "x" | indent(2000000000, true) }}',
    "tabs": '{{ "\\t".expandtabs(2000000000) }}',
    "digits": "{{ 1.5 | round(2000000000, 'ceil') }}",
    "placeholder text": "{{ lipsum(n=100000) }}",
    "lists in a list": "{{ ([range(9999)] * 4000) | map('list') | list | length }}",
    "a sum of lists": "{{ ([range(999)] * 40) | map('list') | sum(start=[]) }}",
    "slices": "{{ [1] | slice(2000000000) | list }}",
    "much text in a loop": "{% for a in range(9999) %}" + "x" * 1000 + "{% endfor %}",
    "a long template": "x" * 200_000,
}


def write(folder: Path, body: str) -> None:
    (folder / "mine.j2").write_text(
        '{% extends "alert.j2" %}\n{% block body %}' + body + "{% endblock %}", encoding="utf-8"
    )


@pytest.mark.parametrize("name", GREEDY)
def test_check_refuses_it_soon(name: str, tmp_path: Path) -> None:
    """`check` reports it at its file, with one fault, within a moment."""
    write(tmp_path, GREEDY[name])
    began = time.thread_time()
    with pytest.raises(FaultsFound) as caught:
        check_template("mine", [tmp_path])
    assert time.thread_time() - began < 5.0
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].file == str(tmp_path / "mine.j2")


@pytest.mark.parametrize("name", GREEDY)
def test_at_night_the_built_in_card_is_used(name: str, tmp_path: Path) -> None:
    """Also where only one queue meets it: the alert is reported, with the fault."""
    write(tmp_path, '{% if "A late" in card.where %}' + GREEDY[name] + "{% endif %}")
    templates = Templates([tmp_path])
    about = replace(FIRING.about, template="mine")
    drawn = templates.card(card(replace(FIRING, about=about, entity_name="A late queue")), PlainPen())
    assert drawn.fault is not None
    assert drawn.body == Templates().card(card(replace(FIRING, entity_name="A late queue")), PlainPen()).body


MODEST = {
    "a loop over labels": "{% for label in card.labels %}{{ loop.index }} {{ label if not loop.last }}{% endfor %}",
    "a format": "{{ '%.1f' % 1.25 }} {{ '{:>5}'.format(7) }} {{ '%s' | format(card.value) }}",
    "a counter": "{% set ns = namespace(n=0) %}{% for x in range(10) %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}",
    "filters": "{{ ['a', 'b'] | join('-') | replace('-', ' ') | title | center(20) }} {{ 2.345 | round(1) }}",
    "a macro": "{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(card.where) ~ f(2 * 3) ~ 2 ** 3 }}",
    "the block above": "{{ super() }}",
}


@pytest.mark.parametrize("name", MODEST)
def test_what_templates_do_is_within_the_bounds(name: str, tmp_path: Path) -> None:
    """The usual loops, formats, filters and macros work."""
    write(tmp_path, MODEST[name])
    check_template("mine", [tmp_path])


def test_a_template_that_is_too_large_costs_its_time_once(tmp_path: Path) -> None:
    """However many rules use it: an edit must not keep the next one waiting."""
    write(tmp_path, GREEDY["a loop in a loop"])
    templates = Templates([tmp_path])
    for _ in range(2):
        with pytest.raises(FaultsFound, match=r"mine\.j2:2:0: .*use shorter or fewer loops"):
            templates.check("mine")
    began = time.thread_time()
    for rule in map(str, range(50)):
        with pytest.raises(FaultsFound, match=f"rule {rule}: .*use shorter or fewer loops"):
            templates.check("mine", rule=rule)
    assert time.thread_time() - began < 1.0


@pytest.mark.parametrize("block", ["title", "summary"])
def test_an_empty_part_is_a_fault_and_never_an_empty_message(block: str, tmp_path: Path) -> None:
    """`check` refuses it; a card is sent with that part of the built-in template."""
    text = '{% extends "alert.j2" %}{% block ' + block + " %}  {% endblock %}"
    (tmp_path / "mine.j2").write_text(text, encoding="utf-8")
    templates = Templates([tmp_path])
    templates.check("mine")
    with pytest.raises(FaultsFound, match=f"the block {block} is empty"):
        templates.check("mine", strict=True)
    drawn = templates.card(card(replace(FIRING, about=replace(FIRING.about, template="mine"))), PlainPen())
    built_in = Templates().card(card(FIRING), PlainPen())
    assert (drawn.title, drawn.summary, drawn.fault) == (built_in.title, built_in.summary, None)
