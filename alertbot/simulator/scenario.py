"""Scenario files: YAML to steps for the model and faults for the API, or every mistake with its line.

    about: what happens, in a sentence
    steps:
      - {at: 30s, rush: {queue: Sales EU, factor: 10, for: 5m}}
      - {at: 1m, walkout: {group: Sales Team, share: 80%, status: OnBreak, code: Team meeting, for: 3m}}
      - {at: 0s, quiet: {factor: 0.1}}
      - {at: 2m, api: {fault: status, status: 503, path: "/queues*", for: 90s, retry_after: 5s}}

`at` (from the start) and `for` are simulated time; a step without `for` is permanent. Queues and groups are given by
name or id, or as `#1` for the first one; `*` is all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from alertbot import errors
from alertbot.rulefiles import document
from alertbot.rulefiles.document import YamlMapping
from alertbot.rulefiles.faults import Fault
from alertbot.rules.words import nearest
from alertbot.simulator.actions import Action, Demand, WalkOut
from alertbot.simulator.faults import BODIES, ERROR_BODIES, ApiFault, Kind
from alertbot.simulator.model import Centre

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def _duration(value: object) -> timedelta:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        raise ValueError(f"{value!r} is not a duration: write 90s, 2m or 1m30s")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _share(value: object) -> float:
    percent = isinstance(value, str) and re.fullmatch(r"(\d+(?:\.\d+)?)%", value)
    share = float(percent[1]) / 100 if percent else value
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ValueError(f"{value!r} is not a share: write 80% or 0.8")
    return float(share)


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Share = Annotated[float, BeforeValidator(_share)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class _Rush(_Shape):
    queue: str
    factor: float = Field(gt=0, le=1000)
    lasting: Duration | None = Field(None, alias="for")


class _Quiet(_Shape):
    queue: str = "*"
    factor: float = Field(0.15, ge=0, le=1)
    lasting: Duration | None = Field(None, alias="for")


class _WalkOut(_Shape):
    queue: str | None = None
    group: str | None = None
    share: Share = 1.0
    status: Literal["OnBreak", "WorkingOffline", "LoggedOut"] = "OnBreak"
    code: str | None = None
    lasting: Duration | None = Field(None, alias="for")

    @model_validator(mode="after")
    def _one_of(self) -> _WalkOut:
        if self.queue is not None and self.group is not None:
            raise ValueError("both queue and group: name one of them")
        return self


class _Api(_Shape):
    fault: Kind
    path: str = "*"
    page: int | None = Field(None, ge=0)
    times: int | None = Field(None, ge=1)
    status: int = Field(503, ge=400, le=599)
    retry_after: Duration | None = None
    delay: Duration = timedelta(seconds=3)
    body: str = "message"
    lasting: Duration | None = Field(None, alias="for")

    @model_validator(mode="after")
    def _body_is_known(self) -> _Api:
        known = BODIES if self.fault == "malformed" else ERROR_BODIES
        if self.fault in ("malformed", "status") and self.body not in known:
            raise ValueError(f"unknown body {self.body!r}{_nearest(self.body, known)}")
        return self


_KINDS = ("rush", "quiet", "walkout", "api")


class _Step(_Shape):
    at: Duration
    rush: _Rush | None = None
    quiet: _Quiet | None = None
    walkout: _WalkOut | None = None
    api: _Api | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> _Step:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a step is one of {', '.join(_KINDS)}; this one is {' and '.join(given) or 'none of them'}"
            )
        return self


class _File(_Shape):
    about: str = ""
    steps: list[_Step]


@dataclass(frozen=True)
class Scenario:
    """A valid scenario: what happens to the centre and to the API, by time since the start."""

    name: str
    about: str
    actions: tuple[tuple[timedelta, Action], ...]
    api: tuple[tuple[timedelta, timedelta | None, ApiFault], ...]

    def apply(self, centre: Centre) -> None:
        """Schedule all steps for a centre that is at its start.

        Raises UsageError when it has no queue or group of that name.
        """
        try:
            for at, action in self.actions:
                centre.schedule(action, at)
        except LookupError as error:
            raise errors.UsageError(f"scenario {self.name}: {error.args[0]}") from error

    def faults(self, start: datetime) -> list[ApiFault]:
        """The faults of the API, for a server that starts at `start`."""
        faults = []
        for at, lasting, fault in self.api:
            until = start + at + lasting if lasting is not None else None
            faults.append(_moved(fault, start + at, until))
        return faults


def _moved(fault: ApiFault, start: datetime, until: datetime | None) -> ApiFault:
    return ApiFault(
        kind=fault.kind, path=fault.path, page=fault.page, times=fault.times, start=start, until=until,
        tenant=fault.tenant, status=fault.status, retry_after=fault.retry_after, delay_s=fault.delay_s, body=fault.body,
    )  # fmt: skip


def shipped_scenarios() -> dict[str, str]:
    """Name and text of the built-in scenarios."""
    folder = resources.files("alertbot.simulator").joinpath("scenarios")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return {f.name.removesuffix(".yaml"): f.read_text(encoding="utf-8") for f in files}


def load_scenario(name_or_file: str) -> Scenario:
    """The built-in scenario of that name, or the one in a file.

    Raises ConfigError, with every mistake, when the file is wrong, and UsageError when it cannot be read.
    """
    shipped = shipped_scenarios()
    if name_or_file in shipped:
        return parse_scenario(shipped[name_or_file], f"{name_or_file}.yaml")
    path = Path(name_or_file)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise errors.UsageError(
            f"scenario {name_or_file}: {reason}; built-in are {', '.join(shipped)}{_nearest(name_or_file, shipped)}"
        ) from error
    return parse_scenario(text, str(path))


def parse_scenario(text: str, file: str) -> Scenario:
    """The scenario in `text`. Raises ConfigError with a line for each mistake: `file:line:column: what (fix)`."""
    expected = "a scenario is a mapping with the key steps"
    root, faults = document.read(file, text, if_empty=(expected, ""))
    if not isinstance(root, YamlMapping):
        raise _refused(faults or [Fault(file, 1, 1, expected)])
    if faults:
        raise _refused(faults)
    try:
        parsed = _File.model_validate(document.plain_value(root))
    except ValidationError as error:
        raise _refused([_fault(file, root, problem) for problem in error.errors()]) from error
    actions: list[tuple[timedelta, Action]] = []
    api: list[tuple[timedelta, timedelta | None, ApiFault]] = []
    for step in sorted(parsed.steps, key=lambda step: step.at):
        if step.api is not None:
            api.append((step.at, step.api.lasting, _api_fault(step.api)))
        else:
            actions.append((step.at, _action(step)))
    return Scenario(Path(file).stem, parsed.about, tuple(actions), tuple(api))


def _action(step: _Step) -> Action:
    if step.walkout is not None:
        out = step.walkout
        return WalkOut(out.queue, out.group, out.share, out.status, out.code, out.lasting)
    demand = step.rush or step.quiet
    assert demand is not None, "validation lets no step through without an action"
    return Demand(demand.queue, demand.factor, demand.lasting)


def _api_fault(api: _Api) -> ApiFault:
    return ApiFault(
        kind=api.fault,
        path=api.path,
        page=api.page,
        times=api.times,
        status=api.status,
        retry_after=api.retry_after.total_seconds() if api.retry_after is not None else None,
        delay_s=api.delay.total_seconds(),
        body=api.body,
    )


# -- mistakes
# ------------------------------------------------------------------------------------------------------------


def _refused(faults: list[Fault]) -> errors.ConfigError:
    return errors.ConfigError([str(fault) for fault in sorted(faults)])


_MODELS: dict[str, type[BaseModel]] = {"rush": _Rush, "quiet": _Quiet, "walkout": _WalkOut, "api": _Api}


def _fault(file: str, root: YamlMapping, problem: Any) -> Fault:
    """One of pydantic's errors as a fault with its position in the file."""
    where = tuple(problem["loc"])
    place = document.place_of(root, where)
    kind, message, hint = problem["type"], str(problem["msg"]), ""
    key = str(where[-1]) if where else ""
    if kind == "extra_forbidden":
        known = _known_keys(where[:-1])
        message, hint = f'unknown key "{key}"', _nearest(key, known).strip(" ()") or f"known are {', '.join(known)}"
    elif kind == "missing":
        message, hint = f'the key "{key}" is missing', ""
    elif kind == "literal_error":
        options = get_args(Kind) if key == "fault" else ("OnBreak", "WorkingOffline", "LoggedOut")
        given = str(problem["input"])
        message = f"{key}: {given!r} is not known"
        hint = _nearest(given, options).strip(" ()") or f"known are {', '.join(options)}"
    elif kind == "value_error":
        message = message.removeprefix("Value error, ")
        message = f"{key}: {message}" if key and not isinstance(where[-1], int) and key not in _KINDS else message
    else:
        message = f"{key}: {message[:1].lower()}{message[1:]}"
    return Fault(file, place.line, place.column, message, hint=hint)


def _known_keys(where: tuple[Any, ...]) -> list[str]:
    model: type[BaseModel] = _File
    if where:
        model = _MODELS.get(str(where[-1]), _Step)
    return [field.alias or name for name, field in model.model_fields.items()]


def _nearest(word: str, known: Any) -> str:
    close = nearest(word, known)
    return f' (did you mean "{close[0]}"?)' if close else ""
