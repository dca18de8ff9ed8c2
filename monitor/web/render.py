"""Turning values into pages: the templates, the reader's language, addresses, and the style sheet.

Everything a record says passes through the templates' automatic escaping.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from monitor import __version__
from monitor.read.views import Views
from monitor.web import formats, pictures, words
from monitor.web.i18n import HTML_LANG, Translator, choose
from monitor.web.settings import LANGUAGES, WebSettings

LANGUAGE_COOKIE: Final = "channel_monitor_lang"
_YEAR_S: Final = 365 * 86_400
_HERE: Final = Path(__file__).parent

#: Sections of the menu: catalogue key → address.
MENU: Final[Mapping[str, str]] = {
    "overview": "/",
    "incidents": "/incidents",
    "channels": "/channels",
    "watchlist": "/watchlist",
    "recommendations": "/recommendations",
    "parcels": "/parcels",
    "dead_letters": "/dead-letters",
}


def here(request: web.Request, changes: Mapping[str, object | None]) -> str:
    """The address of this page with parameters changed; ``None`` takes one away. Never leaves this site."""
    query = [(name, value) for name, value in request.query.items() if name not in changes]
    query += [(name, str(value)) for name, value in changes.items() if value is not None]
    path = "/" + request.rel_url.raw_path.lstrip("/\\")
    return f"{path}?{urlencode(query)}" if query else path


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the look: its bytes, type and the address that changes with its content."""

    body: bytes
    content_type: str
    url: str


@cache
def assets() -> dict[str, Asset]:
    """File name → style sheet, script, icon."""
    found = {}
    for file in sorted((_HERE / "static").iterdir()):
        body = file.read_bytes()
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        found[file.name] = Asset(body, kind, f"/static/{file.name}?v={hashlib.sha256(body).hexdigest()[:12]}")
    return found


@cache
def environment() -> Environment:
    """The templates, with what all of them may use."""
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        assets=assets(),
        formats=formats,
        html_lang=HTML_LANG,
        languages=LANGUAGES,
        link=words.link,
        menu=MENU,
        pictures=pictures,
        style=Markup(assets()["style.css"].body.decode()),  # noqa: S704 — our own file
        version=__version__,
        words=words,
    )
    return environment


class Site:
    """What all pages share. Holds nothing of a request."""

    def __init__(self, views: Views, settings: WebSettings) -> None:
        self.views = views
        self.settings = settings
        self._clock = formats.Clock(settings.timezone)

    def translator(self, request: web.Request) -> Translator:
        """The texts in the reader's language."""
        language = choose(
            request.query.get("lang"),
            request.cookies.get(LANGUAGE_COOKIE),
            request.headers.get("Accept-Language", ""),
            self.settings.language,
        )
        return Translator(language)

    def page(
        self, request: web.Request, template: str, *, section: str | None = None, status: int = 200, **values: Any
    ) -> web.Response:
        """A page in the reader's language; ``section`` is the menu entry it belongs to."""
        t = self.translator(request)
        values.setdefault("nonce", None)
        text = (
            environment()
            .get_template(template)
            .render(
                t=t,
                settings=self.settings,
                clock=self._clock,
                section=section,
                here=lambda **changes: here(request, changes),
                query=request.query,
                **values,
            )
        )
        response = web.Response(text=text, content_type="text/html", charset="utf-8", status=status)
        response.headers["Content-Language"] = HTML_LANG[t.language]
        response.headers["Vary"] = "Accept-Language, Cookie"
        asked = request.query.get("lang")
        if asked in LANGUAGES:
            response.set_cookie(LANGUAGE_COOKIE, asked, max_age=_YEAR_S, samesite="Lax", httponly=True, path="/")
        return response


SITE: Final = web.AppKey("site", Site)


async def static(request: web.Request) -> web.Response:
    """The style sheet, the script and the icon; their address changes with their content."""
    asset = assets().get(request.match_info["name"])
    if asset is None:
        raise web.HTTPNotFound
    response = web.Response(body=asset.body, content_type=asset.content_type, charset="utf-8")
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    return response
