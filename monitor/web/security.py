"""Who may read, and what a request may look like.

A monitor without an access token listens on loopback and answers only to loopback names, so that a web page
elsewhere cannot reach it through a rebound name. With a token, everything but the open routes needs it: as
``Authorization: Bearer``, or through the sign-in form, whose cookie holds a keyed hash and never the token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from monitor.core.vocabulary import MAX_ID_LENGTH
from monitor.web.lists import BadQuery
from monitor.web.render import SITE, here
from monitor.web.settings import WebSettings, is_loopback

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SESSION_COOKIE: Final = "channel_monitor_session"
SESSION_S: Final = 7 * 86_400
MAX_QUERY_BYTES: Final = 8_000
MAX_PARAMETERS: Final = 20

#: Route patterns that need no token because they say nothing secret or check the caller themselves.
OPEN_ROUTES: Final = web.AppKey("open_routes", set[str])
SETTINGS: Final = web.AppKey("settings", WebSettings)

_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.%]+\]|[^:/?#@\\\s]+)(:[0-9]{1,5})?")
_POLICY: Final = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


async def protect(_request: web.Request, response: web.StreamResponse) -> None:
    """The security headers of every response; what a handler set itself stands."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "channel-monitor"  # without the versions of what it is made with


def route_of(request: web.Request) -> str:
    """The pattern of the route, never the address; ``unmatched`` when there is none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


def for_programs(request: web.Request) -> bool:
    """Whether a program, not a person, reads what this address answers; always where there is no page."""
    return (
        SITE not in request.app
        or request.path.startswith(("/api/", "/webhooks/"))
        or request.path in ("/metrics", "/healthz", "/readyz")
    )


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse foreign host names (421), large bodies (413) and overlong queries (414, 400)."""
    settings = request.app[SETTINGS]
    if settings.access_token is None and is_loopback(settings.host) and not _named_loopback(request):
        raise web.HTTPMisdirectedRequest
    if (request.content_length or 0) > settings.max_request_bytes:
        raise web.HTTPRequestEntityTooLarge(settings.max_request_bytes, request.content_length or 0)
    if len(request.rel_url.raw_query_string) > MAX_QUERY_BYTES:
        raise web.HTTPRequestURITooLong
    if len(request.query) > MAX_PARAMETERS:
        raise BadQuery(f"the address has more than {MAX_PARAMETERS} parameters")
    for name, value in request.query.items():
        if max(len(name), len(value)) > MAX_ID_LENGTH:
            raise BadQuery(f"parameter {name[:40]!r} is longer than {MAX_ID_LENGTH} characters")
    return await handler(request)


def _named_loopback(request: web.Request) -> bool:
    match = _HOST.fullmatch(request.headers.get("Host", ""))
    return match is not None and is_loopback(match["name"])


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Ask for the access token where one is set: a sign-in form for pages, 401 as JSON for the API."""
    token = request.app[SETTINGS].access_token
    if token is None or route_of(request) in request.app[OPEN_ROUTES] or _signed_in(request, token):
        return await handler(request)
    if for_programs(request) or "Authorization" in request.headers:
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Bearer realm="channel-monitor"'})
    return _form(request, wrong=False, target=here(request, {}))


def _signed_in(request: web.Request, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and _same(given.strip(), token):
        return True
    expires, _, mark = request.cookies.get(SESSION_COOKIE, "").partition(".")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
        return False
    return _same(mark, _mark(token, expires)) and time.time() < int(expires)


def _same(given: str, expected: str) -> bool:
    """Equality in a time that tells neither the content nor the length."""
    first, second = (hashlib.sha256(text.encode(errors="surrogateescape")).digest() for text in (given, expected))
    return hmac.compare_digest(first, second)


def _mark(token: str, expires: str) -> str:
    return hmac.new(token.encode(), f"channel-monitor session {expires}".encode(), hashlib.sha256).hexdigest()


def _form(request: web.Request, *, wrong: bool, target: str) -> web.Response:
    # The style sheet needs the token too, so the form carries its style inside.
    nonce = secrets.token_urlsafe(16)
    # A link from a chat or a mail comes without the strict cookie; one more click inside this site brings it.
    elsewhere = request.headers.get("Sec-Fetch-Site") == "cross-site"
    response = request.app[SITE].page(
        request, "login.html.j2", status=401, nonce=nonce, wrong=wrong, target=target, elsewhere=elsewhere
    )
    response.headers["Content-Security-Policy"] = f"{_POLICY}; style-src 'nonce-{nonce}'; img-src data:"
    response.headers["WWW-Authenticate"] = 'Bearer realm="channel-monitor"'
    return response


def _inside(target: object) -> str:
    """``target`` when it is an address of this site, else the overview."""
    inside = isinstance(target, str) and re.fullmatch(r"/(?![/\\])[\x21-\x7e]*", target) is not None
    return str(target) if inside else "/"


async def login_page(request: web.Request) -> web.Response:
    """The sign-in form at its own address. ``GET /login``."""
    return _to("/") if request.app[SETTINGS].access_token is None else _form(request, wrong=False, target="/")


async def login(request: web.Request) -> web.Response:
    """Check the token of the form and set the session cookie. ``POST /login``."""
    token = request.app[SETTINGS].access_token
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise web.HTTPForbidden
    form = await request.post()
    target = _inside(form.get("next"))
    if token is None:
        return _to(target)
    given = form.get("token")
    if not isinstance(given, str) or not _same(given.strip(), token):
        return _form(request, wrong=True, target=target)
    expires = str(int(time.time()) + SESSION_S)
    response = _to(target)
    response.set_cookie(
        SESSION_COOKIE,
        f"{expires}.{_mark(token, expires)}",
        max_age=SESSION_S,
        httponly=True,
        samesite="Strict",
        secure=request.secure,
        path="/",
    )
    return response


async def logout(_request: web.Request) -> web.Response:
    """Forget the session in this browser. ``POST /logout``."""
    response = _to("/")
    response.del_cookie(SESSION_COOKIE, path="/")
    return response


def _to(target: str) -> web.Response:
    return web.Response(status=303, headers={"Location": target})
