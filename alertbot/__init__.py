"""alertbot: threshold alerts in Slack for contact centres that run on 8x8."""

__version__ = "0.2.0"
