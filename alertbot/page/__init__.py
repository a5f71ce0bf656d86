"""The status page: read-only pages in a browser, drawn from the same answers as the commands"""
