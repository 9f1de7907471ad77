"""The matrix's chart: names stand where they can be read, or not at all."""

from __future__ import annotations

import itertools
import re

import numpy as np

from models.drivers.matrix import MatrixPlace
from serving.reports.charts import WIDTH, text_width
from serving.reports.matrix_view import matrix_view


def crowd(n, seed=0):
    """Reps in a heap, all certain, so that all of them ask for their name."""
    rng = np.random.default_rng(seed)
    return [
        MatrixPlace(f"R{k:02d}", float(a), float(e), float(e) - 1, float(e) + 1, "both", True)
        for k, (a, e) in enumerate(zip(rng.normal(0, 0.4, n), rng.normal(0, 300, n), strict=True))
    ]


def test_names_in_a_crowd_cover_neither_points_nor_each_other():
    places = crowd(30)
    names = {one.rep_id: f"Firstname {one.rep_id}" for one in places}
    svg = str(matrix_view(places, names, "CNY", "en").chart.svg)
    points = [tuple(map(float, found)) for found in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)]
    assert len(points) == 30
    boxes = []
    for x, y, rest, name in re.findall(r'<text x="([\d.-]+)" y="([\d.-]+)"([^>]*)>(Firstname [^<]*)<', svg):
        anchor = re.search(r'text-anchor="(\w+)"', rest)
        width = text_width(name, 11)
        left = float(x) - {"start": 0, "middle": width / 2, "end": width}[anchor[1] if anchor else "start"]
        boxes.append((left, float(y) - 9, left + width, float(y) + 2))
    assert 4 <= len(boxes) < 24, "some have room, some have none"
    assert all(left >= 0 and right <= WIDTH for left, _, right, _ in boxes)
    for one, other in itertools.combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    for left, top, right, bottom in boxes:
        assert not any(left < x < right and top < y < bottom for x, y in points)
