"""Slack's documented limits: why a message or a view would be refused. One place for all tests.

The limits are those of docs.slack.dev: reference/block-kit/blocks, reference/block-kit/block-elements,
reference/block-kit/composition-objects, reference/views, and reference/methods/chat.postMessage. For the text of all
blocks together no page has a limit; `msg_blocks_too_long` begins at about 13,200 characters (metabase/metabase#79908).
A block or element that is not listed here is a problem: add it with its limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

MAX_TEXT, MAX_BLOCKS, MAX_VIEW_BLOCKS, MAX_ATTACHMENTS, MAX_ALL = 4000, 50, 100, 100, 13_200
_ID = 255
_CONTROLS = re.compile(
    r"<(@[UW][A-Z0-9]+|#C[A-Z0-9]+(\|[^<>|]*)?|!(here|channel|everyone)|!subteam\^S[A-Z0-9]+(\|[^<>|]*)?"
    r"|!date\^\d+\^[^<>^|]+(\^https?://[^<>|]+)?\|[^<>|]+|(https?|mailto):[^<>|\s]+(\|[^<>|\n]+)?)>"
)
_METADATA_KEY = re.compile(r"[a-z][a-z0-9_]*")

Node = Mapping[str, Any]
Found = Iterator[str]


def problems(message: Node) -> list[str]:
    """Why Slack would refuse a message; each problem with the place of its block. An empty list where it would not."""
    return list(_message(message))


def view_problems(view: Node) -> list[str]:
    """The same of a modal or a Home tab."""
    return list(_view(view))


def code_of(message: Node) -> str:
    """The code with which Slack refuses a message, or ""."""
    found = problems(message)
    for code in ("no_text", "msg_too_long", "invalid_metadata", "too_many_attachments"):
        if any(each.startswith(code) for each in found):
            return code
    return "" if not found else found[0] if found == ["msg_blocks_too_long"] else "invalid_blocks"


def _message(message: Node) -> Found:
    text, blocks = message.get("text") or "", list(message.get("blocks") or [])
    attachments = list(message.get("attachments") or [])
    if not text and not blocks:
        yield "no_text"
    if len(text) > MAX_TEXT:
        yield f"msg_too_long: {len(text)}"
    if len(attachments) > MAX_ATTACHMENTS:
        yield f"too_many_attachments: {len(attachments)}"
    yield from (f"text: {each}" for each in _markup(text))
    for place, attachment in enumerate(attachments):
        if not re.fullmatch(r"#[0-9a-f]{6}|good|warning|danger", attachment.get("color", "good")):
            yield f"attachments[{place}]: color {attachment['color']!r}"
        blocks += attachment.get("blocks", [])
    yield from _blocks(blocks, MAX_BLOCKS)
    yield from _metadata(message.get("metadata"))
    if sum(map(len, _texts(blocks))) > MAX_ALL:
        yield "msg_blocks_too_long"


def _view(view: Node) -> Found:
    kind = view.get("type")
    if kind not in ("modal", "home"):
        yield f"type {kind!r}"
    if kind == "modal":
        yield from _text(view.get("title"), "title", 24, "plain_text")
    for name in ("submit", "close"):
        if name in view:
            yield from _text(view[name], name, 24, "plain_text")
    yield from _within(view, "private_metadata", 3000)
    yield from _within(view, "callback_id", _ID)
    blocks = view.get("blocks") or []
    yield from _blocks(blocks, MAX_VIEW_BLOCKS)
    if any(block["type"] == "input" for block in blocks) and "submit" not in view:
        yield "an input needs submit"


def _metadata(metadata: Node | None) -> Found:
    """Flat, with lower-case names: docs.slack.dev/messaging/message-metadata. An empty object removes it in an edit."""
    if not metadata:
        return
    if set(metadata) != {"event_type", "event_payload"}:
        yield f"invalid_metadata: keys {sorted(metadata)}"
        return
    for key, value in {metadata["event_type"]: "", **metadata["event_payload"]}.items():
        if not _METADATA_KEY.fullmatch(key):
            yield f"invalid_metadata: name {key!r}"
        if not isinstance(value, str | int | float | bool):
            yield f"invalid_metadata: {key} is no scalar"


def _blocks(blocks: Sequence[Node], most: int) -> Found:
    if len(blocks) > most:
        yield f"{len(blocks)} blocks"
    ids = [block["block_id"] for block in blocks if block.get("block_id")]
    if len(set(ids)) < len(ids):
        yield f"block_id twice: {ids}"
    for place, block in enumerate(blocks):
        check = BLOCKS.get(block.get("type", ""))
        if check is None:
            yield f"blocks[{place}]: unknown type {block.get('type')!r}"
            continue
        actions = [each["action_id"] for each in _elements(block) if each.get("action_id")]
        found = [*_within(block, "block_id", _ID), *check(block)]
        if len(set(actions)) < len(actions):
            found.append(f"action_id twice: {actions}")
        yield from (f"blocks[{place}] {block['type']}: {each}" for each in found)


def _elements(block: Node) -> list[Node]:
    one = [block[name] for name in ("accessory", "element") if name in block]
    return [*block.get("elements", ()), *one] if block["type"] != "context" else []


def _header(block: Node) -> Found:
    yield from _text(block.get("text"), "text", 150, "plain_text")


def _section(block: Node) -> Found:
    fields = block.get("fields")
    if "text" not in block and not fields:
        yield "neither text nor fields"
    if "text" in block:
        yield from _text(block["text"], "text", 3000)
    if fields is not None and not 1 <= len(fields) <= 10:
        yield f"{len(fields)} fields"
    for field in fields or ():
        yield from _text(field, "field", 2000)
    if "accessory" in block:
        yield from _element(block["accessory"])


def _context(block: Node) -> Found:
    elements = block.get("elements", ())
    if not 1 <= len(elements) <= 10:
        yield f"{len(elements)} elements"
    for element in elements:
        if element.get("type") == "image":
            yield from _image(element)
        else:
            yield from _text(element, "element", 3000)


def _actions(block: Node) -> Found:
    elements = block.get("elements", ())
    if not 1 <= len(elements) <= 25:
        yield f"{len(elements)} elements"
    for element in elements:
        yield from _element(element)


def _image(block: Node) -> Found:
    if not 1 <= len(block.get("alt_text", "")) <= 2000:
        yield "alt_text"
    if ("slack_file" in block) is ("image_url" in block):
        yield "image_url or slack_file"
    yield from _within(block, "image_url", 3000)
    if "title" in block:
        yield from _text(block["title"], "title", 2000, "plain_text")


def _input(block: Node) -> Found:
    yield from _text(block.get("label"), "label", 2000, "plain_text")
    if "hint" in block:
        yield from _text(block["hint"], "hint", 2000, "plain_text")
    yield from _element(block["element"])


def _divider(block: Node) -> Found:
    yield from ()


BLOCKS: Mapping[str, Callable[[Node], Found]] = {
    "header": _header,
    "section": _section,
    "context": _context,
    "actions": _actions,
    "image": _image,
    "input": _input,
    "divider": _divider,
}


def _element(element: Node) -> Found:
    kind = element.get("type", "")
    check = ELEMENTS.get(kind)
    if check is None:
        yield f"unknown element {kind!r}"
        return
    if kind != "image" and not element.get("action_id"):
        yield f"{kind} without action_id"
    yield from _within(element, "action_id", _ID)
    if "placeholder" in element:
        yield from _text(element["placeholder"], f"placeholder of {kind}", 150, "plain_text")
    if "confirm" in element:
        yield from _confirm(element["confirm"])
    yield from (f"{kind}: {each}" for each in check(element))


def _button(element: Node) -> Found:
    yield from _text(element.get("text"), "text", 75, "plain_text")
    yield from _within(element, "value", 2000)
    yield from _within(element, "url", 3000)
    yield from _within(element, "accessibility_label", 75)
    if element.get("style", "primary") not in ("primary", "danger"):
        yield f"style {element['style']!r}"


def _options(most: int) -> Callable[[Node], Found]:
    def check(element: Node) -> Found:
        groups = element.get("option_groups")
        options = [each for group in groups for each in group["options"]] if groups else element.get("options", [])
        if not 1 <= len(options) <= most:
            yield f"{len(options)} options"
        if len({option["value"] for option in options}) < len(options):
            yield "a value twice"
        for option in options:
            yield from _text(option.get("text"), "option", 75)
            if not 1 <= len(option["value"]) <= 150:
                yield f"value of {len(option['value'])} characters"
            if "description" in option:
                yield from _text(option["description"], "description", 75)
        initial = element.get("initial_option")
        if initial is not None and initial not in options:
            yield "initial_option is no option"

    return check


def _input_text(element: Node) -> Found:
    most = element.get("max_length", 3000)
    if not 1 <= most <= 3000:
        yield f"max_length {most}"
    if len(element.get("initial_value", "")) > most:
        yield "initial_value"


def _picker(element: Node) -> Found:
    for name, form in (("initial_date", r"\d{4}-\d\d-\d\d"), ("initial_time", r"\d\d:\d\d")):
        if name in element and not re.fullmatch(form, element[name]):
            yield f"{name} {element[name]!r}"


ELEMENTS: Mapping[str, Callable[[Node], Found]] = {
    "button": _button,
    "static_select": _options(100),
    "overflow": _options(5),
    "radio_buttons": _options(10),
    "checkboxes": _options(10),
    "plain_text_input": _input_text,
    "datepicker": _picker,
    "timepicker": _picker,
    "datetimepicker": _picker,
    "users_select": _divider,
    "image": _image,
}


def _confirm(confirm: Node) -> Found:
    yield from _text(confirm.get("title"), "title of confirm", 100, "plain_text")
    yield from _text(confirm.get("text"), "text of confirm", 300)
    for name in ("confirm", "deny"):
        yield from _text(confirm.get(name), f"{name} of confirm", 30, "plain_text")


def _text(text: Node | None, name: str, most: int, kind: str = "") -> Found:
    """A text object: its length, and in mrkdwn that only what Slack understands is between angle brackets."""
    if text is None:
        yield f"no {name}"
        return
    if text.get("type") not in ((kind,) if kind else ("plain_text", "mrkdwn")):
        yield f"{name} is {text.get('type')}"
    if not 1 <= len(text["text"]) <= most:
        yield f"{name} of {len(text['text'])} characters"
    if text.get("type") == "mrkdwn":
        if "emoji" in text:
            yield f"emoji in mrkdwn of {name}"
        if text.get("verbatim") is not True:
            yield f"{name} is not verbatim: Slack makes mentions of @here in it"
        yield from (f"{name}: {each}" for each in _markup(text["text"]))


def _markup(text: str) -> Found:
    rest = _CONTROLS.sub("", text)
    if "<" in rest or ">" in rest:
        yield f"a bracket that is no control sequence: {rest[:80]!r}"
    if re.search(r"&(?!(amp|lt|gt);)", rest):
        yield f"an ampersand that is not escaped: {rest[:80]!r}"


def _within(node: Node, name: str, most: int) -> Found:
    if name in node and len(node[name]) > most:
        yield f"{name} of {len(node[name])} characters"


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for each in node:
            yield from _texts(each)
