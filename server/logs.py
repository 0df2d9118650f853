"""How a node writes its log: one event per line, as JSON for machines or coloured text for people.

Nothing personal is logged anywhere: no names, tokens, device ids, languages or addresses of people. Ids of requests,
calls and sessions are, so that one call can be followed through several nodes.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog


def configure_logging(log_format: Literal["json", "console"], *, level: int = logging.INFO) -> None:
    """Send structlog and the standard library's records (aiohttp, asyncio, alembic) to stdout in one format."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=_tail(log_format), foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # aiohttp's access log carries addresses and user agents; the routes log what matters themselves.
    logging.getLogger("aiohttp.access").disabled = True
    logging.getLogger("aiohttp.server").addFilter(_without_particulars)
    for chatty in ("aioice", "aiortc", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Tells of each attempt to reach Postgres again; whoever needed Postgres says once that it is away.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)


def _without_particulars(record: logging.LogRecord) -> bool:
    """aiohttp tells of a malformed request with the client's address and the bytes at fault: only the kind is kept."""
    kind = record.exc_info[0] if record.exc_info else None
    record.msg, record.args = f"http server: {kind.__name__ if kind is not None else record.levelname.lower()}", ()
    record.exc_info = record.exc_text = None
    return True


def _tail(log_format: Literal["json", "console"]) -> list[structlog.types.Processor]:
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if log_format == "json":
        # Never with local variables: they hold tokens and names.
        frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [strip, structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer(default=str)]
    plain = structlog.dev.plain_traceback
    return [strip, structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=plain)]
