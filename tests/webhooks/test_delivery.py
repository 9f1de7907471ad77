"""Outgoing webhooks: signed as Standard Webhooks say, sent again under one id, never followed elsewhere, never lost."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from features.config import Config, Webhook
from features.errors import ConfigError
from features.settings_file import read_config
from serving.store import Store, Subscription
from serving.webhooks.delivery import MOST_ATTEMPTS, Deliveries, pause_seconds, post
from serving.webhooks.endpoints import Endpoint, endpoints_of
from serving.webhooks.signing import SignatureError, check_standard, sign

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, or so").decode()
KINDS = frozenset({"decision", "override", "warning"})
HOUR = 3_600_000_000


def put(store, *leads):
    for lead_id in leads:
        with store.transaction() as tx:
            record = {"lead_id": lead_id, "rep_id": "R1", "policy": "priced", "status": "assigned", "propensity": 0.9}
            tx.put_decision(
                lead_id, decided_at=1_772_442_000_000_000, status="assigned", rep_id="R1", week="2026-W10",
                record=record, lead={"lead_id": lead_id},
            )  # fmt: skip


class Receiver(HTTPServer):
    """An endpoint that keeps what it gets and answers as told."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.got, self.answers, self.location = [], [], ""
        self.url = f"http://127.0.0.1:{self.server_port}/hook?tenant=1"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815  # the library's own name

    def log_message(self, *args):
        pass


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.shutdown()
    made.server_close()


class Clock:
    def __init__(self):
        self.now = 1_772_442_000_000_000

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    with Store.open(tmp_path / "fairlead.db", clock=clock) as opened:
        opened.subscriptions = (Subscription("crm", KINDS),)
        yield opened


def endpoint(url="http://127.0.0.1:1/"):
    return Endpoint("crm", url, SECRET, KINDS)


def deliveries(store, clock, **options):
    return Deliveries(store, (endpoint(),), "UTC", clock, **options)


def left(store):
    with store.read() as view:
        return view.messages()


def test_the_signature_is_that_of_the_specification():
    """By hand from the text of the specification: base64 of HMAC-SHA256 over id.timestamp.body."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    by_hand = base64.b64encode(hmac.new(key, b'msg_1.1674087231.{"a":1}', hashlib.sha256).digest()).decode()
    assert sign(SECRET, "msg_1", 1674087231, b'{"a":1}') == f"v1,{by_hand}"


def test_the_signature_is_that_of_the_specifications_own_example():
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    wanted = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == wanted


def test_what_was_delivered_verifies_says_what_was_decided_and_is_gone(store, clock, receiver):
    put(store, "L1", "领先")
    made = Deliveries(store, (endpoint(receiver.url),), "Asia/Shanghai", clock)
    assert made.deliver(endpoint(receiver.url)) == 2
    assert left(store) == []
    path, headers, body = receiver.got[1]
    assert path == "/hook?tenant=1"
    assert check_standard(SECRET, headers, body, clock.now / 1e6) == headers["webhook-id"]
    said = json.loads(body)
    assert said["type"] == "decision"
    assert said["timestamp"] == "2026-03-02T17:00:00+08:00"
    assert said["data"]["lead_id"] == "领先"
    assert said["data"]["rep_id"] == "R1"
    assert said["data"]["propensity"] == 0.9
    assert made.sent == {("crm", "delivered"): 2}
    with pytest.raises(SignatureError):
        check_standard(SECRET, headers, body + b" ", clock.now / 1e6)


def test_a_refused_message_comes_again_later_under_the_same_id_with_the_same_body(store, clock, receiver):
    receiver.answers = [503]
    put(store, "L1")
    made, there = deliveries(store, clock), endpoint(receiver.url)
    assert made.deliver(there) == 1
    (message,) = left(store)
    assert (message.attempts, message.last_error, message.state) == (1, "answered 503", "waiting")
    assert made.deliver(there) == 0, "not before its time"
    clock.now = message.next_at
    assert made.deliver(there) == 1
    assert left(store) == []
    (_, first, body), (_, second, again) = receiver.got
    assert first["webhook-id"] == second["webhook-id"]
    assert body == again
    assert first["webhook-timestamp"] != second["webhook-timestamp"]


def test_attempts_are_bounded_ever_further_apart_and_end_as_a_dead_letter(store, clock):
    put(store, "L1")
    made = deliveries(store, clock, send=lambda *_: 500)
    moments = []
    while (message := left(store)[0]).state == "waiting":
        clock.now = message.next_at
        moments.append(clock.now)
        assert made.deliver(endpoint()) == 1
    assert len(moments) == MOST_ATTEMPTS
    assert message.last_error == "answered 500"
    assert 12 * HOUR < moments[-1] - moments[0] < 60 * HOUR
    clock.now += 1_000 * HOUR
    assert made.deliver(endpoint()) == 0


def test_an_endpoint_that_is_gone_gets_nothing_more(store, clock):
    put(store, "L1")
    assert deliveries(store, clock, send=lambda *_: 410).deliver(endpoint()) == 1
    assert left(store)[0].state == "dead"


def test_pauses_grow_fourfold_with_jitter_between_messages():
    for attempt, middle in ((1, 5), (2, 20), (3, 80), (12, 4 * 3_600)):
        drawn = [pause_seconds(f"msg_{i}", attempt) for i in range(400)]
        assert min(drawn) >= 0.5 * middle
        assert max(drawn) <= 1.5 * middle
        assert max(drawn) - min(drawn) > 0.9 * middle


def test_no_redirect_is_followed_and_no_answer_is_no_crash(store, clock, receiver):
    receiver.answers, receiver.location = [307, 302], receiver.url
    put(store, "L1")
    made = deliveries(store, clock)
    made.deliver(endpoint(receiver.url))
    assert len(receiver.got) == 1
    assert left(store)[0].last_error == "answered 307"
    clock.now = left(store)[0].next_at
    made.deliver(endpoint("http://127.0.0.1:9/"))
    assert left(store)[0].last_error == "no answer: ConnectionRefusedError"


def test_a_body_that_never_ends_is_not_read():
    class Endless(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65_536)
            except OSError:
                pass

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    began = time.monotonic()
    assert post(f"http://127.0.0.1:{server.server_port}/", {}, b"{}") == 200
    assert time.monotonic() - began < 5
    server.shutdown()
    server.server_close()


def test_what_was_erased_is_not_told(store, clock):
    put(store, "L1")
    with store.transaction() as tx:
        tx.erase_lead("L1", at=1, by="hr")
    asked = []
    deliveries(store, clock, send=lambda *given: asked.append(given) or 200).deliver(endpoint())
    assert asked == []
    assert left(store) == []


def test_no_decision_waits_for_a_slow_endpoint(store, clock):
    """While a delivery hangs, the store takes other decisions: nothing is sent inside a transaction."""
    put(store, "L1")
    hanging, go_on = threading.Event(), threading.Event()

    def hang(*_):
        hanging.set()
        assert go_on.wait(20)
        return 200

    thread = threading.Thread(target=deliveries(store, clock, send=hang).deliver, args=(endpoint(),))
    thread.start()
    assert hanging.wait(20)
    put(store, "L2")
    with store.read() as view:
        assert view.decision("L2") is not None
    go_on.set()
    thread.join(20)
    assert [one.seq for one in left(store)] == [2]


KILLED = """
import os, signal, sys
from serving.store import Store
from serving.webhooks.delivery import Deliveries
from serving.webhooks.endpoints import Endpoint

def die(url, headers, body):
    print(headers["webhook-id"], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

store = Store.open(sys.argv[1])
here = Endpoint("crm", "http://127.0.0.1:1/", sys.argv[2], frozenset())
Deliveries(store, (here,), "UTC", lambda: int(sys.argv[3]), send=die).deliver(here)
"""


def test_a_process_killed_while_it_sends_loses_nothing(store, clock, receiver):
    put(store, "L1", "L2")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(store.url.database), SECRET, str(clock.now)],
        capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(left(store)) == 2
    made, there = deliveries(store, clock), endpoint(receiver.url)
    assert made.deliver(there) == 0, "the lease of the dead holds still"
    clock.now += HOUR
    assert made.deliver(there) == 2
    assert left(store) == []
    assert done.stdout.strip() == receiver.got[0][1]["webhook-id"]


def test_the_threads_deliver_by_themselves_and_stop(store, clock, receiver):
    stop = threading.Event()
    made = Deliveries(store, (endpoint(receiver.url),), "UTC", clock)
    made.start(stop)
    put(store, "L1")
    for _ in range(200):
        if receiver.got and not left(store):
            break
        time.sleep(0.05)
    stop.set()
    made.join(5)
    assert len(receiver.got) == 1
    assert left(store) == []


def test_a_look_at_warnings_that_fails_is_followed_by_others(store, clock):
    looks, stop = [], threading.Event()

    def look():
        looks.append(1)
        raise ValueError("a bug")

    made = deliveries(store, clock, watch=look, watch_seconds=0.01)
    made.start(stop)
    for _ in range(200):
        if len(looks) > 2:
            break
        time.sleep(0.02)
    stop.set()
    made.join(5)
    assert len(looks) > 2


# -- settings ---------------------------------------------------------------------------------------------------


def read(tmp_path, toml):
    path = tmp_path / "fairlead.toml"
    path.write_text(toml, encoding="utf-8")
    return read_config(path)


def test_endpoints_come_from_the_settings_and_secrets_from_the_environment(tmp_path, monkeypatch):
    toml = '[webhooks.crm-eu]\nurl = "https://crm.example/x"\nevents = ["decision"]\n'
    config = read(tmp_path, toml)
    with pytest.raises(ConfigError, match="FAIRLEAD_WEBHOOK_SECRET_CRM_EU"):
        endpoints_of(config)
    monkeypatch.setenv("FAIRLEAD_WEBHOOK_SECRET_CRM_EU", SECRET)
    (found,) = endpoints_of(config)
    assert (found.name, found.url, found.secret, found.kinds) == (
        "crm-eu", "https://crm.example/x", SECRET, frozenset({"decision"}),
    )  # fmt: skip
    assert SECRET not in repr(found)


@pytest.mark.parametrize("secret", ["whsec_not base64 at all", "whsec_YQ=="])
def test_a_secret_that_is_none_is_refused_without_being_shown(secret):
    with pytest.raises(ConfigError) as told:
        endpoints_of(Config(webhooks=(Webhook("crm", "https://a.example/", secret),)))
    assert secret not in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example/x", "ftp://127.0.0.1/", "https://", "https://me:pw@crm.example/", "http://10.0.0.1/",
        "http://localhost.example/", "https://a.example/ x", "https://a.example:99999/", "https://[::1",
    ],
)  # fmt: skip
def test_only_https_or_this_machine(tmp_path, url):
    with pytest.raises(ConfigError, match="must be an https"):
        read(tmp_path, f'[webhooks.crm]\nurl = "{url}"\n')


@pytest.mark.parametrize(
    "url", ["https://crm.example/x", "http://127.0.0.1:8099/", "http://localhost/", "http://[::1]:1/"]
)
def test_https_and_this_machine(tmp_path, url):
    assert read(tmp_path, f'[webhooks.crm]\nurl = "{url}"\n').webhooks[0].url == url


def test_mistakes_are_told_together_and_secrets_are_not(tmp_path):
    toml = '[webhooks.Crm]\nsecret = "hush"\nevent = ["x"]\n[webhooks.b]\nurl="https://b.example"\nevents=["deals"]\n'
    with pytest.raises(ConfigError) as told:
        read(tmp_path, toml + "[incoming.pipedrive]\n")
    for part in ("did you mean 'events'", "no name", "at least 16", "of decision, release", "incoming.pipedrive"):
        assert part in str(told.value)
    assert "hush" not in str(told.value)
