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
from collections.abc import Iterator, Mapping, Sequence
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
    """Log parameters in one call, cut to MLflow's length."""
    from mlflow.entities import Param

    tracker.client.log_batch(run_id, params=[Param(name, str(value)[:480]) for name, value in parameters.items()])


def log_metrics(tracker: Tracker, run_id: str, metrics: Mapping[str, float]) -> None:
    """Log the finite ones of the metrics in one call."""
    from mlflow.entities import Metric

    found = [Metric(name, float(value), 0, 0) for name, value in metrics.items() if np.isfinite(value)]
    for at in range(0, len(found), 500):  # MLflow takes a thousand at once
        tracker.client.log_batch(run_id, metrics=found[at : at + 500])


def log_trial(
    tracker: Tracker,
    experiment: str,
    parent: str,
    name: str,
    parameters: Mapping[str, object],
    steps: Mapping[str, Sequence[float]],
    tags: Mapping[str, str],
) -> None:
    """Log a nested run that is over: parameters, and each metric by step."""
    from mlflow.entities import Metric, Param

    made = tracker.client.create_run(
        tracker.experiment(experiment), run_name=name, tags={"mlflow.parentRunId": parent, **tags}
    )
    tracker.client.log_batch(
        made.info.run_id,
        metrics=[Metric(key, float(v), 0, at) for key, values in steps.items() for at, v in enumerate(values)],
        params=[Param(key, str(value)) for key, value in parameters.items()],
    )
    tracker.client.set_terminated(made.info.run_id)


def find_run(tracker: Tracker, experiment: str, name: str) -> dict[str, str] | None:
    """Parameters of the run with that id, or of the newest one that came to that release; None where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return dict(tracker.client.get_run(name).data.params)
    except MlflowException:
        pass
    wanted = name.replace("'", "")
    found = tracker.client.search_runs([tracker.experiment(experiment)], f"params.release = '{wanted}'", max_results=1)
    return dict(found[0].data.params) if len(found) else None


def tag_run(tracker: Tracker, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run."""
    for name, value in tags.items():
        tracker.client.set_tag(run_id, name, value)


def log_table(tracker: Tracker, run_id: str, name: str, frame: pd.DataFrame, folder: Path) -> None:
    """Log a frame as a Parquet artifact `name.parquet`."""
    path = folder / f"{name}.parquet"
    frame.to_parquet(path, index=False)
    tracker.client.log_artifact(run_id, str(path))


def log_document(tracker: Tracker, run_id: str, name: str, document: object) -> None:
    """Log a JSON artifact `name.json`."""
    tracker.client.log_text(run_id, json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True), f"{name}.json")


def log_folder(tracker: Tracker, run_id: str, folder: Path) -> None:
    """Log all files of a folder."""
    tracker.client.log_artifacts(run_id, str(folder))


def log_booster(tracker: Tracker, booster: lgb.Booster, example: pd.DataFrame, release: str) -> str:
    """Version of the contribution model: a LightGBM booster as text, float64 signature, logged in the active run."""
    import mlflow.lightgbm
    from mlflow.models import infer_signature

    inputs = example.astype("float64")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = mlflow.lightgbm.log_model(
            booster,
            name="contribution",
            signature=infer_signature(inputs, booster.predict(inputs)),
            pip_requirements=PINNED,
        )
    return _version(tracker, CONTRIBUTION_MODEL, info, release)


def log_release(tracker: Tracker, folder: Path, example: pd.DataFrame, output: pd.DataFrame, release: str) -> str:
    """Version of the conversion model: code and the release folder, logged in the active run."""
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
        )
    return _version(tracker, CONVERSION_MODEL, info, release)


def _version(tracker: Tracker, name: str, info: Any, release: str) -> str:
    """New registered version of a logged model, by the client: MLflow's fluent call prints what it did."""
    from mlflow.exceptions import MlflowException

    try:
        tracker.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = tracker.client.create_model_version(
        name, info.model_uri, run_id=info.run_id, model_id=info.model_id, tags={"release": release}
    )
    return str(made.version)


def set_alias(tracker: Tracker, name: str, alias: str, version: str | None) -> None:
    """Point an alias of a registered model at a version; None takes it away."""
    if version is None:
        tracker.client.delete_registered_model_alias(name, alias)
    else:
        tracker.client.set_registered_model_alias(name, alias, version)


def alias_version(tracker: Tracker, name: str, alias: str) -> str | None:
    """Version that an alias points at, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return str(tracker.client.get_model_version_by_alias(name, alias).version)
    except MlflowException:
        return None


def version_of(tracker: Tracker, name: str, release: str) -> str | None:
    """Newest registered version that belongs to a release, or None."""
    found = tracker.client.search_model_versions(f"name='{name}'")
    versions = [str(v.version) for v in found if v.tags.get("release") == release]
    return max(versions, key=int) if versions else None


def follow_record(tracker: Tracker, standing: Sequence[str], challenger: str | None = None) -> None:
    """Point `champion` and `previous` of both models at the last two that stand, `challenger` at the one given.

    An alias whose release has no registered version is taken away.
    """
    wanted = {"champion": standing[-1] if standing else None, "previous": standing[-2] if len(standing) > 1 else None}
    if challenger is not None:
        wanted["challenger"] = challenger
    for name in (CONVERSION_MODEL, CONTRIBUTION_MODEL):
        for alias, release in wanted.items():
            version = None if release is None else version_of(tracker, name, release)
            if version is not None or alias_version(tracker, name, alias) is not None:
                set_alias(tracker, name, alias, version)
