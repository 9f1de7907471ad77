"""Runs the application until it is asked to stop."""

from __future__ import annotations

import sys
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI

_GRACE_SECONDS: Final = 15


def run(app: FastAPI, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished first. Check the host with `check_bind` before.

    A proxy's word about the client's address is not taken: that address decides what loopback may do.
    """
    configure_logs()
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=30,
        limit_concurrency=1_000,
    )
    uvicorn.Server(config).run()


def configure_logs() -> None:
    """Log one JSON object a line to standard error: when, what happened, and the request it happened in."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
