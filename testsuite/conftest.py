import os

import pytest


@pytest.fixture
def work(tmp_path):
    """A scratch directory that other users may enter."""
    d = tmp_path
    while d != d.parent and d.stat().st_uid == os.geteuid() and str(d) != "/tmp":
        d.chmod(0o755)
        d = d.parent
    return str(tmp_path)
