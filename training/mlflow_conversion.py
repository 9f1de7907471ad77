"""The conversion model as MLflow serves it: code of this file plus the release folder logged beside it.

MLflow reads this file as text ("models from code"), so no class of ours is pickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow.models import set_model

from training.own_model import read_conversion
from training.release import read_release


class Conversion(mlflow.pyfunc.PythonModel):  # type: ignore[misc, unused-ignore]
    """Win probability with its 90 % interval for rows of the pairs frame."""

    def load_context(self, context: Any) -> None:
        """Read and verify the release."""
        folder = Path(context.artifacts["release"])
        release = read_release(folder.parent, folder.name)
        self.model = read_conversion(release.document("conversion"), dict(release.texts))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """(n, 3) frame: win_probability, ci_low, ci_high."""
        del context, params
        said = self.model.predict(model_input)
        return pd.DataFrame(
            {
                "win_probability": said.win_probability,
                "ci_low": said.ci_low,
                "ci_high": said.ci_high,
            }
        )


set_model(Conversion())
