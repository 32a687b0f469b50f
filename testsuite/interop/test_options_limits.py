"""What a session may use up: kedge's own parameters, and --max-alloc."""
import os
import subprocess

import pytest
from harness import Daemon, IS_ROOT, KEDGE, STOCK_350, client, rsh

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}


@pytest.fixture
def rules(work):
    """As many rules as make a few megabytes in a server."""
    with open(f"{work}/rules", "w") as f:
        f.writelines(f"a-rule-with-quite-a-long-name-that-nothing-matches-{i:06d}\n" for i in range(40000))
    return f"{work}/rules"


def module(work, **kw):
    os.makedirs(f"{work}/m", exist_ok=True)
    return {"m": {"path": f"{work}/m", "read only": "no", **IDS, **{k.replace("_", " "): v for k, v in kw.items()}}}


def push(work, d, *opts):
    os.makedirs(f"{work}/src", exist_ok=True)
    with open(f"{work}/src/f", "w") as f:
        f.write("f")
    return client(["-r", "--delete", *opts, f"{work}/src/", d.url("m/")])


def test_memory_limit(work, rules):
    for limit, code in (("4m", 22), ("64m", 0)):
        with Daemon(work, module(work, memory_limit=limit)) as d:
            r = push(work, d, f"--exclude-from={rules}")
            assert r.returncode == code, r.stderr
            assert code == 0 or b"memory" in r.stderr, r.stderr
            assert os.path.exists(f"{work}/m/f") == (code == 0)


def test_max_alloc(work, rules):
    """The client's wish holds on a daemon, too, but cannot raise the limit."""
    with Daemon(work, module(work, memory_limit="4m")) as d:
        assert push(work, d, "-M--max-alloc=4g", f"--exclude-from={rules}").returncode == 22
    for path in ("m/big", "big"):
        with open(f"{work}/{path}", "wb") as f:
            f.write(os.urandom(6_000_000))
    with Daemon(work, module(work)) as d:
        args = ["-B16", "--no-whole-file", "-I", d.url("m/big"), f"{work}/big"]
        r = client(["-M--max-alloc=1m", *args])
        assert r.returncode == 22 and b"(code 22)" in r.stderr, r.stderr
        assert client(args).returncode == 0
        assert b"max-alloc must be greater than zero" in push(work, d, "-M--max-alloc=0").stderr
    for server in (STOCK_350, KEDGE):
        over_rsh = [*args[:-2], "-e", rsh(work), f"--rsync-path={server}", f"h:{work}/m/big", f"{work}/big"]
        r = client(["-M--max-alloc=1m", *over_rsh])
        # A client whose server is gone may notice that first.
        assert r.returncode in ((22, 10, 12) if server == STOCK_350 else (22,)) and b"error allocating core memory buffers" in r.stderr, r.stderr
        assert client(over_rsh).returncode == 0


def test_max_args_size(work):
    names = [f"{'n' * 200}{i}" for i in range(8)]
    for limit, code in (("1k", 2), ("4k", 23)):
        with Daemon(work, module(work, max_args_size=limit)) as d:
            for opts in ([], ["-s"]):
                r = client(["-r", *opts, *[d.url(f"m/{n}") for n in names], f"{work}/o"])
                log = d.read_log()
                assert (f"(code {code})" in log) and (("too many daemon arguments" in log) == (code == 2)), log
                assert r.returncode != 0


def test_max_block_table(work):
    os.mkdir(f"{work}/m")
    old, new = os.urandom(2_000_000), os.urandom(1000)
    with open(f"{work}/m/f", "wb") as f:
        f.write(old + new)
    for limit, code in (("8k", 22), ("1m", 0)):
        with open(f"{work}/f", "wb") as f:
            f.write(old)
        with Daemon(work, module(work, max_block_table=limit)) as d:
            r = client(["--no-whole-file", d.url("m/f"), f"{work}/f"])
            assert r.returncode == code, r.stderr
        with open(f"{work}/f", "rb") as f:
            assert f.read() == (old if code else old + new)


@pytest.mark.parametrize("name", ["memory limit", "max args size", "max xattr size", "max block table"])
def test_a_size_that_is_none(work, name):
    with Daemon(work, module(work, **{name: "plenty"})) as d:
        r = client([d.url("m/")])
        assert r.returncode == 5 and b"daemon security issue" in r.stderr
        assert f'"{name}": plenty is not a size' in d.read_log()
        check = subprocess.run([KEDGE, "--daemon", "--check-config", f"--config={d.conf}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert check.returncode != 0 and f'"{name}": plenty is not a size'.encode() in check.stdout


def test_max_xattr_size(work):
    src, dst = os.path.join(work, "src"), os.path.join(work, "dst")
    os.mkdir(src)
    os.mkdir(dst)
    with open(src + "/f", "w") as f:
        f.write("x")
    os.setxattr(src + "/f", "user.big", b"y" * 3000)
    ids = {"uid": 0, "gid": 0} if os.geteuid() == 0 else {}
    mods = {name: {"path": dst, "read only": "no", "max xattr size": size, **ids} for name, size in (("low", 1000), ("high", 4000))}
    with Daemon(work, mods) as d:
        r = client(["-aX", src + "/", d.url("low/")])
        assert r.returncode == 2 and b"xattr datum_len exceeds per-value limit" in r.stderr
        assert not os.path.exists(dst + "/f")
        r = client(["-aX", src + "/", d.url("high/")])
        assert r.returncode == 0, r.stderr
        assert os.getxattr(dst + "/f", "user.big") == b"y" * 3000
