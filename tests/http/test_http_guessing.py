"""Wrong keys and signatures are counted by address and by name, and then refused before anything is compared."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from features.config import Incoming
from serving.http.app import create_app
from serving.http.guessing import BY_ADDRESS, BY_NAME, Guesses, key_guess, network_of, webhook_guess
from serving.http.limits import Limiter
from serving.http.problems import Problem
from serving.http.security import ProxyTrust

KEY = "fl_0123456789ab_" + "s" * 43


def wrong(i):
    """The i-th wrong secret of one key's name."""
    return f"fl_0123456789ab_{i:043d}"


def at(clock):
    return Guesses(Limiter(lambda: clock[0]), Limiter(lambda: clock[0]))


def fail(guesses, guess):
    guesses.check(guess)
    guesses.failed(guess)


def wait_of(guesses, guess):
    with pytest.raises(Problem) as caught:
        guesses.check(guess)
    assert caught.value.status_code == 429
    return int(caught.value.headers["Retry-After"])


def test_an_address_waits_after_its_wrong_keys_and_another_does_not():
    clock = [0.0]
    guesses = at(clock)
    for i in range(int(BY_ADDRESS.burst)):
        fail(guesses, key_guess("key", "10.0.0.1", f"nonsense-{i}"))
    assert wait_of(guesses, key_guess("key", "10.0.0.1", KEY)) == round(1 / BY_ADDRESS.per_second)
    guesses.check(key_guess("key", "10.0.0.2", KEY))
    clock[0] = 1 / BY_ADDRESS.per_second
    guesses.check(key_guess("key", "10.0.0.1", KEY))


def test_a_name_waits_after_wrong_secrets_from_many_addresses_and_another_name_does_not():
    clock = [0.0]
    guesses = at(clock)
    for i in range(int(BY_NAME.burst)):
        fail(guesses, key_guess("key", f"10.0.{i}.1", wrong(i)))
    assert wait_of(guesses, key_guess("key", "10.1.0.1", KEY)) == round(1 / BY_NAME.per_second)
    guesses.check(key_guess("key", "10.1.0.1", KEY.replace("0", "1")))


def test_who_was_right_before_stays_served():
    """A key passes from everywhere; a sender's address only past the limit by name, for it proves no secret."""
    clock = [0.0]
    guesses = at(clock)
    guesses.right(key_guess("key", "10.0.0.1", KEY))
    guesses.right(webhook_guess("hubspot", "10.0.0.1"))
    for i in range(int(BY_NAME.burst)):
        fail(guesses, key_guess("key", f"10.0.{i}.2", wrong(i)))
        fail(guesses, webhook_guess("hubspot", f"10.0.{i}.3"))
    for i in range(int(BY_ADDRESS.burst)):
        fail(guesses, key_guess("sign_in", "10.2.0.1", f"nonsense-{i}"))
    guesses.check(key_guess("key", "10.2.0.1", KEY))
    guesses.check(webhook_guess("hubspot", "10.0.0.1"))
    wait_of(guesses, webhook_guess("hubspot", "10.3.0.1"))
    for _ in range(int(BY_ADDRESS.burst)):
        fail(guesses, webhook_guess("hubspot", "10.0.0.1"))
    wait_of(guesses, webhook_guess("hubspot", "10.0.0.1"))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (None, ""),
        ("testclient", "testclient"),
    ],
)
def test_one_subscriber_is_one_caller(address, network):
    assert network_of(address) == network


@pytest.mark.parametrize("path", ["/v1/models", "/metrics"])
def test_a_right_key_tells_nothing_more_once_its_address_is_refused(keyring, connect, caller, problem, path):
    """On open paths as well: /metrics would tell a right key from a wrong one."""
    known = caller("admin", "known")
    assert known.get(path).status_code == 200
    right = keyring.add("admin", "new")
    with capture_logs() as logs:
        for i in range(int(BY_ADDRESS.burst)):
            guess = connect(host="fairlead.example", client="10.9.9.9", **{"X-API-Key": f"guess-{i}"})
            problem(guess.get(path), 401, "unauthenticated")
        refused = connect(host="fairlead.example", client="10.9.9.9", **{"X-API-Key": right}).get(path)
    problem(refused, 429, "too-many-calls")
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    told = [line for line in logs if line["event"] == "guess_refused"]
    assert [(line["where"], line["address"]) for line in told] == [("key", "10.9.9.9")]
    assert right not in str(logs)
    assert connect(host="fairlead.example", client="10.9.9.8", **{"X-API-Key": right}).get(path).status_code == 200
    # Now it is known, and no guess from anywhere.
    assert connect(host="fairlead.example", client="10.9.9.9", **{"X-API-Key": right}).get(path).status_code == 200
    assert known.get(path).status_code == 200


def test_a_session_that_is_over_is_no_guess(keyring, connect, caller):
    """A browser left open sends it with every picture and style."""
    caller("admin")
    browser = connect(
        host="fairlead.example", client="10.9.9.9", cookie=f"fairlead_session=fls_0123456789ab_1_{'0' * 64}"
    )
    assert [browser.get("/docs.css").status_code for _ in range(40)] == [200] * 40
    right = keyring.add("hr", "new")
    assert connect(host="fairlead.example", client="10.9.9.9", **{"X-API-Key": right}).get("/v1/models").is_success


def test_a_proxys_secret_is_guessed_no_faster(service, problem):
    app = create_app(service, proxy=ProxyTrust("right"))

    def call(secret):
        headers = {"X-Fairlead-Proxy-Secret": secret, "X-Forwarded-User": "ann", "X-Forwarded-Role": "hr"}
        client = TestClient(app, base_url="http://fairlead.example", headers=headers, client=("10.9.9.9", 5))
        return client.get("/v1/models")

    for i in range(int(BY_ADDRESS.burst)):
        problem(call(f"wrong-{i}"), 401, "unauthenticated")
    problem(call("wrong"), 429, "too-many-calls")
    assert call("right").status_code == 200, "the proxy itself goes on: all its readers have its address"


def test_wrong_signatures_are_refused_by_sender_and_address(service, keyring, problem):
    service.sender = lambda name: Incoming(name, "a-secret-of-the-test")
    service.take_sent = lambda sent, *, sender: []
    keyring.add("admin", "ops")
    app = create_app(service, keyring=keyring)

    def send(address, secret):
        client = TestClient(app, base_url="http://fairlead.example", client=(address, 5))
        return client.post("/v1/webhooks/salesforce", json={}, headers={"X-Fairlead-Secret": secret})

    assert send("10.0.0.1", "a-secret-of-the-test").status_code != 401
    for i in range(int(BY_NAME.burst)):
        problem(send(f"10.1.0.{i % 5}", "wrong"), 401, "unauthenticated")
    found = send("10.2.0.1", "a-secret-of-the-test")
    problem(found, 429, "too-many-calls")
    assert found.headers["retry-after"]
    assert send("10.0.0.1", "a-secret-of-the-test").status_code not in (401, 429), "who was known goes on"
