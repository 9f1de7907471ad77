"""A plain scikit-learn model of contribution, brought along in under 30 lines, goes all the way to what is served."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

from features.config import Config
from features.errors import RequestError
from models.forecasting.baselines import share_left
from models.forecasting.panel_model import PanelModel, PanelSettings
from training.datasets import build_datasets
from training.own_contribution import OwnPanel, fitter, read_contribution
from training.release import champion, read_release, release_for
from training.snapshot import forecast_inputs, panel_rows_now, scored_pairs
from training.unit import ModelUnit

MINE = '''
import numpy as np
from sklearn.linear_model import Ridge


class Mine:
    """Ridge regression on standardised features, one for all horizons."""

    def fit(self, rows, features, seed):
        self.names = [*features, "horizon"]
        self.means = rows[self.names].mean().fillna(0.0).tolist()
        self.scales = rows[self.names].std().fillna(1.0).clip(lower=1e-9).tolist()
        found = Ridge(alpha=300.0).fit(self._design(rows), rows["y"])
        self.weights, self.start = found.coef_.tolist(), float(found.intercept_)
        return self

    def _design(self, rows):
        x = rows[self.names].to_numpy(dtype=float)
        return (np.where(np.isnan(x), self.means, x) - self.means) / self.scales

    def predict(self, rows):
        return self._design(rows) @ np.array(self.weights) + self.start

    def to_parts(self):
        return dict(vars(self))

    @classmethod
    def from_parts(cls, parts):
        made = cls()
        vars(made).update(parts)
        return made


class Silent(Mine):
    def predict(self, rows):
        return np.full(len(rows), np.nan)


class Exact(Mine):
    """Knows the truth of the made-up panel below."""

    def predict(self, rows):
        return 100.0 * rows["x"].to_numpy()
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "somebodys_forecast.py").write_text(MINE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "somebodys_forecast"
    sys.modules.pop("somebodys_forecast", None)


def made_up(n_months=16, n_reps=20, noise=5.0):
    rng = np.random.default_rng(4)
    rows = [
        {"rep_id": f"R{r}", "month": m, "as_of": (m - h) * 100, "horizon": h, "x": rng.uniform(1, 3)}
        for m in range(n_months) for r in range(n_reps) for h in range(3)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.assign(y=100.0 * frame["x"] + noise * rng.normal(size=len(frame)))


def test_the_protocol_is_documented_in_under_30_lines():
    import training.own_contribution

    assert len((training.own_contribution.__doc__ or "").splitlines()) < 30
    assert "--contribution" in training.own_contribution.__doc__


def test_its_spread_is_that_of_its_own_errors_on_months_that_it_has_not_seen(module):
    panel = made_up()
    ours = PanelModel.fit(panel, ("x",), PanelSettings())
    theirs = fitter(f"{module}:Exact")(panel, ("x",), PanelSettings())
    assert isinstance(theirs, OwnPanel)
    assert theirs.predict(panel.head(7), 1) == pytest.approx(100.0 * panel["x"].head(7).to_numpy())
    width = theirs.spread[0, 90] - theirs.spread[0, 10]  # true: 5 x 2.56 / sqrt(200 + 20) = 0.86
    assert width == pytest.approx(0.86, rel=0.25)
    assert width < ours.spread[0, 90] - ours.spread[0, 10]
    assert [e.wape for e in theirs.errors] == [e.wape for e in ours.errors], "the driver report explains ours"
    young = panel.loc[(panel["month"] < 3).to_numpy()]
    few = fitter(f"{module}:Exact")(young, ("x",), PanelSettings())
    assert few.spread.tolist() == PanelModel.fit(young, ("x",), PanelSettings()).spread.tolist()


def test_months_still_open_are_not_given_to_it(module):
    panel = made_up()
    open_ = panel.assign(y=np.where(panel["month"] == 15, np.nan, panel["y"]))
    closed = panel.loc[(panel["month"] < 15).to_numpy()]
    one, two = (fitter(f"{module}:Mine")(rows, ("x",), PanelSettings()) for rows in (open_, closed))
    assert one.own.to_parts() == two.own.to_parts()


def test_a_sklearn_model_goes_all_the_way(module, copy_of, tables):
    place = copy_of()
    ours = champion(place.releases)
    facts = place.train(contribution=f"{module}:Mine", promote="force", reason="a colleague's model")
    assert facts["promoted"]
    assert facts["release"] != ours
    assert "against the champion" in " ".join(facts["gate"]["checks"])
    unit = ModelUnit.from_release(release_for(place.releases, tables.newest()))
    panel = unit.contribution.panel
    assert isinstance(panel, OwnPanel)
    scored = {row["method"] for row in unit.report["backtest"]}
    assert {"panel", "funnel", "fairlead"} <= scored
    before = read_release(place.releases, ours).document("report")
    theirs, old = (_scores(report["backtest"]) for report in (unit.report, before))
    assert theirs["pinball"] != old["pinball"], "it was fitted at every origin"
    sets = build_datasets(tables, tables.newest(), Config(), unit.spec)
    pairs = scored_pairs(sets.world, unit.conversion, unit.amount)
    inputs, rows = forecast_inputs(sets.world, unit.workdays, pairs), panel_rows_now(sets.world, unit.workdays)
    inputs = inputs.canonical()
    fan, share = panel.fan(inputs, rows, inputs.months), share_left(inputs, inputs.months)
    chosen = rows.loc[(rows["horizon"] == 1).to_numpy()].reset_index(drop=True)
    at = list(fan.rep_ids).index(chosen["rep_id"].iloc[0])
    assert fan.mean[at, 1] == pytest.approx(max(panel.own.predict(chosen)[0], 0.0) * share[at, 1], rel=1e-6)
    again = read_contribution(*_through_json(unit))
    assert again.panel.predict(rows, 0).tolist() == panel.predict(rows, 0).tolist()
    assert np.isfinite(unit.forecast(inputs, rows).samples).all()
    assert not list((place.releases / facts["release"]).glob("*.pkl"))


def _scores(backtest):
    return {row["metric"]: row["estimate"] for row in backtest if (row["method"], row["level"]) == ("panel", "rep")}


def _through_json(unit):
    parts, texts = unit.contribution.to_parts()
    return json.loads(json.dumps(parts)), texts


@pytest.mark.parametrize(
    ("name", "told"),
    [("Silent", "must give .* finite amounts"), ("Nobody", "no such class"), ("np", "lacks fit")],
)
def test_a_class_that_cannot_serve_is_told(module, name, told):
    with pytest.raises(RequestError, match=told):
        fitter(f"{module}:{name}")(made_up(), ("x",), PanelSettings())
