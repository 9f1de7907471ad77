"""What managers watch after switching on: what routing brings against the hold-out."""

from __future__ import annotations

import threading

from serving.experiment import DrawnLog, Experiment, measure
from serving.http.protocol import UpliftMetrics
from serving.insight import Insight
from serving.state import State
from serving.texts import as_lang
from serving.wording import Json


class Oversight(Insight):
    """The part of the facade that watches routing at work."""

    _drawn: DrawnLog
    _drawn_lock: threading.Lock
    _measured: tuple[State, int, Experiment] | None

    def watch(self) -> None:
        """Start with nothing read."""
        self._drawn, self._drawn_lock, self._measured = DrawnLog(), threading.Lock(), None

    def measured(self) -> Experiment:
        """Policy against hold-out as known now."""
        state = self.state()
        with self._drawn_lock:
            with self.store.read() as view:
                drawn = self._drawn.read(view)
            before = self._measured
            if before is None or before[0] is not state or before[1] != len(drawn):
                config, board = self.session.config, state.board
                found = measure(
                    drawn, board.tables, board.as_of, config.routing.holdout, config.leads.dead_after_days
                )  # fmt: skip
                self._measured = before = (state, len(drawn), found)
            return before[2]

    def experiment(self, *, lang: str | None = None) -> Json:
        """`{"status", "wins": {"uplift", "ci_low", "ci_high", "verdict", ...}, "value", "alarm", "text", ...}`."""
        currency = self.session.config.general.currency
        return self.measured().as_dict(self.zone, currency, as_lang(lang or self.session.lang))


def uplift_metrics(found: Experiment) -> UpliftMetrics:
    """The figures of /metrics."""
    measured = {"wins": found.wins, "value": found.value}
    return UpliftMetrics(
        alarm=found.alarm,
        n_policy=found.n_policy,
        n_holdout=found.n_holdout,
        estimates={
            name: (one.whole.value, one.whole.ci_low, one.whole.ci_high)
            for name, one in measured.items()
            if one is not None
        },
    )
