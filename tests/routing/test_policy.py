"""One decision: hard rules, exact propensities, holding, owner, hold-out, load and fairness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.config import Routing
from features.errors import ConfigError
from models.routing.policy import Candidates, Exclusion, HoldReason, WhyNot, decide
from models.routing.prices import Prices
from models.routing.settings import PolicySettings, policy_settings


def desk(value, *, exclusion=None, used=None, capacity=None, last=None, **more):
    value = np.asarray(value, dtype=float)
    n = value.size
    return Candidates(
        value, value / 10, np.zeros(n, int) if exclusion is None else np.asarray(exclusion),
        np.zeros(n, int) if used is None else np.asarray(used),
        np.full(n, 5) if capacity is None else np.asarray(capacity),
        np.arange(n) if last is None else np.asarray(last), **more,
    )  # fmt: skip


def prices(place, subsidy=None):
    place = np.asarray(place, dtype=float)
    return Prices(place, np.zeros(place.size) if subsidy is None else np.asarray(subsidy, dtype=float))


PLAIN = PolicySettings(exploration=0.0)


def rng():
    return np.random.default_rng(5)


@st.composite
def situations(draw):
    n = draw(st.integers(1, 6))
    numbers = st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.02, 1.05, 2.0]), min_size=n, max_size=n)
    counts = st.lists(st.integers(0, 3), min_size=n, max_size=n)
    candidates = desk(
        draw(numbers), exclusion=draw(st.lists(st.sampled_from([0, 0, 0, 3, 4, 5]), min_size=n, max_size=n)),
        used=draw(counts), capacity=draw(counts), last=draw(counts),
        uncertainty=np.array(draw(st.lists(st.floats(0, 2), min_size=n, max_size=n))),
    )  # fmt: skip
    share = st.sampled_from([0.0, 0.1, 1.0])
    settings_ = PolicySettings(
        mode=draw(st.sampled_from(["priced", "lead_only", "fallback", "rule"])), exploration=draw(share),
        holdout=draw(share), favour_unknown=draw(st.sampled_from([0.0, 1.0])),
    )  # fmt: skip
    return candidates, prices(draw(numbers)), settings_, draw(st.none() | st.integers(0, n - 1))


@given(situations(), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_propensities_sum_to_one_and_no_rule_is_broken(situation, seed):
    candidates, price, settings_, owner = situation
    choice = decide(candidates, price, settings_, np.random.default_rng(seed), owner=owner)
    assert choice.probabilities.sum() == pytest.approx(1.0)
    assert (choice.probabilities >= 0).all()
    free = (candidates.exclusion == 0) & (candidates.used < candidates.capacity)
    assert choice.probabilities[:-1][~free].sum() == 0.0
    if choice.rep is None:
        assert choice.hold is not HoldReason.NONE
        assert choice.propensity == choice.probabilities[-1]
        assert not free.any() or choice.hold is HoldReason.BELOW_PRICE
    else:
        assert free[choice.rep]
        assert choice.propensity == choice.probabilities[choice.rep] > 0
        assert choice.hold is HoldReason.NONE


@given(situations())
@settings(max_examples=100, deadline=None)
def test_a_lead_is_held_by_price_only_where_every_net_value_is_below_zero(situation):
    candidates, price, _, _ = situation
    choice = decide(candidates, price, PLAIN, rng())
    if choice.hold is HoldReason.BELOW_PRICE:
        assert choice.net.max() < 0
    elif choice.rep is not None:
        assert choice.net[choice.rep] == choice.net.max() >= 0


def test_drawn_frequencies_are_the_logged_propensities():
    """The oracle is counting: 4,000 draws of a mixture of best, near-equals and hold-out."""
    candidates = desk([1.0, 0.98, 0.5, 0.97], last=[5, 5, 0, 5])
    settings_ = PolicySettings(exploration=0.3, holdout=0.2)
    draws, counts, generator = 4_000, np.zeros(5), rng()
    for _ in range(draws):
        choice = decide(candidates, prices([0, 0, 0, 0]), settings_, generator)
        counts[choice.rep if choice.rep is not None else 4] += 1
    expected = np.array([0.8 * (0.7 + 0.1), 0.8 * 0.1, 0.2, 0.8 * 0.1, 0.0])
    assert choice.probabilities == pytest.approx(expected)
    assert counts / draws == pytest.approx(expected, abs=0.03)


def test_the_price_turns_the_choice_and_the_runner_up_says_so():
    choice = decide(desk([1.0, 0.9, 0.2]), prices([0.4, 0.1, 0.0]), PLAIN, rng())
    assert (choice.rep, choice.policy, choice.runner_up, choice.propensity) == (1, "priced", 0, 1.0)
    dear, poor = choice.alternatives
    assert (dear.rep, dear.why_not, dear.price) == (0, WhyNot.HIGHER_PRICE, 0.4)
    assert dear.net == pytest.approx(0.6)
    assert (poor.rep, poor.why_not) == (2, WhyNot.LOWER_VALUE)


def test_the_owner_of_the_account_comes_first_and_absence_is_said():
    assert decide(desk([1.0, 0.1]), prices([0, 0]), PLAIN, rng(), owner=1).rep == 1
    away = decide(desk([1.0, 0.1], exclusion=[0, Exclusion.ABSENT]), prices([0, 0]), PLAIN, rng(), owner=1)
    assert (away.rep, away.policy, away.owner_unavailable) == (0, "priced", Exclusion.ABSENT)
    full = decide(desk([1.0, 0.1], used=[0, 5]), prices([0, 0]), PLAIN, rng(), owner=1)
    assert (full.rep, full.owner_unavailable) == (0, Exclusion.FULL)
    free = PolicySettings(exploration=0.0, same_account=False)
    assert decide(desk([1.0, 0.1]), prices([0, 0]), free, rng(), owner=1).rep == 0


@pytest.mark.parametrize(
    ("exclusion", "used", "unlisted", "reason"),
    [
        ([Exclusion.LEFT, Exclusion.NOT_SALES], [0, 0], False, HoldReason.NOBODY),
        ([Exclusion.TERRITORY, Exclusion.LEFT], [0, 0], True, HoldReason.TERRITORY_UNLISTED),
        ([Exclusion.ABSENT, Exclusion.TERRITORY], [0, 0], False, HoldReason.NO_ELIGIBLE),
        ([Exclusion.ABSENT, 0], [0, 5], False, HoldReason.ALL_FULL),
        ([0, 0], [0, 0], False, HoldReason.BELOW_PRICE),
    ],
)
def test_each_way_of_being_held_has_its_reason(exclusion, used, unlisted, reason):
    candidates = desk([1.0, 1.0], exclusion=exclusion, used=used)
    choice = decide(candidates, prices([2.0, 2.0]), PLAIN, rng(), territory_unlisted=unlisted)
    assert (choice.rep, choice.hold, choice.propensity) == (None, reason, 1.0)


def test_nobody_at_all_is_held_not_an_error():
    choice = decide(desk([]), prices([]), PLAIN, rng())
    assert (choice.rep, choice.hold, choice.alternatives) == (None, HoldReason.NOBODY, ())


def test_without_a_model_load_share_decides_then_the_longest_wait():
    settings_ = PolicySettings(mode="fallback")
    candidates = desk([9.0, 1.0, 1.0], used=[2, 2, 4], capacity=[4, 8, 16], last=[0, 7, 3])
    choice = decide(candidates, None, settings_, rng())
    assert (choice.rep, choice.policy) == (2, "fallback")
    assert {a.why_not for a in choice.alternatives} == {WhyNot.RULE_ORDER}
    assert decide(candidates, prices([9, 9, 9]), PolicySettings(mode="lead_only"), rng()).policy == "rule"


def test_the_hold_out_takes_turns():
    settings_ = PolicySettings(holdout=1.0)
    choice = decide(desk([9.0, 1.0], last=[5, 2]), prices([0, 0]), settings_, rng())
    assert (choice.rep, choice.policy, choice.propensity) == (1, "holdout", 1.0)


def test_exploration_favours_those_little_is_known_of():
    settings_ = PolicySettings(exploration=1.0, favour_unknown=1.0)
    candidates = desk([1.0, 0.99, 0.2], uncertainty=np.array([0.1, 0.3, 9.0]))
    choice = decide(candidates, prices([0, 0, 0]), settings_, rng())
    assert choice.policy == "explore"
    assert choice.probabilities == pytest.approx([0.25, 0.75, 0.0, 0.0])


def test_a_newcomer_short_of_his_minimum_is_subsidised_until_he_has_it():
    settings_ = PolicySettings(exploration=0.0, newcomer_min=2)
    price, young = prices([0.0, 0.0], [0.0, 0.6]), np.array([False, True])
    assert decide(desk([1.0, 0.5], newcomer=young), price, settings_, rng()).rep == 1
    assert decide(desk([1.0, 0.5], newcomer=young, used=[0, 2]), price, settings_, rng()).rep == 0


def test_the_bound_on_high_value_leads_is_hard():
    settings_ = PolicySettings(exploration=0.0, high_value_max=1)
    candidates = desk([1.0, 0.5], high_value_given=np.array([1, 0]))
    assert decide(candidates, prices([0, 0]), settings_, rng(), high_value=True).rep == 1
    assert decide(candidates, prices([0, 0]), settings_, rng(), high_value=False).rep == 0


@pytest.mark.parametrize(
    "wrong", [{"exploration": 1.5}, {"holdout": -0.1}, {"newcomer_min": -1}, {"exploration": np.nan}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PolicySettings(**wrong)


def test_a_batchs_plan_is_followed_while_the_rep_has_room():
    followed = decide(desk([1.0, 0.9]), prices([0, 0]), PLAIN, rng(), planned=1)
    assert (followed.rep, followed.policy, followed.alternatives[0].why_not) == (1, "priced", WhyNot.PLANNED)
    assert decide(desk([1.0, 0.9], used=[0, 5]), prices([0, 0]), PLAIN, rng(), planned=1).rep == 0
    held = decide(desk([1.0, 0.9]), prices([0, 0]), PolicySettings(exploration=0.5), rng(), planned=-1)
    assert (held.rep, held.propensity) == (None, 1.0)


def test_settings_come_from_the_configuration():
    found = policy_settings(Routing(exploration=0.1, holdout=0.2, newcomer_min=3, high_value_max=4, same_account=False))
    assert found == PolicySettings(exploration=0.1, holdout=0.2, newcomer_min=3, high_value_max=4, same_account=False)
    with pytest.raises(ConfigError, match="holdout"):
        policy_settings(Routing(holdout=3.0))


def test_a_lead_just_below_every_price_is_held_and_just_at_it_is_given():
    assert decide(desk([1.0, 0.9]), prices([1.01, 0.91]), PLAIN, rng()).hold is HoldReason.BELOW_PRICE
    assert decide(desk([1.0, 0.9]), prices([1.0, 0.91]), PLAIN, rng()).rep == 0


def test_where_reps_are_alike_a_lead_waits_below_the_price_and_else_goes_by_load():
    """The price decides which leads wait, load who gets the others: the cheapest place is not sought out."""
    fair = PolicySettings(mode="lead_only", exploration=0.0)
    waits = decide(desk([2.0, 2.0, 2.0]), prices([3.0, 2.5, 4.0]), fair, rng())
    assert (waits.rep, waits.hold) == (None, HoldReason.BELOW_PRICE)
    goes = decide(desk([3.0, 3.0, 3.0], used=[2, 4, 0]), prices([3.0, 1.0, 3.5]), fair, rng())
    assert (goes.rep, goes.policy) == (0, "rule")
    assert decide(desk([3.0, 3.0, 3.0], used=[2, 4, 0]), None, fair, rng()).rep == 2
    assert decide(desk([3.0, 3.0, 3.0], used=[2, 4, 0]), prices([0.0, 0.0, 0.0]), fair, rng()).rep == 2


@pytest.mark.parametrize("n_open", [0, 3, 7, 60])
@pytest.mark.parametrize("label", ["priced", "rule"])
def test_the_first_of_the_order_are_those_of_a_whole_sort(n_open, label):
    from models.routing.policy import _order, load_share

    generator = np.random.default_rng(n_open)
    for _ in range(50):
        value = np.round(generator.normal(size=60), 1)  # with ties
        value[generator.random(60) < 0.05] = np.nan
        exclusion = np.full(60, int(Exclusion.FULL))
        exclusion[generator.permutation(60)[:n_open]] = 0
        candidates = Candidates(
            value, np.full(60, 0.5), exclusion, generator.integers(0, 4, 60), np.full(60, 4), np.zeros(60, np.int64)
        )
        net = np.where(exclusion == 0, value - 0.5, -np.inf)
        open_, load = exclusion == 0, load_share(candidates)
        score = np.nan_to_num(np.where(open_, -load if label == "rule" else net, -np.inf), nan=-np.inf)
        worth = np.nan_to_num(value, nan=-np.inf)
        whole = np.lexsort((-worth, -score, ~open_))
        found = _order(net, candidates, exclusion, PolicySettings(), label, load, 7)
        assert found.tolist() == whole[:7].tolist()
