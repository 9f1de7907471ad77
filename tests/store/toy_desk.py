"""A desk in miniature, run as a process of its own: python toy_desk.py URL SEED N_LEADS CAPACITY N_REPS

Decides the same leads as its rivals, in an order of its own, and prints a line only for what was acknowledged:
lead_id, rep_id (or -), sequence number.
"""

from __future__ import annotations

import random
import sys

from serving.store import Store

WEEK = "2026-W07"


def decide(store, lead_id, reps, capacity, at=1_770_600_000_000_000):
    """The lead's decision: the rep with the fewest places used, none beyond capacity; the first one for ever."""
    with store.transaction() as tx:
        found = tx.decision(lead_id)
        if found is not None:
            return found
        used = tx.used_places(WEEK)
        rep_id = min(reps, key=lambda rep: (used.get(rep, 0), rep))
        chosen = rep_id if used.get(rep_id, 0) < capacity else None
        return tx.put_decision(
            lead_id,
            decided_at=at,
            status="assigned" if chosen else "held",
            rep_id=chosen,
            week=WEEK,
            record={"lead_id": lead_id, "rep_id": chosen, "policy": "rule"},
            lead={"lead_id": lead_id},
        )


def main(url, seed, n_leads, capacity, n_reps):
    reps = [f"R{i}" for i in range(int(n_reps))]
    leads = [f"L{i}" for i in range(int(n_leads))]
    random.Random(int(seed)).shuffle(leads)
    with Store.open(url) as store:
        print("ready", flush=True)
        for lead_id in leads:
            found = decide(store, lead_id, reps, int(capacity))
            print(lead_id, found.rep_id or "-", found.seq, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
