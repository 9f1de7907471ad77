"""One caller in a loop is told to wait; others are served, and so is he again later."""

from __future__ import annotations

import pytest

from serving.http.limits import Limiter, Rate
from serving.http.problems import Problem


def test_a_bucket_empties_refills_and_is_each_callers_own():
    now = [0.0]
    limiter = Limiter(lambda: now[0])
    rate = Rate(3, 0.5)
    for _ in range(3):
        limiter.take("a", rate)
    with pytest.raises(Problem) as caught:
        limiter.take("a", rate)
    assert (caught.value.status_code, caught.value.headers["Retry-After"]) == (429, "2")
    limiter.take("b", rate)
    now[0] = 2.0
    limiter.take("a", rate)
    with pytest.raises(Problem):
        limiter.take("a", rate)


def test_callers_without_a_key_are_answered_429_while_a_known_key_is_served(caller, connect, problem):
    known = caller("hr")
    stranger = connect(host="fairlead.example", client="10.9.9.9")
    statuses = [stranger.get("/v1/models").status_code for _ in range(40)]
    assert statuses[:30] == [401] * 30
    assert 429 in statuses[30:]
    problem(stranger.get("/v1/models"), 429, "too-many-calls")
    assert known.get("/v1/models").status_code == 200
    assert stranger.get("/healthz").status_code == 200
