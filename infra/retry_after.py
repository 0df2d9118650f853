"""Reads the header with which a push provider asks to be left alone for a while (RFC 9110, 10.2.3). Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST = timedelta(days=1)
"""Nobody is believed who asks for more."""


def retry_after(header: str | None, now: datetime) -> timedelta | None:
    """How long to wait from `now` (aware): the header is in seconds or an HTTP date. None for anything else."""
    if header is None:
        return None
    if header.isascii() and header.isdigit():
        return min(timedelta(seconds=int(header[:9])), LONGEST)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(moment - now, timedelta(0)), LONGEST)
