"""The web application for any WSGI server: `wsgi:app`."""

from __future__ import annotations

from lts_web.wiring import build_web, start_process

app = build_web(start_process("web"))
