"""Messages of incidents: what is told, once, in order, within the rate, and through what fails on the way."""

from __future__ import annotations

import email
import email.policy
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from receivers import MailReceiver, Receiver

from monitor.notify.changes import Told, changes, merged
from monitor.notify.outlets import Outcome, Outlet
from monitor.notify.queue import DAY_S, Queue, QueueError, waiting_in
from monitor.notify.sender import FIRST_REST_S, LONGEST_REST_S, MOST, Rules, Sender
from monitor.notify.sinks import Sink, SinkError, parse_sinks
from monitor.web.i18n import Translator

Json = dict[str, Any]
NOW = 1_772_500_000.0  # 2026-03-03T01:06:40Z
RULES = Rules(frozenset({"page", "ticket"}), 30.0, 20, "http://monitor.example:8080/")
WORDS = Translator("en")("notify.repeated")


def incident(name: str = "i1", severity: str = "page", **more: Any) -> Json:
    return {
        "incident_id": name,
        "scope": {"kind": "country_product", "country": "RU", "product": "tablet", "carrier": None},
        "mode": "transit_slow",
        "clock": None,
        "severity": severity,
        "opened_at": "2026-02-26T00:00:00Z",
        "closed_at": None,
        "known_by": "2026-03-03T00:00:00Z",
        "members": ["RU|tablet|china-post"],
        "parcels_at_risk": 412,
        "evidence": {"ln_m": 9.8, "observed": 31.0, "expected": 74.2, "since": "2026-02-26"},
        "forecast": {"complaints_next_14_days": {"expected": 37.0, "low": 25.0, "high": 52.0}},
        **more,
    }


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


class Chat:
    """A sink that does as it is told, and keeps what it took."""

    most_bytes = 5_000

    def __init__(self, name: str = "ops", language: str = "en") -> None:
        self.name, self.language = name, language
        self.outcomes: list[Outcome | BaseException] = []
        self.taken: list[tuple[str, str]] = []

    def send(self, title: str, body: str) -> Outcome:
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome(True)
        if isinstance(outcome, BaseException):
            self.taken.append((title, body))  # it arrives, and then the process dies
            raise outcome
        if outcome.arrived:
            self.taken.append((title, body))
        return outcome


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    queue = Queue(tmp_path / "notify.sqlite3")
    yield queue
    queue.close()


def begun(queue: Queue, clock: Clock, *chats: Chat, rules: Rules = RULES) -> Sender:
    """A sender whose first look, at nothing, lies behind it."""
    sender = Sender(queue, chats, rules, clock)
    sender.look([])
    return sender


# What is a change


@pytest.mark.parametrize(
    ("told", "now", "found"),
    [
        (None, Told("page"), ["opened"]),
        (None, Told("page", closed=True), ["closed"]),
        (Told("ticket"), Told("page"), ["raised"]),
        (Told("ticket"), Told("page", joined=2, closed=True), ["raised", "grew", "closed"]),
        (Told("ticket"), Told("ticket", absorbed=True), ["absorbed"]),
        (Told("page", joined=2), Told("page", joined=2), []),
        (Told("page", joined=2), Told("ticket"), []),  # an earlier state, shown by a rebuild
        (Told("ticket", closed=True), Told("page"), []),
    ],
)
def test_an_incident_only_goes_forward(told: Told | None, now: Told, found: list[str]) -> None:
    assert changes(told, now) == found
    if told is not None:
        assert changes(merged(told, now), now) == changes(merged(told, now), told) == []


# Sinks


def test_sinks_are_lines_of_name_language_and_url() -> None:
    sinks = parse_sinks("# chats\nops zh-CN dingtalk://abc/\n\nmail en mailto://a:b@c.example\n")
    assert [(sink.name, sink.language) for sink in sinks] == [("ops", "zh"), ("mail", "en")]
    assert "abc" not in repr(sinks)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ops dingtalk://SECRET", "line 1 of the sinks must be NAME LANGUAGE URL; it has 2 words"),
        ("\no/ps en dingtalk://SECRET", "line 2 of the sinks: a name"),
        ("ops de dingtalk://SECRET", "sink ops: the language must be one of en, zh-CN"),
        ("ops en SECRET", "sink ops: the third word is no URL"),
        ("ops en a://SECRET\nops en b://SECRET", "sink ops is named twice"),
    ],
)
def test_a_wrong_sink_is_told_without_its_url(text: str, said: str) -> None:
    with pytest.raises(SinkError) as caught:
        parse_sinks(text)
    assert said in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_url_that_no_service_takes_is_told_without_it() -> None:
    with pytest.raises(SinkError, match="sink ops: Apprise knows no service") as caught:
        Outlet(Sink("ops", "en", "nonsense://SECRET"), 1.0)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "dingtalk://abc123/",
        "wecombot://f30b71a8-f7a5-4a4a-8a4e-a0b1c2d3e4f5/",
        "feishu://abc123abc/",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/",
        "mailto://user:word@mail.example?to=ops@mail.example",
    ],
)
def test_the_chats_that_are_promised_are_known(url: str) -> None:
    assert Outlet(Sink("one", "en", url), 1.0).most_bytes >= 1_800


# What is sent


def test_each_change_is_told_once_to_each_sink_in_its_language(queue: Queue, clock: Clock) -> None:
    english, chinese = Chat("mail", "en"), Chat("ops", "zh")
    sender = begun(queue, clock, english, chinese)
    assert sender.look([incident()]) == 2
    assert sender.look([incident()]) == 0
    assert sender.send() == 0  # it waits for others
    clock.now += 31
    assert sender.send() == 2
    assert sender.send() == 0
    ((title, body),) = english.taken
    assert title == "Channel monitor: New: Transit slower than usual: RU × tablet"
    assert "[Act today] New: Transit slower than usual: RU × tablet\n" in body
    assert "412 parcels at risk; 37 complaints expected in 14 days (25–52) if nothing is done.\n" in body
    assert body.endswith("\nhttp://monitor.example:8080/incidents/i1")
    ((title, body),) = chinese.taken
    assert title == "渠道监控｜新事件：RU × tablet：运输变慢"
    assert "受影响包裹 412 件；若不处理，预计 14 天内投诉 37 起（25–52）。" in body
    sender.look([incident(closed_at="2026-03-20T00:00:00Z")])
    clock.now += 31
    sender.send()
    assert "Over" in english.taken[1][0]
    assert "Known from 2026-03-03T00:00:00Z to 2026-03-20T00:00:00Z." in english.taken[1][1]
    assert len(english.taken) == len(chinese.taken) == 2


def test_changes_that_come_together_go_together_in_order(queue: Queue, clock: Clock) -> None:
    chat = Chat()
    chat.most_bytes = 50_000
    sender = begun(queue, clock, chat)
    names = [f"i{n:02}" for n in range(MOST + 5)]
    sender.look([incident(name) for name in names])
    clock.now += 31
    assert [sender.send(), sender.send(), sender.send()] == [MOST, 5, 0]
    assert chat.taken[0][0] == f"Channel monitor: {MOST} changes of incidents"
    told = [line[-3:] for _, body in chat.taken for line in body.splitlines() if "/incidents/" in line]
    assert told == names


def test_a_message_is_no_longer_than_a_sink_takes(queue: Queue, clock: Clock) -> None:
    chat = Chat()
    chat.most_bytes = 1_000
    sender = begun(queue, clock, chat)
    sender.look([incident(f"i{n}") for n in range(7)])
    clock.now += 31
    while sender.send():
        pass
    assert len(chat.taken) > 1
    assert all(len(body.encode()) <= 1_000 for _, body in chat.taken)
    assert sum(body.count("/incidents/") for _, body in chat.taken) == 7


def test_only_the_severities_asked_for_are_told(queue: Queue, clock: Clock) -> None:
    chat = Chat()
    sender = begun(queue, clock, chat, rules=Rules(frozenset({"page"}), 0.0, 20, ""))
    sender.look([incident("a", "ticket"), incident("b", "feed")])
    assert sender.send() == 0
    sender.look([incident("a", "page"), incident("b", "feed")])
    assert sender.send() == 1
    assert "Now a page" in chat.taken[0][0]


def test_the_past_is_told_to_nobody_and_what_came_while_it_did_not_run_is(queue: Queue, clock: Clock) -> None:
    chat = Chat()
    sender = Sender(queue, [chat], RULES, clock)
    assert sender.look([incident("there already")]) == 0
    clock.now += 20 * DAY_S  # it did not run
    come = incident("come meanwhile", known_by="2026-03-10T00:00:00Z")
    loaded = incident("history that was loaded", known_by="2025-03-10T00:00:00Z")
    assert sender.look([incident("there already"), come, loaded]) == 1
    assert sender.look([incident("there already", closed_at="2026-03-22T00:00:00Z"), come, loaded]) == 1


def test_a_sink_gets_no_more_messages_a_minute_than_it_takes(queue: Queue, clock: Clock) -> None:
    chat = Chat()
    sender = begun(queue, clock, chat, rules=Rules(RULES.severities, 0.0, 20, ""))
    times = []
    for n in range(50):
        sender.look([incident(f"i{n}")])
        if sender.send():
            times.append(clock.now)
        clock.now += 1
    while sender.send() or clock.now < NOW + 200:
        clock.now += 1
    assert sum(1 for time in times if time < NOW + 60) == 20
    assert sum(2 if title.startswith("Channel monitor: 2") else 1 for title, _ in chat.taken) >= 20
    assert waiting_in(queue.path) == {}


def test_a_sink_that_fails_is_tried_again_ever_more_slowly_and_does_not_hold_up_others(
    queue: Queue, clock: Clock
) -> None:
    bad, good = Chat("bad"), Chat("good")
    bad.outcomes = [Outcome(False, "refused with status 500")] * 12
    sender = begun(queue, clock, bad, good)
    sender.look([incident()])
    clock.now += 31
    sender.send()
    assert len(good.taken) == 1
    rests, last = [], clock.now
    while not bad.taken:
        clock.now += 1
        if sender.send() or queue.attempts("bad") > len(rests) + 1:
            rests.append(clock.now - last)
            last = clock.now
    assert rests[:4] == [FIRST_REST_S * 2**n for n in range(4)]
    assert max(rests) == LONGEST_REST_S
    assert WORDS not in bad.taken[0][1]  # every failure was certain
    assert len(good.taken) == 1


def test_what_may_have_arrived_is_sent_again_and_says_so(queue: Queue, clock: Clock) -> None:
    chat = Chat()
    chat.outcomes = [Outcome(False, "no answer in time", doubt=True), Outcome(False, "refused with status 429")]
    sender = begun(queue, clock, chat)
    sender.look([incident()])
    for _ in range(4):
        clock.now += 31
        sender.send()
    ((_, body),) = chat.taken
    assert body.startswith(WORDS + "\n\n")


class Killed(BaseException):
    """The end of the process."""


def test_a_crash_between_sending_and_noting_repeats_one_message_and_loses_none(tmp_path: Path, clock: Clock) -> None:
    path, chat = tmp_path / "notify.sqlite3", Chat()
    queue = Queue(path)
    sender = begun(queue, clock, chat)
    sender.look([incident("a"), incident("b")])
    clock.now += 31
    chat.outcomes = [Killed()]
    with pytest.raises(Killed):
        sender.send()
    queue.close()
    queue = Queue(path)
    sender = Sender(queue, [chat], RULES, clock)
    sender.look([incident("a"), incident("b"), incident("c")])
    clock.now += 31
    assert [sender.send(), sender.send(), sender.send()] == [2, 1, 0]
    first, again, rest = (body for _, body in chat.taken)
    assert again == f"{WORDS}\n\n{first}"
    assert rest.count("/incidents/") == 1
    assert rest.endswith("/incidents/c")
    queue.close()


def test_a_queue_is_for_one_process_and_readable_for_others(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "notify.sqlite3"
    assert waiting_in(path) == {}
    queue = Queue(path)
    begun(queue, clock, Chat("ops")).look([incident()])
    with pytest.raises(QueueError, match="Another `notify`"):
        Queue(path)
    assert waiting_in(path) == {"ops": 1}
    assert path.stat().st_mode & 0o077 == 0
    queue.close()
    path.write_bytes(b"no database at all, but long enough" * 100)
    with pytest.raises(QueueError, match="cannot be"):
        Queue(path)


# Real outlets


def outcomes(receiver: Receiver, count: int) -> list[Outcome]:
    outlet = Outlet(Sink("ops", "en", f"json://127.0.0.1:{receiver.port}/SECRET"), 0.4)
    return [outlet.send("a title", "a text") for _ in range(count)]


def test_an_outlet_tells_what_became_of_a_message() -> None:
    with Receiver(200, 500, 429, "stall", 200) as receiver:
        took, failed, throttled, stalled, again = outcomes(receiver, 5)
        assert took.arrived
        assert again.arrived
        assert (failed.reason, failed.doubt) == ("refused with status 500", False)
        assert (throttled.reason, throttled.doubt) == ("refused with status 429", False)
        assert not stalled.arrived
        assert stalled.doubt
        assert len(receiver.taken) == 2
        assert receiver.taken[0]["message"] == "a text"


def test_nobody_there_is_in_doubt_too() -> None:
    with Receiver() as receiver:
        pass
    (outcome,) = outcomes(receiver, 1)
    assert (outcome.arrived, outcome.doubt) == (False, True)


@pytest.mark.parametrize(
    ("url", "codes"), [("dingtalk://abc123/", (130101, 310000)), ("wecombot://f30b71a8f7a5/", (45009, 93000))]
)
def test_a_chat_that_refuses_with_status_200_has_refused(url: str, codes: tuple[int, int]) -> None:
    outlet = Outlet(Sink("ops", "zh", url), 1.0)
    with Receiver((200, {"errcode": codes[0]}), (200, {"errcode": codes[1]}), (200, {"errcode": 0})) as receiver:
        address = f"http://127.0.0.1:{receiver.port}/send"
        plugin = outlet._plugin
        for name in ("notify_url", "api_url"):
            if hasattr(plugin, name):
                setattr(plugin, name, address)
        found = [outlet.send("标题", "正文") for _ in range(3)]
    assert [one.reason for one in found] == ["refused with status 429", "refused with status 400", ""]
    assert [one.arrived for one in found] == [False, False, True]


@pytest.mark.parametrize("refuse", [None, b"451 not now\r\n", b"554 never\r\n"])
def test_mail_arrives_whole_or_is_refused(refuse: bytes | None) -> None:
    with MailReceiver(refuse) as receiver:
        address = f"mailto://127.0.0.1:{receiver.port}?from=monitor@shop.example&to=ops@shop.example"
        outlet = Outlet(Sink("mail", "zh", address), 2.0)
        outcome = outlet.send("渠道监控｜新事件", "受影响包裹 412 件。\n第二行")
    assert outcome.arrived == (refuse is None)
    for raw in receiver.letters:
        letter = email.message_from_bytes(raw, policy=email.policy.default)
        assert letter["To"].endswith("ops@shop.example")
        assert letter["Subject"] == "渠道监控｜新事件"
        assert letter.get_content().splitlines()[:2] == ["受影响包裹 412 件。", "第二行"]
    assert len(receiver.letters) == (refuse is None)


def test_the_libraries_log_nothing_of_a_url(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG), Receiver(200, 500, "stall") as receiver:
        outcomes(receiver, 3)
        assert receiver.paths == ["/SECRET"] * 3
    out, err = capfd.readouterr()
    assert "SECRET" not in caplog.text + out + err
