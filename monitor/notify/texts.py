"""The messages in words, in the language of a sink."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.notify.queue import Message
from monitor.web.formats import number
from monitor.web.i18n import Translator
from monitor.web.words import evidence_sentence, link, title


def subject(messages: Sequence[Message], t: Translator) -> str:
    """The title of a batch."""
    if len(messages) > 1:
        return t("notify.title_many", n=len(messages))
    (one,) = messages
    return t("notify.title_one", change=t.name("change", one.change), title=title(one.incident, t))


def body(messages: Sequence[Message], t: Translator, page: str, *, repeated: bool) -> str:
    """The text of a batch; ``page``: where the monitor's page is, empty if that is not known."""
    parts = [_one(message, t, page) for message in messages]
    return "\n\n".join([t("notify.repeated"), *parts] if repeated else parts)


def _one(message: Message, t: Translator, page: str) -> str:
    incident = message.incident
    severity = t.name("severity", incident["severity"])
    lines = [t("notify.line", severity=severity, change=t.name("change", message.change), title=title(incident, t))]
    if message.change == "closed":
        lines.append(t("notify.lasted", **{"from": incident["known_by"], "to": incident["closed_at"]}))
    elif message.change == "grew":
        lines.append(t("notify.joined", channels=", ".join(one["channel"] for one in incident["joined"])))
    elif message.change in ("opened", "raised"):
        lines.append(evidence_sentence(incident, t))
        if incident["severity"] != "feed":
            ahead = incident["forecast"]["complaints_next_14_days"]
            figures = {name: number(ahead[name]) for name in ("expected", "low", "high")}
            lines.append(t("notify.at_risk", n=incident["parcels_at_risk"], **figures))
    if page:
        lines.append(page.rstrip("/") + link("incidents", str(incident["incident_id"])))
    return "\n".join(lines)
