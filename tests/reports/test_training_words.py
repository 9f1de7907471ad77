"""What training prints reads in Chinese too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serving.training_words import LINES, training_words

SUMMARY = """Release 20260630-1613609ddb66 is champion.
  the first release goes live although a guard failed; look into it before routing is switched on
  routing: reps differ, but no lead x rep interaction beyond noise was found
    interaction sd 0.65 on the logit (90 % interval 0.00 to 1.30, p = 0.303); rep effect sd 0.60 (0.00 to 0.94, p = 0.223)
    later leads: AUC 0.659, calibration error 0.025 (a calibrated model stays under 0.039 at this size)
  forecast: the forecast uses funnel, which beats the mean of recent months
  gate:
    ok   nothing peeks: 0 training rows later than as_of
    FAIL calibration: expected calibration error 0.0514, at most 0.0478"""  # noqa: E501


def test_every_line_reads_in_chinese_with_its_numbers():
    said = training_words(SUMMARY, "zh")
    assert len(said.splitlines()) == len(SUMMARY.splitlines())
    for english, chinese in zip(SUMMARY.splitlines(), said.splitlines(), strict=True):
        assert re.search("[\u4e00-\u9fff]", chinese), english
        assert not re.search(r"\b(?:the|is|of|was|at most|guard)\b", chinese), chinese
    for number in ("20260630-1613609ddb66", "0.65", "1.30", "0.223", "0.659", "0.039", "0.0514"):
        assert number in said
    assert training_words(SUMMARY, "en") == SUMMARY


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in LINES])
def test_each_pattern_is_said_somewhere_in_training(pattern):
    """A pattern that training no longer says is dead."""
    source = (Path(__file__).resolve().parents[2] / "training" / "pipeline.py").read_text(encoding="utf-8")
    start = re.split(r"[(\\\[]", pattern)[0].removeprefix("routing: ").removeprefix("forecast: ").strip()
    assert start.split(" (")[0][:40] in re.sub(r'"\s+f?"', "", source)
