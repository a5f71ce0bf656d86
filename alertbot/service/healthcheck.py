"""The health check of a container: whether the bot of this alertbot.yaml answers `/healthz`.

Run as `python -m alertbot.service.healthcheck`. It asks the configured address, directly: a proxy that the environment
names is for the outside.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

from alertbot.config.load import config_path, load
from alertbot.errors import AlertbotError

TIMEOUT_S = 4.0
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # read, not listened on


def problem() -> str:
    """Why the bot is not healthy, in a sentence, or ""."""
    try:
        http = load(config_path(None), secrets=False).http
    except AlertbotError as error:
        return str(error)
    host = _ANY.get(http.host, http.host)
    url = f"http://[{host}]:{http.port}/healthz" if ":" in host else f"http://{host}:{http.port}/healthz"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=TIMEOUT_S):
            return ""
    except (urllib.error.URLError, OSError) as error:
        return f"{url} does not answer: {getattr(error, 'reason', error)}"


def main() -> None:
    """Exit with 0 where the bot answers, else with 1 and the reason."""
    if why := problem():
        sys.exit(why)


if __name__ == "__main__":
    main()
