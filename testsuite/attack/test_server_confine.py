"""A remote-shell server in mid-transfer has given up what it does not need."""
import os

import pytest

from harness import IS_ROOT, SANITIZED
from server import Server

CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, MKNOD, SETFCAP = (1 << n for n in (0, 1, 2, 3, 4, 27, 31))

USERS = [None, 65534] if IS_ROOT else [None]


def ours(status, caps):
    assert int(status["CapEff"], 16) == caps, status["CapEff"]
    assert int(status["CapPrm"], 16) == caps
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    if caps:
        assert int(status["CapBnd"], 16) == caps
    assert status["NoNewPrivs"] == "1"


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("way", ["push", "pull"])
def test_status(work, way, user):
    os.mkdir(f"{work}/dst")
    root = IS_ROOT and not user
    if user:
        os.chown(f"{work}/dst", user, user)
    caps = 0
    if root:
        caps = CHOWN | DAC_OVERRIDE | FOWNER | FSETID if way == "push" else DAC_READ_SEARCH
    with Server(work, way, f"{work}/dst/" if way == "push" else f"{work}/big-pull/", user=user) as s:
        st = s.status()
        ours(st, caps)
        assert st["Seccomp"] == "2"
        if not SANITIZED:
            assert st["Seccomp_filters"] == "1"
        helpers = s.helpers()
        # Root sends devices with -a: a broker stands by. Names are looked up.
        want = {"kedge-names"} | ({"kedge-broker"} if root and way == "push" else set())
        assert set(helpers) == want
        ours(s.status(helpers["kedge-names"]), 0)
        if "kedge-broker" in helpers:
            ours(s.status(helpers["kedge-broker"]), MKNOD | DAC_OVERRIDE | FOWNER)
        if root:
            assert os.readlink(f"/proc/{s.pid}/root") == (f"{work}/dst" if way == "push" else "/")
        fds = {os.readlink(f"/proc/{s.pid}/fd/{n}") for n in os.listdir(f"/proc/{s.pid}/fd")} if IS_ROOT else set()
        # The receiver holds nothing above its destination.
        if way == "push":
            assert "/" not in fds and work not in fds, fds


def test_nothing_to_look_up(work):
    """A transfer that needs no names and no devices costs no helper."""
    os.mkdir(f"{work}/dst")
    with Server(work, "push", f"{work}/dst/", ["--no-owner", "--no-group", "--no-D"]) as s:
        assert s.helpers() == {}
