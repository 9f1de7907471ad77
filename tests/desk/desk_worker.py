"""A desk as a process of its own: python desk_worker.py DATA HOME SEED N_LEADS

Decides the same leads as its rivals in an order of its own, retries some, and prints a line for each answer it was
given: status, lead_id, and the decision's bytes.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from features import moments
from serving.session import open_session

MONDAY = moments.parse("2026-03-02T09:00:00")


def main(data, home, seed, n_leads):
    core = open_session(Path(data), Path(home), None).core()
    rng = random.Random(int(seed))
    names = [f"L{i}" for i in range(int(n_leads))]
    rng.shuffle(names)
    print("ready", flush=True)
    for place, name in enumerate(names):
        asked = [name] if rng.random() < 0.7 else [name, rng.choice(names[: place + 1])]
        for lead_id in asked:
            row = {"lead_id": lead_id, "created_at": "2026-03-02T09:00:00", "source": "web"}
            if int(lead_id[1:]) % 9 == 0:
                row["sourced_by_rep_id"] = "R0"
            status, body = core.assign(row, decided_at=MONDAY, lang="en")
            print(status, lead_id, body.decode(), flush=True)
    core.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
