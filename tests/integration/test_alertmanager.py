"""A real Alertmanager with the configuration of deploy/alertmanager: what is told together, what silences what."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_rules import DEPLOY
from prometheus_server import AlertmanagerServer

pytestmark = pytest.mark.alertmanager

Json = dict[str, Any]
CONFIG = DEPLOY / "alertmanager" / "alertmanager.yml"


class Inbox:
    """Receives webhooks: (receiver, what came) in the order of arrival."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Json]] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.got.append((self.path.strip("/"), json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self) -> dict[str, set[str]]:
        """Receiver → ids of the alerts it was told."""
        out: dict[str, set[str]] = {}
        for receiver, message in list(self.got):
            out.setdefault(receiver, set()).update(one["labels"]["id"] for one in message["alerts"])
        return out


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    box = Inbox()
    yield box
    box.server.shutdown()
    box.server.server_close()


@pytest.fixture
def server(alertmanager: str, inbox: Inbox, tmp_path: Path) -> Iterator[AlertmanagerServer]:
    """The committed configuration with shorter waits, and without the mute times, which hang on the day of the test."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    for route in config["route"]["routes"]:
        route.pop("mute_time_intervals", None)
    for receiver in config["receivers"]:
        receiver["webhook_configs"][0]["url"] = f"http://127.0.0.1:{inbox.server.server_port}/{receiver['name']}"
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    with AlertmanagerServer(tmp_path / "alertmanager", file) as started:
        yield started


def alert(id_: str, kind: str, **labels: str) -> Json:
    """An alert as the rules label it."""
    carrier = labels.get("carrier", "")
    name, _, service = carrier.partition("/")
    made = {"id": id_, "alertname": id_, "kind": kind, "job": "channel-monitor", "severity": "page"}
    made |= {"carrier_name": name, "service": service} if kind != "lane" else {"carrier_name": name}
    return {"labels": {key: value for key, value in (made | labels).items() if value}}


def channel(id_: str, where: str, mode: str = "transit_slow", scope: str = "channel", **labels: str) -> Json:
    country, product, carrier = where.split("|")
    about = {"country": country, "product": product, "carrier": carrier, "incident_id": id_}
    return alert(id_, "channel", mode=mode, scope=scope, **about, **labels)


def feed(id_: str, carrier: str) -> Json:
    return alert(id_, "feed", severity="feed", scope="feed", mode="feed_silent", carrier=carrier, incident_id=id_)


def lane(id_: str, country: str, carrier: str) -> Json:
    return alert(id_, "lane", severity="ticket", scope="lane", country=country, carrier=carrier)


def silenced(server: AlertmanagerServer, alerts: list[Json]) -> set[str]:
    """Ids of the alerts that are inhibited, once Alertmanager has decided about all of them."""
    server.send(*alerts)
    everything = {one["labels"]["id"] for one in alerts}

    def decided() -> list[Json] | None:
        found = [one for one in server.alerts() if one["labels"]["id"] in everything]
        ready = len(found) == len(everything) and all(one["status"]["state"] != "unprocessed" for one in found)
        return found if ready else None

    found = server.wait(decided, "a decision about every alert", 20)
    return {one["labels"]["id"] for one in found if one["status"]["inhibitedBy"]}


FEEDS = [
    (feed("F", "post/air"), {"air", "air lane"}),
    (feed("F", "post"), {"air", "sea", "air lane"}),
    (feed("F", ""), {"air", "sea", "other", "country", "air lane"}),
]
GROUPS = [
    ("country", "RU||", "transit_slow", {"air", "sea", "air lane", "other"}),
    ("carrier", "||post", "transit_slow", {"air", "sea", "air lane"}),
    ("carrier", "||post/air", "transit_slow", {"air", "air lane"}),
    ("carrier_country", "RU||post", "stage_stalled", {"air", "sea", "air lane"}),
    ("carrier_country", "RU||post/air", "transit_slow", {"air", "air lane"}),
    ("country_product", "RU|tablet|", "transit_slow", {"air"}),
    ("carrier_product", "|tablet|post", "transit_slow", {"air"}),
    ("carrier_product", "|shoes|post/sea", "transit_slow", {"sea"}),
    ("country", "RU||", "customs_hold", set()),
    ("country", "DE||", "transit_slow", set()),
]
MEMBERS = [
    channel("air", "RU|tablet|post/air", severity="ticket"),
    channel("sea", "RU|shoes|post/sea"),
    channel("other", "RU|dress|wolf"),
    lane("air lane", "RU", "post/air"),
]


@pytest.mark.parametrize(("source", "expected"), FEEDS)
def test_a_feed_silences_what_is_known_through_it(server: AlertmanagerServer, source: Json, expected: set[str]) -> None:
    country = channel("country", "FR||", scope="country")
    assert silenced(server, [source, *MEMBERS, country]) == expected


@pytest.mark.parametrize(("scope", "where", "mode", "expected"), GROUPS)
def test_a_group_silences_its_members_but_nothing_of_another_kind(
    server: AlertmanagerServer, scope: str, where: str, mode: str, expected: set[str]
) -> None:
    others = [
        channel("grave", "RU|tablet|post/air", mode="sentinel", severity="ticket"),
        channel("lost", "RU|shoes|post/sea", mode="loss"),
    ]
    assert silenced(server, [channel("G", where, mode=mode, scope=scope), *MEMBERS, *others]) == expected


def test_a_page_silences_the_ticket_it_has_been_and_no_ticks_the_watermark_that_stands(
    server: AlertmanagerServer,
) -> None:
    ticket = channel("same", "RU|tablet|post/air", severity="ticket")
    ticket["labels"]["incident_id"] = "page"
    standing = alert("standing", "monitor", severity="ticket", alertname="ChannelMonitorWatermarkStanding")
    down = alert("down", "monitor", alertname="ChannelMonitorDown")
    ticks = alert("ticks", "monitor", alertname="ChannelMonitorNotTicking")
    alerts = [ticket, channel("page", "RU|tablet|post/air"), down, ticks, standing]
    assert silenced(server, alerts) == {"same", "standing"}


def test_what_belongs_together_is_told_once_and_what_is_silenced_not_at_all(
    server: AlertmanagerServer, inbox: Inbox
) -> None:
    server.send(
        feed("F", "post"),
        *MEMBERS,
        channel("wolf 1", "DE|dress|wolf"),
        channel("wolf 2", "DE|tablet|wolf"),
        alert("behind", "monitor", severity="ticket", alertname="ChannelMonitorFallingBehind"),
    )
    expected = {"data": {"F"}, "logistics": {"other", "wolf 1", "wolf 2"}, "sre": {"behind"}}
    server.wait(lambda: inbox.told() == expected, "the messages", 20)
    time.sleep(2)  # nothing more comes with the next interval
    assert inbox.told() == expected
    groups = [{one["labels"]["id"] for one in message["alerts"]} for to, message in inbox.got if to == "logistics"]
    assert {"wolf 1", "wolf 2"} in groups
    assert not any("other" in group and len(group) > 1 for group in groups)
