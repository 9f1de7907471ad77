"""Runs the application until it is asked to stop."""

from __future__ import annotations

from typing import Final

import uvicorn
from fastapi import FastAPI

_GRACE_SECONDS: Final = 15


def run(app: FastAPI, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished first. Check the host with `check_bind` before.

    A proxy's word about the client's address is not taken: that address decides what loopback may do.
    """
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
