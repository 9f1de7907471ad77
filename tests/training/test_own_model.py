"""A plain scikit-learn model, brought along in under 30 lines, is tested, gated, released and served like ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from features.config import Config
from features.errors import RequestError
from features.world import build
from training.datasets import build_datasets
from training.own_model import OwnConversion, find_class, read_conversion
from training.release import champion, release_for
from training.unit import ModelUnit

MINE = '''
import numpy as np
from sklearn.linear_model import LogisticRegression


class Mine:
    """A logistic regression of a lead's numbers and its source; it knows nothing of reps but their tenure."""

    def fit(self, pairs, columns, seed):
        known = pairs.loc[pairs["y"].notna()]
        self.numbers = [*columns.lead_numeric, "rep_tenure_years"]
        self.means = known[self.numbers].mean().fillna(0.0).tolist()
        self.scales = known[self.numbers].std().fillna(1.0).clip(lower=1e-9).tolist()
        self.sources = sorted(known["source"].unique())
        found = LogisticRegression(C=0.1, random_state=seed, max_iter=500).fit(self._design(known), known["y"])
        self.weights, self.start = found.coef_[0].tolist(), float(found.intercept_[0])
        return self

    def _design(self, pairs):
        numbers = pairs[self.numbers].fillna(dict(zip(self.numbers, self.means))) - self.means
        is_source = pairs["source"].to_numpy()[:, None] == np.array(self.sources)[None, :]
        return np.hstack([numbers / self.scales, is_source])

    def predict(self, pairs):
        return 1 / (1 + np.exp(-(self._design(pairs).astype(float) @ np.array(self.weights) + self.start)))

    def to_parts(self):
        return dict(vars(self))

    @classmethod
    def from_parts(cls, parts):
        made = cls()
        vars(made).update(parts)
        return made
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "somebodys_model.py").write_text(MINE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "somebodys_model:Mine"
    sys.modules.pop("somebodys_model", None)


def test_the_protocol_is_documented_in_under_30_lines():
    import training.own_model

    assert len((training.own_model.__doc__ or "").splitlines()) < 30
    assert "--win-probability" in training.own_model.__doc__


def test_a_sklearn_model_goes_all_the_way(module, copy_of, tables):
    place = copy_of()
    ours = champion(place.releases)
    facts = place.train(win_probability=module, promote="force", reason="a colleague's model")
    told = " ".join(facts["gate"]["checks"])
    assert "against the champion" in told.split("pinball")[0]  # compared on the folds of ours
    assert facts["promoted"]
    assert facts["release"] != ours
    release = release_for(place.releases, tables.newest())
    unit = ModelUnit.from_release(release)
    world = build(tables, tables.newest(), unit.spec)
    newest = tables.leads.tail(3).reset_index(drop=True)
    leads = world.lead_features(newest, world.as_of)
    ids = np.array(sorted(tables.reps["rep_id"])[:4], dtype=object)
    reps = world.rep_features(ids, world.as_of, world.as_of)
    reps.insert(0, "rep_id", ids)
    matrix = unit.conversion.predict_matrix(leads, reps)
    assert matrix.win_probability.shape == (3, 4)
    pair = leads.iloc[[1]].reset_index(drop=True).join(reps.iloc[[2]].reset_index(drop=True))
    assert matrix.win_probability[1, 2] == pytest.approx(unit.conversion.own.predict(pair)[0], rel=1e-9)
    assert (matrix.ci_low < matrix.win_probability).all()
    parts = unit.explain(leads.iloc[[0]], reps.iloc[[0]], reps.iloc[[1]])
    gap = matrix.win_probability[0, 0] - matrix.win_probability[0, 1]
    assert sum(value for _, value in parts) == pytest.approx(gap, abs=1e-9)
    assert 0.5 < facts["findings"]["auc"] < 1
    assert not list((place.releases / facts["release"]).glob("*.pkl"))


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("no_such_module:Mine", "no such class"),
        ("somebodys_model:Other", "no such class"),
        ("somebodys_model", "no such class"),
        ("pathlib:Path", "lacks fit, predict, to_parts, from_parts"),
    ],
)
def test_a_class_that_cannot_serve_is_told(module, path, told):
    with pytest.raises(RequestError, match=told):
        find_class(path)


def test_it_is_fitted_alike_twice_and_read_back_alike(module, trained):
    base, pairs = ours(trained)
    one, two = (OwnConversion.around(base, module, pairs, 7) for _ in range(2))
    assert json.dumps(one.to_parts()) == json.dumps(two.to_parts())
    parts, texts = one.to_parts()
    back = read_conversion(json.loads(json.dumps(parts)), texts)
    assert isinstance(back, OwnConversion)
    assert np.array_equal(back.predict(pairs).win_probability, one.predict(pairs).win_probability)


def test_probabilities_outside_0_to_1_are_refused(module, trained, tmp_path):
    Path(tmp_path / "somebodys_model.py").write_text(MINE.replace("return 1 / (1 +", "return 30 / (1 +"))
    base, pairs = ours(trained)
    with pytest.raises(RequestError, match="finite probabilities from 0 to 1"):
        OwnConversion.around(base, module, pairs, 7)


def test_a_release_whose_module_is_not_here_says_which(trained):
    base, _ = ours(trained)
    parts, texts = base.to_parts()
    with pytest.raises(RequestError, match="nobodys_model:Mine"):
        read_conversion({**parts, "own": {"path": "nobodys_model:Mine", "seed": 7, "parts": {}}}, texts)


def ours(trained):
    place, _ = trained
    unit = ModelUnit.from_release(release_for(place.releases, place.tables.newest()))
    return unit.conversion, build_datasets(place.tables, place.tables.newest(), Config(), unit.spec).pairs
