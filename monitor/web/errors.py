"""Errors in the form the reader asked for: a page in their language, or a problem object (RFC 9457) under ``/api``."""

from __future__ import annotations

import json
from typing import Final

import structlog
from aiohttp import web

from monitor.web.i18n import Translator
from monitor.web.lists import BadQuery
from monitor.web.metrics import METRICS
from monitor.web.render import SITE
from monitor.web.security import Handler, for_programs, route_of

_log: Final = structlog.get_logger(__name__)
#: Errors the catalogue explains; any other one is told as the nearest of these.
_EXPLAINED: Final = (400, 403, 404, 405, 413, 414, 421, 500)


class NotThere(Exception):
    """What the address names is not in the log; ``detail`` tells the reader."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


@web.middleware
async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn exceptions into answers and count the request. Our own faults are logged and told as 500."""
    response: web.StreamResponse
    try:
        response = await handler(request)
    except BadQuery as error:
        response = _problem(request, 400, str(error))
    except NotThere as error:
        response = _problem(request, 404, error.detail)
    except web.HTTPException as error:
        response = _problem(request, error.status, "", error)
    except Exception:
        _log.exception("request_failed", route=route_of(request), method=request.method)
        response = _problem(request, 500, "")
    request.app[METRICS].count_request(route_of(request), response.status)
    return response


def _problem(request: web.Request, status: int, detail: str, error: web.HTTPException | None = None) -> web.Response:
    known = status if status in (*_EXPLAINED, 401) else (500 if status >= 500 else 400)
    if for_programs(request):
        t = Translator("en")
        body = {"title": t(f"error.{known}"), "status": status, "detail": detail or _why(t, known)}
        response = web.Response(
            text=json.dumps(body, ensure_ascii=False), status=status, content_type="application/problem+json"
        )
    else:
        site = request.app[SITE]
        t = site.translator(request)
        response = site.page(
            request,
            "error.html.j2",
            status=status,
            title=t(f"error.{known}"),
            why=_why(t, known),
            detail=detail,
            code=status,
        )
    if error is not None:
        for name in ("Allow", "WWW-Authenticate"):
            if name in error.headers:
                response.headers[name] = error.headers[name]
    return response


def _why(t: Translator, status: int) -> str:
    return t(f"error.why_{status}") if status in _EXPLAINED else t("login.lead")
