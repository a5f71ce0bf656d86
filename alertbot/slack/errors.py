"""Slack's failures as NotifyError: what each means for the next attempt.

The table follows the error list of chat.postMessage (docs.slack.dev/reference/methods/chat.postMessage); the grouping
is alertbot's. Of an answer only Slack's code word gets into an error: a proxy may echo the request.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping
from typing import Any
from urllib.error import URLError

from slack_sdk.errors import SlackApiError, SlackClientError

from alertbot.errors import DeliveryFailure, NotifyError

DEFAULT_WAIT = 30.0  # seconds, where a 429 has no Retry-After that can be read
_MIN_WAIT, _MAX_WAIT = 1.0, 3600.0

_CODES: Mapping[str, DeliveryFailure] = {
    code: failure
    for failure, codes in {
        DeliveryFailure.WAIT: "ratelimited rate_limited message_limit_exceeded",
        DeliveryFailure.RETRY: "service_unavailable request_timeout team_added_to_org org_login_required update_failed",
        DeliveryFailure.UNKNOWN: "internal_error fatal_error",
        DeliveryFailure.CREDENTIALS: (
            "invalid_auth not_authed token_revoked token_expired account_inactive missing_scope not_allowed_token_type "
            "no_permission ekm_access_denied access_denied accesslimited two_factor_setup_required "
            "enterprise_is_restricted team_access_not_granted"
        ),
        DeliveryFailure.CHANNEL: (
            "channel_not_found not_in_channel is_archived messages_tab_disabled cannot_reply_to_message thread_locked "
            "restricted_action restricted_action_read_only_channel restricted_action_thread_only_channel "
            "restricted_action_non_threadable_channel restricted_action_thread_locked is_inactive"
        ),
        DeliveryFailure.GONE: "message_not_found thread_not_found",
        DeliveryFailure.PAYLOAD: (
            "no_text msg_too_long msg_blocks_too_long too_many_attachments attachment_payload_limit_exceeded "
            "markdown_text_conflict metadata_too_large"
        ),
    }.items()
    for code in codes.split()
}
_WORDS = {
    DeliveryFailure.WAIT: "Slack's rate limit was reached",
    DeliveryFailure.RETRY: "Slack is unavailable at the moment",
    DeliveryFailure.UNKNOWN: "Slack may or may not have taken it",
    DeliveryFailure.CREDENTIALS: "Slack refuses the bot token",
    DeliveryFailure.CHANNEL: "the bot cannot post in this channel",
    DeliveryFailure.PAYLOAD: "Slack refuses the message",
    DeliveryFailure.GONE: "the message no longer exists",
    DeliveryFailure.REFUSED: "Slack refuses it",
}


def notify_error(error: BaseException, doing: str) -> NotifyError:
    """The NotifyError for an exception of slack_sdk. `doing` names what failed: "post in #cc-alerts".

    Any exception: besides its own errors, slack_sdk raises those of urllib and http.client, and those that an answer of
    the wrong shape causes (not UTF-8, a list instead of an object, nested too deeply).
    """
    if isinstance(error, SlackApiError):
        return _of_answer(error, doing)
    if isinstance(error, SlackClientError):
        return _error(DeliveryFailure.RETRY, doing, type(error).__name__)
    if isinstance(error, URLError) and _never_sent(error.reason):
        return _error(DeliveryFailure.RETRY, doing, "", why="Slack cannot be reached")
    return _error(DeliveryFailure.UNKNOWN, doing, "", why=f"no usable answer from Slack ({_name(error)})")


def of_channel(error: NotifyError) -> NotifyError:
    """The same refusal where the token is good: then it is the channel that refuses the bot."""
    text = str(error).replace(_WORDS[DeliveryFailure.CREDENTIALS], _WORDS[DeliveryFailure.CHANNEL])
    return NotifyError(text, failure=DeliveryFailure.CHANNEL, code=error.code)


def _of_answer(error: SlackApiError, doing: str) -> NotifyError:
    response: Any = error.response
    status = int(getattr(response, "status_code", 0) or 0)
    data = getattr(response, "data", response)
    code = str(data.get("error", "")) if isinstance(data, Mapping) else ""
    if not code.replace("_", "").isalnum() or len(code) > 80:
        code = ""  # "Received a response in a non-JSON format: …" is no code
    failure = _CODES.get(code)
    if status == 429 or failure is DeliveryFailure.WAIT:
        wait = _retry_after(getattr(response, "headers", None) or {})
        return _error(DeliveryFailure.WAIT, doing, code or "ratelimited", retry_after=wait)
    if failure is None and (status >= 500 or not code):
        redirect = ", a redirect, which is not followed" if 300 <= status < 400 else ""
        why = f"no usable answer from Slack (HTTP {status}{redirect})"
        return _error(DeliveryFailure.UNKNOWN, doing, code, why=why)
    more = ""
    if code == "missing_scope" and isinstance(data, Mapping):
        more = f", needed: {str(data.get('needed', ''))[:100]}"
    if failure is None:
        # Slack adds codes without notice, and some of them pass: only what names the content is a fault of the message.
        failure = DeliveryFailure.PAYLOAD if code.startswith("invalid_") else DeliveryFailure.REFUSED
    return _error(failure, doing, code, more=more)


def _error(
    failure: DeliveryFailure, doing: str, code: str, *, why: str = "", more: str = "", retry_after: float | None = None
) -> NotifyError:
    reason = why or _WORDS[failure]
    named = f" ({code}{more})" if code else ""
    return NotifyError(f"Could not {doing}: {reason}{named}", failure=failure, retry_after=retry_after, code=code)


def _retry_after(headers: Mapping[str, Any]) -> float:
    for name, value in headers.items():
        if str(name).lower() == "retry-after":
            text = value[0] if isinstance(value, list) and value else value
            try:
                wait = float(str(text))
            except ValueError:
                return DEFAULT_WAIT
            return min(max(wait, _MIN_WAIT), _MAX_WAIT) if math.isfinite(wait) else DEFAULT_WAIT
    return DEFAULT_WAIT


def _never_sent(reason: object) -> bool:
    """Whether the connection failed before anything was sent: DNS, refused, certificate, no route."""
    if isinstance(reason, socket.gaierror | ConnectionRefusedError):
        return True
    name = type(reason).__name__
    return name in ("SSLCertVerificationError", "SSLError") or getattr(reason, "errno", None) in (101, 113)


def _name(error: BaseException) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    return "timeout" if isinstance(reason, TimeoutError) else type(reason).__name__
