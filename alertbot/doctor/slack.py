"""Slack: the token, its scopes, every channel in the configuration, and how commands arrive. Nothing is ever posted."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

from alertbot.config.settings import Settings
from alertbot.doctor.finding import Finding, fine, note, problem, skipped
from alertbot.doctor.network import connection_problem, let_through, through_proxy, why
from alertbot.doctor.tenant import of_clock
from alertbot.errors import DeliveryFailure, NotifyError
from alertbot.rules.rule import RuleSet
from alertbot.rules.slack_ids import is_channel_id
from alertbot.rules.words import count, listed, nearest
from alertbot.slack.client import Contact, SlackClient
from alertbot.slack.errors import notify_error
from alertbot.slack.manifest import manifest

MAX_PAGES = 20  # of a thousand channels
MAX_WAIT_S = 30.0
"""Seconds that are waited for a Retry-After of Slack, once for each call."""

_SCOPES = {
    "chat:write": "without it nothing can be posted",
    "commands": "without it there is no slash command",
    "channels:history": "without it a message whose delivery is uncertain cannot be searched for in public channels",
    "groups:history": "without it a message whose delivery is uncertain cannot be searched for in private channels",
    "channels:read": "without it public channels cannot be found by name",
    "groups:read": "without it private channels cannot be found by name",
    "usergroups:read": "without it slack.may_change.usergroups has no effect",
    "users:read": "without it times are in the configured time zone, not in the reader's",
    "files:write": "without it charts are shown as text, not as pictures",
}
_ADD_SCOPE = "add it in the Slack app > OAuth & Permissions > Bot Token Scopes, then reinstall the app"
_NOT_SLACK = (
    "something other than Slack answers, such as a proxy or a captive portal: set HTTPS_PROXY to a proxy "
    "that lets {host} through, or correct slack.api_url"
)
# Slack has no method that says whether the tab is enabled, and none of its scopes depends on it.
_HOME_TAB = note(
    "Slack: Home tab",
    "only the settings of the Slack app show whether it is enabled; without it everything else works",
    "if Slack shows no Home tab, apply the output of `alertbot manifest` in the Slack app > App Manifest",
)
_TOKENS = {
    "invalid_auth": "copy the Bot User OAuth Token (xoxb-…) again from the Slack app > OAuth & Permissions",
    "not_authed": "copy the Bot User OAuth Token (xoxb-…) again from the Slack app > OAuth & Permissions",
    "token_revoked": "reinstall the app in OAuth & Permissions, and copy the new token",
    "token_expired": "turn off token rotation for the app, reinstall it, and copy the new token",
    "account_inactive": "the app or the workspace was deleted: install the app again, and copy the new token",
    "not_allowed_token_type": "use the Bot User OAuth Token (xoxb-…), not a user or app-level token",
}


class SlackCheck:
    """The examination of one Slack. `sleep` waits, in seconds; `progress` is called before each slow step."""

    def __init__(
        self,
        settings: Settings,
        rules: Mapping[str, RuleSet],
        sleep: Callable[[float], None],
        progress: Callable[[str], None],
    ) -> None:
        self._settings, self._rules, self._sleep, self._progress = settings, rules, sleep, progress
        self._contact = Contact()
        self._client = self._client_of(settings.slack.bot_token.get_secret_value())
        self._host = urlsplit(settings.slack.api_url).hostname or "slack.com"
        self._bot = "alertbot"
        self._scopes: frozenset[str] | None = None  # None: Slack did not say

    def findings(self) -> Iterator[Finding]:
        """All findings, in the order in which they are made."""
        if not self._settings.slack.bot_token.get_secret_value():
            yield skipped("Slack: token", "slack.bot_token is not set", "set it first")
            yield from self._ways_in()
            return
        self._progress("Slack: asking who the token belongs to")
        try:
            yield self._token()
        except NotifyError as error:
            yield problem("Slack: token", str(error), self._remedy(error))
            yield skipped("Slack: channels", "there is no token that Slack accepts", "fix the token first")
        else:
            yield from self._missing_scopes()
            yield from self._channels()
            yield from self._user_groups()
            yield of_clock("Slack: clock", "Slack", self._contact.offset.total_seconds())
        yield from self._ways_in()

    # The token

    def _token(self) -> Finding:
        answer = self._ask("check the bot token", self._client, "auth.test")
        headers = {str(name).lower(): value for name, value in (answer.headers or {}).items()}
        granted = headers.get("x-oauth-scopes")
        if granted:
            self._scopes = frozenset(each.strip() for each in str(granted).split(","))
        self._bot = str(answer.get("user") or self._bot)
        if not answer.get("bot_id"):
            return problem("Slack: token", "it belongs to a user, not to a bot", _TOKENS["not_allowed_token_type"])
        return fine("Slack: token", f"{self._bot} in the workspace {answer.get('team') or 'without a name'}")

    def _missing_scopes(self) -> Iterator[Finding]:
        if self._scopes is None:
            yield skipped(
                "Slack: scopes", "Slack did not say which scopes the token has", "compare `alertbot manifest`"
            )
            return
        wanted: Sequence[str] = manifest(self._settings.slack.command, None)["oauth_config"]["scopes"]["bot"]
        missing = [scope for scope in wanted if scope not in self._scopes and self._needs(scope)]
        for scope in missing:
            yield problem(f"Slack: scope {scope}", f"missing: {_SCOPES.get(scope, 'a feature is off')}", _ADD_SCOPE)
        if not missing:
            yield fine("Slack: scopes", "all scopes of the manifest are granted")

    def _needs(self, scope: str) -> bool:
        slack = self._settings.slack
        if scope == "usergroups:read":
            return bool(slack.may_change.usergroups)
        if scope in ("commands", "users:read"):
            return bool(slack.app_token.get_secret_value() or slack.signing_secret.get_secret_value())
        return True

    # Channels

    def _channels(self) -> Iterator[Finding]:
        named = channels_of(self._settings, self._rules)
        self._progress("Slack: reading the list of channels")
        try:
            known = self._listed()
        except NotifyError as error:
            yield problem("Slack: channels", str(error), self._remedy(error))
            known = {}
            named = {channel: users for channel, users in named.items() if is_channel_id(channel)}
        for number, (channel, users) in enumerate(named.items(), start=1):
            self._progress(f"Slack: channel {number} of {len(named)}")
            try:
                yield from self._channel(channel, users, known)
            except NotifyError as error:
                yield problem(f"Slack: {channel}", str(error), self._remedy(error))

    def _listed(self) -> dict[str, Mapping[str, Any]]:
        """The channels that the bot sees, by name with # and by id."""
        found: dict[str, Mapping[str, Any]] = {}
        kinds = ["public_channel", "private_channel"]
        if self._scopes is not None and "channels:read" in self._scopes and "groups:read" not in self._scopes:
            kinds = ["public_channel"]
        cursor = ""
        for _ in range(MAX_PAGES):
            page = self._ask(
                "list the channels",
                self._client,
                "conversations.list",
                types=",".join(kinds),
                exclude_archived="false",
                limit="1000",
                cursor=cursor,
            )
            for channel in page.get("channels") or []:
                name = f"#{channel.get('name')}"
                if name not in found or found[name].get("is_archived"):  # a new channel may have the name of an old one
                    found[name] = channel
                found[str(channel.get("id"))] = channel
            cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                break
        return found

    def _channel(self, channel: str, users: str, known: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
        what = f"Slack: {channel}"
        entry = known.get(channel)
        if entry is None and is_channel_id(channel):
            try:
                entry = self._ask(f"read {channel}", self._client, "conversations.info", channel=channel)["channel"]
            except NotifyError as error:
                if error.code != "channel_not_found":
                    raise
        if entry is None:
            near = nearest(channel, [name for name in known if name.startswith("#")])
            maybe = f"did you mean {near[0]}? Otherwise " if near else ""
            yield problem(
                what,
                f"the bot cannot find this channel ({users})",
                f"{maybe}create it; if it is private, write `/invite @{self._bot}` in it",
            )
            return
        if entry.get("is_archived"):
            yield problem(what, f"it is archived ({users})", "unarchive it in Slack, or name another channel")
            return
        invite = f"write `/invite @{self._bot}` in {channel}"
        if entry.get("is_member") is False:
            public = self._scopes is not None and "chat:write.public" in self._scopes and not entry.get("is_private")
            can = "it can post, but cannot read what it posted" if public else "it cannot post there"
            yield problem(what, f"the bot is not a member: {can} ({users})", invite)
            return
        try:
            self._ask(f"read {channel}", self._client, "conversations.history", channel=entry["id"], limit="1")
        except NotifyError as error:
            if error.code in ("not_in_channel", "channel_not_found"):
                yield problem(what, f"the bot is not a member ({users})", invite)
            elif error.code == "missing_scope":
                scope = "groups:history" if entry.get("is_private") else "channels:history"
                yield problem(what, f"its history cannot be read: the scope {scope} is missing", _ADD_SCOPE)
            else:
                raise
            return
        yield fine(what, f"the bot is a member and can read its history ({users})")

    def _user_groups(self) -> Iterator[Finding]:
        for group in self._settings.slack.may_change.usergroups:
            what = f"Slack: user group {group}"
            try:
                found = self._ask(
                    f"read the user group {group}", self._client, "usergroups.users.list", usergroup=group
                )
            except NotifyError as error:
                if error.code in ("no_such_subteam", "subteam_not_found"):
                    yield problem(what, "there is no such user group", "correct its id in slack.may_change.usergroups")
                else:
                    yield problem(what, str(error), self._remedy(error))
            else:
                yield fine(what, f"it has {count(len(found.get('users') or []), 'member')}")

    # How commands arrive

    def _ways_in(self) -> Iterator[Finding]:
        slack = self._settings.slack
        app_token, secret = slack.app_token.get_secret_value(), slack.signing_secret.get_secret_value()
        if app_token:
            yield from self._socket(app_token)
        elif secret:
            yield _of_signing_secret(secret)
        if app_token or secret:
            yield _HOME_TAB
        else:
            yield note(
                "Slack: commands",
                "the slash command and the buttons are off",
                "set slack.app_token (Socket Mode) or slack.signing_secret (signed HTTP requests) to use them",
            )

    def _socket(self, app_token: str) -> Iterator[Finding]:
        what = "Slack: Socket Mode"
        if not app_token.startswith("xapp-"):
            yield problem(
                what,
                "slack.app_token is not an app-level token",
                "create one in the Slack app > Basic Information > App-Level Tokens with the scope connections:write; "
                "it begins with xapp-",
            )
            return
        self._progress("Slack: asking for a socket")
        client = self._client_of(app_token)
        try:
            answer = self._ask("ask for a socket", client, "apps.connections.open")
        except NotifyError as error:
            said = str(error)
            if error.failure is DeliveryFailure.CREDENTIALS:
                said = f"Slack refuses slack.app_token ({error.code})"
                remedy = (
                    "create a token in the Slack app > Basic Information > App-Level Tokens with the scope "
                    "connections:write, and enable Socket Mode"
                )
            else:
                remedy = self._remedy(error)
            yield problem(what, said, remedy)
            return
        parts = urlsplit(str(answer.get("url") or ""))
        yield _reachable(what, parts.hostname or "", parts.port or (80 if parts.scheme == "ws" else 443), parts.scheme)

    # Calls

    def _client_of(self, token: str) -> SlackClient:
        quiet = logging.getLogger("alertbot.slack.slack_sdk")
        quiet.setLevel(logging.CRITICAL)
        return SlackClient(
            token,
            base_url=self._settings.slack.api_url,
            timeout=10,
            logger=quiet,
            retry_handlers=[],
            contact=self._contact,
        )

    def _ask(self, doing: str, client: SlackClient, method: str, **args: str) -> Any:
        """Slack's answer; after a 429 it is asked once more, when Slack allows it. Raises NotifyError."""
        for last in (False, True):
            try:
                return client.api_call(method, params=args)
            except Exception as failed:  # slack_sdk lets exceptions of urllib, http.client and json through
                error = _with_cause(notify_error(failed, doing), failed)
            if last or error.failure is not DeliveryFailure.WAIT or (error.retry_after or 0) > MAX_WAIT_S:
                raise error
            self._progress(f"Slack: waiting {error.retry_after:.0f} s, as Slack asked")
            self._sleep(error.retry_after or 1.0)
        raise AssertionError("the last attempt returns or raises")

    def _remedy(self, error: NotifyError) -> str:
        if error.code in _TOKENS:
            return _TOKENS[error.code]
        if error.code == "missing_scope":
            return _ADD_SCOPE
        if error.failure is DeliveryFailure.WAIT:
            return "wait a few minutes: another program may be using the same token"
        if "certificate" in str(error):
            return "set SSL_CERT_FILE to the file with the certificate of the proxy or authority"
        if "no usable answer" in str(error) or "does not speak TLS" in str(error):
            return _NOT_SLACK.format(host=self._host)
        if error.failure is DeliveryFailure.CREDENTIALS:
            return f"reinstall the app, or ask an administrator of the workspace about {error.code}"
        if error.failure in (DeliveryFailure.RETRY, DeliveryFailure.UNKNOWN):
            return let_through(self._host)
        return f"see docs.slack.dev about {error.code or 'this answer'}"


def _with_cause(error: NotifyError, failed: Exception) -> NotifyError:
    """The error, with the reason of a connection that could not be made."""
    reason = why(failed.reason) if isinstance(failed, URLError) and isinstance(failed.reason, Exception) else ""
    if not reason:
        return error
    return NotifyError(f"{error}: {reason}", failure=error.failure, retry_after=error.retry_after, code=error.code)


def channels_of(settings: Settings, rules: Mapping[str, RuleSet]) -> dict[str, str]:
    """Every channel that alerts go to, with who names it: `slack.default_channel`, `rule long-wait and 2 more`."""
    named: dict[str, list[str]] = {}

    def add(channel: str | None, who: str) -> None:
        if channel:
            users = named.setdefault(channel, [])
            if who not in users:
                users.append(who)

    add(settings.slack.default_channel, "slack.default_channel")
    add(settings.slack.ops_channel, "slack.ops_channel")
    if settings.digest.every:
        add(settings.digest.channel, "digest")
    for tenant in settings.tenants:
        add(tenant.default_channel, f"tenant {tenant.name}")
        add(tenant.ops_channel, f"tenant {tenant.name}")
        for rule in rules[tenant.name].rules if tenant.name in rules else ():
            for channel in (
                *(channel for channels in rule.channels.values() for channel in channels),
                *(channel for step in rule.escalate for channel in step.channels),
            ):
                add(channel, f"rule {rule.id}")
    return {
        channel: f"{users[0]} and {len(users) - 1} more" if len(users) > 2 else listed(users)
        for channel, users in named.items()
    }


def _of_signing_secret(secret: str) -> Finding:
    if not re.fullmatch(r"[0-9a-f]{32}", secret):
        return problem(
            "Slack: signing secret",
            "it does not look like one: a signing secret has 32 characters, 0 to 9 and a to f",
            "copy it from the Slack app > Basic Information > App Credentials > Signing Secret",
        )
    return note(
        "Slack: signing secret",
        "it has the right form; only a command from Slack can show that it is correct",
        "the request URL of the app must point to POST /slack/events of this bot, over https",
    )


def _reachable(what: str, host: str, port: int, scheme: str) -> Finding:
    """Whether a TCP and TLS connection can be made. No WebSocket: Slack would send requests to it."""
    if through_proxy(host):
        return fine(what, "Slack accepts the token; the socket goes through the proxy of HTTPS_PROXY")
    if failed := connection_problem(host, port, tls=scheme == "wss"):
        return problem(
            what,
            f"Slack accepts the token, but the socket at {host} cannot be reached: {failed}",
            f"allow HTTPS and WebSockets to {host} (port {port}) in the firewall, or set HTTPS_PROXY",
        )
    return fine(what, f"Slack accepts the token, and {host} can be reached")
