import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: left out of the quick and the sanitizer runs")


@pytest.fixture
def work(tmp_path):
    """A scratch directory that other users may enter."""
    d = tmp_path
    while d != d.parent and d.stat().st_uid == os.geteuid() and str(d) != "/tmp":
        d.chmod(0o755)
        d = d.parent
    return str(tmp_path)
