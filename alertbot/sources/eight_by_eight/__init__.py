"""8x8's Contact Center Realtime Statistics API (v5): token, requests, pages, columns.

Facts are from 8x8's guide "CC Realtime Statistics", https://developer.8x8.com/analytics/docs/cc-realtime-statistics,
and "OAuth Authentication for 8x8 XCaaS APIs"; where those are silent or contradict themselves, the decoder is tolerant.
"""

from alertbot.sources.eight_by_eight.client import EightByEight
from alertbot.sources.eight_by_eight.plan import REGIONS, TOKEN_URL

__all__ = ["REGIONS", "TOKEN_URL", "EightByEight"]
