"""What a dying child says is no text that can be relied on."""

from __future__ import annotations

import pytest

from serving import release_probe
from training.release import ReleaseError


def test_bytes_that_are_no_text_still_make_a_clear_error(tmp_path, monkeypatch):
    code = "import os, sys; sys.stderr.buffer.write(b'broken \\xa1\\x00\\xff' + b'x' * 5000); os.abort()"
    monkeypatch.setattr(release_probe, "_CODE", code)
    with pytest.raises(ReleaseError, match="cannot be used") as caught:
        release_probe.probe_release(tmp_path, "v1")
    assert "\x00" not in str(caught.value)
    assert len(str(caught.value)) < 500
