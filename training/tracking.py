"""MLflow: runs, artifacts, registered versions and aliases. The only module that imports mlflow.

The store is SQLite under `mlruns/` unless a tracking URI is given; the URI is always set, since MLflow's default
depends on what an old folder left behind. Models are logged as LightGBM text or as code plus a release folder, never
as a pickle of a class of ours.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

CONTRIBUTION_MODEL = "fairlead-contribution"
CONVERSION_MODEL = "fairlead-conversion"
PINNED = ["lightgbm", "numpy", "pandas"]


@dataclass
class Tracker:
    """A connection to one MLflow store. `client` is mlflow's, `experiment_ids` by name."""

    uri: str
    artifacts: Path
    client: Any
    experiment_ids: dict[str, str] = field(default_factory=dict)

    def experiment(self, name: str) -> str:
        """Id of the experiment, made where there is none."""
        if name not in self.experiment_ids:
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                self.experiment_ids[name] = found.experiment_id
            elif self.uri.startswith("sqlite"):
                location = (self.artifacts / name).as_uri()
                self.experiment_ids[name] = self.client.create_experiment(name, artifact_location=location)
            else:
                self.experiment_ids[name] = self.client.create_experiment(name)
        return self.experiment_ids[name]


def open_tracker(mlruns: Path, uri: str = "") -> Tracker:
    """Tracker on `uri`, or on `mlruns/mlflow.db`. The first use of a fresh database takes seconds (migrations)."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    # After the import, which sets levels of its own: what mlflow did is said in our summary.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    mlruns.mkdir(parents=True, exist_ok=True)
    address = uri or f"sqlite:///{(mlruns / 'mlflow.db').resolve()}"
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    return Tracker(address, (mlruns / "artifacts").resolve(), mlflow.MlflowClient(address, address))


@contextmanager
def run(tracker: Tracker, experiment: str, name: str, parent: str | None = None) -> Iterator[str]:
    """Id of a started run, closed as FINISHED, or as FAILED where the body raises."""
    import mlflow

    tags = {"mlflow.parentRunId": parent} if parent else {}
    with mlflow.start_run(
        experiment_id=tracker.experiment(experiment), run_name=name, tags=tags, nested=True
    ) as active:
        yield active.info.run_id


def log_parameters(tracker: Tracker, run_id: str, parameters: Mapping[str, object]) -> None:
    """Log parameters, cut to MLflow's length."""
    for name, value in parameters.items():
        tracker.client.log_param(run_id, name, str(value)[:480])


def log_metrics(tracker: Tracker, run_id: str, metrics: Mapping[str, float]) -> None:
    """Log the finite ones of the metrics."""
    for name, value in metrics.items():
        if np.isfinite(value):
            tracker.client.log_metric(run_id, name, float(value))


def log_table(tracker: Tracker, run_id: str, name: str, frame: pd.DataFrame, folder: Path) -> None:
    """Log a frame as a Parquet artifact `name.parquet`."""
    path = folder / f"{name}.parquet"
    frame.to_parquet(path, index=False)
    tracker.client.log_artifact(run_id, str(path))


def log_document(tracker: Tracker, run_id: str, name: str, document: object) -> None:
    """Log a JSON artifact `name.json`."""
    tracker.client.log_text(run_id, json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True), f"{name}.json")


def register_booster(name: str, booster: lgb.Booster, example: pd.DataFrame) -> str:
    """Registered version of a LightGBM booster with a float64 signature, logged as its text in the active run."""
    import mlflow.lightgbm
    from mlflow.models import infer_signature

    inputs = example.astype("float64")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(inputs, booster.predict(inputs))
        info = mlflow.lightgbm.log_model(
            booster, name="contribution", signature=signature, pip_requirements=PINNED, registered_model_name=name
        )
    return str(info.registered_model_version)


def register_release(name: str, folder: Path, example: pd.DataFrame, output: pd.DataFrame) -> str:
    """Registered version of the conversion model: code and the release folder, in the active run."""
    import mlflow.pyfunc
    from mlflow.models import infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = mlflow.pyfunc.log_model(
            name="conversion",
            python_model=str(Path(__file__).with_name("mlflow_conversion.py")),
            artifacts={"release": str(folder)},
            signature=infer_signature(example, output),
            pip_requirements=[*PINNED, "scipy"],
            registered_model_name=name,
        )
    return str(info.registered_model_version)


def set_alias(tracker: Tracker, name: str, alias: str, version: str) -> None:
    """Point an alias of a registered model at a version."""
    tracker.client.set_registered_model_alias(name, alias, version)


def alias_version(tracker: Tracker, name: str, alias: str) -> str | None:
    """Version that an alias points at, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return str(tracker.client.get_model_version_by_alias(name, alias).version)
    except MlflowException:
        return None


def tag_version(tracker: Tracker, name: str, version: str, release: str) -> None:
    """Note on a registered version which release it belongs to."""
    tracker.client.set_model_version_tag(name, version, "release", release)


def take_charge(tracker: Tracker, name: str, version: str) -> None:
    """Move `champion` to the version, and `previous` to the one that had it."""
    before = alias_version(tracker, name, "champion")
    if before is not None and before != version:
        set_alias(tracker, name, "previous", before)
    set_alias(tracker, name, "champion", version)


def move_alias_to_release(tracker: Tracker, name: str, release: str) -> None:
    """Move `champion` to the newest registered version of a release, where there is one."""
    found = tracker.client.search_model_versions(f"name='{name}'")
    versions = [v.version for v in found if v.tags.get("release") == release]
    if versions:
        take_charge(tracker, name, str(max(versions, key=int)))
