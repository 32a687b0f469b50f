"""rsyncd.conf, parameter by parameter: one module a row, on the stock daemon and on kedge, seen by the stock clients.

A row compares exit code, messages, item lines, the resulting tree and the log lines about access.
Rows whose difference doc/differences.md explains do not belong here.
"""
import os
import re
import shutil

import pytest
from harness import CLIENTS, Daemon, IS_ROOT, KEDGE, STOCK_350, client, difference, snapshot, write_file

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="the table sets uid, gid and use chroot, as root does")

PULL, PUSH, LIST = "pull", "push", "list"
WRITE = "read only = no; "
# (name of the row, parameters apart by "; ", what the client does, its further options and, behind "--", the place in the module)
ROWS = [
    ("plain", "", PULL, ""),
    ("path_spaces", "path = @/with space", PULL, ""),
    ("path_slashes", "path = @/data///", PULL, ""),
    ("path_inner", "path = @/./data", PULL, ""),
    ("path_env", "path = %PARAMS_TOP%/data", PULL, ""),
    ("path_module", "path = @/%RSYNC_MODULE_NAME%", PULL, ""),
    ("path_missing", "path = @/missing", PULL, ""),
    ("path_file", "path = @/data/plain", PULL, ""),
    ("path_none", "path =", PULL, ""),
    ("comment", "comment = a # b ; c  %PARAMS_WORD% %% %nope%", LIST, ""),
    ("list_no", "list = no", PULL, ""),
    ("list_loose", "LI ST = f a l s e", LIST, ""),
    ("list_bad", "list = off", LIST, ""),
    ("chroot_yes", "use chroot = yes", PULL, ""),
    ("chroot_no", "use chroot = no", PULL, ""),
    ("munge_yes", "munge symlinks = yes", PULL, ""),
    ("munge_push", WRITE + "munge symlinks = yes", PUSH, ""),
    ("munge_off_nochroot", WRITE + "use chroot = no; munge symlinks = no", PUSH, ""),
    ("uid_name", "uid = nobody; gid = nogroup", PULL, ""),
    ("uid_number", "uid = 65534; gid = 65534", PULL, ""),
    ("uid_bad", "uid = no-such-user", PULL, ""),
    ("gid_bad", "gid = no-such-group", PULL, ""),
    ("gid_list", "gid = nogroup,5 6", PULL, ""),
    ("gid_star", "uid = nobody; gid = *", PULL, ""),
    ("unreadable", "uid = nobody; gid = nogroup; ignore nonreadable = yes", PULL, ""),
    ("unreadable_asked", "uid = nobody; gid = nogroup; ignore nonreadable = yes", PULL, "-- s*"),
    ("unreadable_push", WRITE + "uid = nobody; gid = nogroup; ignore nonreadable = yes", PUSH, "--delete"),
    ("ignore_errors", "uid = nobody; gid = nogroup; ignore errors = yes", PULL, "--delete"),
    ("read_only", "", PUSH, ""),
    ("write_only", WRITE + "write only = yes", PULL, ""),
    ("write_only_push", WRITE + "write only = yes", PUSH, ""),
    ("slots_negative", "max connections = -1", PULL, ""),
    ("timeout", "timeout = 30", PULL, ""),
    ("allow_addr", "hosts allow = 127.0.0.1", PULL, ""),
    ("allow_mask", "hosts allow = 127.0.0.0/255.0.0.0", PULL, ""),
    ("allow_bits", "hosts allow = 10.0.0.0/8 127.0.0.0/8", PULL, ""),
    ("allow_pattern", "hosts allow = 127.0.*", PULL, ""),
    ("allow_name", "hosts allow = localhost", PULL, ""),
    ("allow_name_case", "hosts allow = LOCALHOST", PULL, ""),
    ("allow_name_wild", "hosts allow = local*", PULL, ""),
    ("allow_v6_only", "hosts allow = ::1", PULL, ""),
    ("allow_other", "hosts allow = 10.1.2.3", PULL, ""),
    ("allow_netgroup", "hosts allow = @friends", PULL, ""),
    ("allow_no_names", "hosts allow = localhost; reverse lookup = no; forward lookup = no", PULL, ""),
    ("deny_all", "hosts deny = *", PULL, ""),
    ("deny_mask", "hosts deny = 127.0.0.0/8", PULL, ""),
    ("deny_other", "hosts deny = 10.0.0.0/8, 192.168.1.1", PULL, ""),
    ("deny_after_allow", "hosts allow = 127.0.0.1; hosts deny = *", PULL, ""),
    ("both_unmatched", "hosts allow = 10.0.0.1; hosts deny = 10.0.0.2", PULL, ""),
    ("deny_unlisted", "hosts deny = *; list = no", PULL, ""),
    ("filter", "filter = - *.o", PULL, ""),
    ("filter_push", WRITE + "filter = - *.o", PUSH, "--delete"),
    ("exclude", "exclude = *.o /sub/", PULL, ""),
    ("exclude_push", WRITE + "exclude = *.o /b.c", PUSH, "--delete"),
    ("include", "include = /sub/ /sub/deep.o; exclude = *", PULL, ""),
    ("exclude_from", "exclude from = @/rules", PULL, ""),
    ("include_from", "include from = @/rules; exclude = /sub/** /plain", PULL, ""),
    ("exclude_from_none", "exclude from = @/no-rules", PULL, ""),
    ("exclude_twice", "exclude = plain; exclude = *.o", PULL, ""),
    ("in_chmod", WRITE + "incoming chmod = Du=rwx,Dgo=,Fu=rw,Fgo=", PUSH, ""),
    ("in_chmod_octal", WRITE + "incoming chmod = D751,F640", PUSH, ""),
    ("out_chmod", "outgoing chmod = a-w,Da+x,F+X", PULL, ""),
    ("hidden_basis_up", WRITE + "exclude = /tmpdir", PUSH, "--link-dest=../tmpdir -- new/"),
    ("hidden_partial", WRITE + "exclude = /tmpdir/b.c", PUSH, "--partial-dir=tmpdir"),
    ("hidden_delayed", WRITE + "exclude = /tmpdir/*", PUSH, "--partial-dir=/tmpdir --delay-updates"),
    ("above_root_list", "", PULL, "--files-from=:sub/../../plain"),
    ("partial_unused", WRITE, PUSH, "--partial-dir=/pd"),
    ("partial_delayed", WRITE, PUSH, "--partial-dir=/pd --delay-updates"),
    ("above_root", WRITE, PUSH, "--link-dest=../../tmpdir -- new/"),
    ("above_root_sanitised", WRITE + "use chroot = no", PUSH, "--link-dest=../../../tmpdir -- new/"),
    ("above_root_temp", WRITE, PUSH, "--temp-dir=../../tmpdir -- sub/"),
    ("refuse_c", "refuse options = c", PULL, "-c"),
    ("refuse_alias", "refuse options = del", PULL, ""),
    ("refuse_delete", WRITE + "refuse options = delete", PUSH, "--delete"),
    ("refuse_wild", WRITE + "refuse options = delete*", PUSH, "--delete-after"),
    ("refuse_all_but", "refuse options = * !a", PULL, ""),
    ("refuse_but_z", "refuse options = * !a !v", PULL, "-z"),
    ("refuse_archive", "refuse options = a", PULL, ""),
    ("refuse_secluded", "refuse options = s", PULL, "-s"),
    ("refuse_sums", "refuse options = checksum*", PULL, "--checksum-choice=md5"),
    ("refuse_z_letter", "refuse options = l z", PULL, "-z"),
    ("dont_compress", "dont compress = *.o", PULL, "-z"),
    ("numeric_yes", "numeric ids = yes; use chroot = no", PULL, ""),
    ("numeric_no", "numeric ids = no", PULL, ""),
    ("temp_dir", WRITE + "temp dir = /tmpdir", PUSH, ""),
    ("temp_dir_none", WRITE + "temp dir = /absent", PUSH, ""),
    ("verbosity", "max verbosity = 0", PULL, "-vv"),
    ("verbosity_push", WRITE, PUSH, "-vv"),
    *((f"verbosity_{n}_{way}", f"{WRITE}max verbosity = {n}", way, "--info=ALL4,STATS0,FLIST0,PROGRESS0") for n in (-1, 0, 1, 2) for way in (PULL, PUSH)),
    ("unknown", "no such thing = 1; read_only = no", PUSH, ""),
    ("last_wins", "read only = no; read only = yes", PUSH, ""),
    ("auth_ok", "auth users = joe; secrets file = @/secrets", PULL, "joe:secret"),
    ("auth_wrong", "auth users = joe; secrets file = @/secrets", PULL, "joe:wrong"),
    ("auth_pattern", "auth users = j*; secrets file = @/secrets", PULL, "joe:secret"),
    ("auth_other", "auth users = ann; secrets file = @/secrets", PULL, "joe:secret"),
    ("auth_group", "auth users = @root; secrets file = @/secrets", PULL, "root:ofroot"),
    ("auth_group_secret", "auth users = @daemon; secrets file = @/secrets", PULL, "daemon:ofgroup"),
    ("auth_deny", "auth users = joe:deny, *; secrets file = @/secrets", PULL, "joe:secret"),
    ("auth_ro", WRITE + "auth users = joe:ro; secrets file = @/secrets", PUSH, "joe:secret"),
    ("auth_rw", "auth users = joe:rw; secrets file = @/secrets", PUSH, "joe:secret"),
    ("auth_modes", "auth users = joe; secrets file = @/secrets-open", PULL, "joe:secret"),
    ("auth_lax", "auth users = joe; secrets file = @/secrets-open; strict modes = no", PULL, "joe:secret"),
    ("auth_owner", "auth users = joe; secrets file = @/secrets-owned", PULL, "joe:secret"),
    ("auth_no_file", "auth users = joe; secrets file = @/none", PULL, "joe:secret"),
    ("auth_no_param", "auth users = joe", PULL, "joe:secret"),
    ("auth_digest", "auth users = joe; secrets file = @/secrets; auth digest = sha256", PULL, "joe:secret"),
]
# These once more with an older client, as modules of their own.
OLD = ("plain", "munge_push", "read_only", "write_only_push", "timeout", "deny_unlisted", "filter_push", "in_chmod", "refuse_delete", "refuse_but_z",
       "temp_dir", "verbosity", "auth_ok", "auth_wrong", "auth_rw", "auth_digest")
ROWS += [(name + "_327", *rest) for name, *rest in ROWS if name in OLD and "3.2.7" in CLIENTS]


class Side:
    def __init__(self, top, binary):
        self.top = str(top)
        for d in ("data/sub", "data/tmpdir", "with space"):
            os.makedirs(os.path.join(self.top, d), mode=0o755)
        for name in ("data/plain", "data/a.o", "data/b.c", "data/sub/deep.o", "data/sub/in", "with space/x"):
            write_file(os.path.join(self.top, name), name.encode() * 9, mtime=10**9)
        write_file(os.path.join(self.top, "data/secret"), b"s", 0o600, mtime=10**9)
        for name, target in (("in", "plain"), ("abs", "/plain"), ("up", "../../etc/hostname"), ("dangling", "nowhere")):
            link = os.path.join(self.top, "data", "link-" + name)
            os.symlink(target, link)
            os.utime(link, (10**9, 10**9), follow_symlinks=False)
        for d in ("data/sub", "data/tmpdir", "data"):
            os.utime(os.path.join(self.top, d), (10**9, 10**9))
        shutil.copytree(os.path.join(self.top, "data"), os.path.join(self.top, "path_module"), symlinks=True)
        write_file(os.path.join(self.top, "rules"), b"# rules\n*.o\n\n; more\n+ /plain\n- /b.*\n")
        secrets = b"# secrets\njoe:secret\n@daemon:ofgroup\nroot:ofroot\n"
        for name, mode in (("secrets", 0o600), ("secrets-open", 0o644), ("secrets-owned", 0o600)):
            write_file(os.path.join(self.top, name), secrets, mode)
        os.chown(os.path.join(self.top, "secrets-owned"), 65534, 65534)
        modules = {}
        for name, params, action, _ in ROWS:
            path = self.tree(name, action)
            if action == PUSH:
                os.makedirs(path + "/tmpdir")
                write_file(path + "/tmpdir/b.c", b"data/b.c" * 9, mtime=10**9)
                for old in ("old.o", "old.c", "plain", "old.secret"):
                    write_file(os.path.join(path, old), old.encode(), 0o600 if old == "old.secret" else 0o644, mtime=10**8)
                for d in (path + "/tmpdir", path):
                    os.utime(d, (10**8, 10**8))
            m = {"path": path, "uid": "0", "gid": "0"}
            lines = [p.partition("=") for p in params.split("; ") if p]
            m.update({k.strip(): v.strip().replace("@/", self.top + "/") for k, _, v in lines})
            modules[name] = m
        self.daemon = Daemon(self.top, modules, binary=binary, args=("--dparam=pidfile=" + self.top + "/pid",),
                             global_lines=[f"lock file = {self.top}/lock"],
                             env={"PARAMS_TOP": self.top, "PARAMS_WORD": "a  word"})

    def tree(self, name, action):
        return os.path.join(self.top, "to", name) if action == PUSH else os.path.join(self.top, "data")

    def plain(self, text):
        text = text.decode(errors="replace").replace(self.top, "@").replace(str(self.daemon.port), "PORT")
        text = re.sub(r" at \S+\(\d+\) \[(\w+)=[^]]*\]", r" [\1]", text)
        return re.sub(r"\.[A-Za-z0-9]{6}\b", ".XXXXXX", text)

    def run(self, name, action, opts, source):
        d, out = self.daemon, os.path.join(self.top, "out", name)
        env, auth = {}, re.match(r"(\w+):(\w+)$", opts)
        host = "127.0.0.1"
        if auth:
            host, env, opts = f"{auth[1]}@{host}", {"RSYNC_PASSWORD": auth[2]}, ""
        opts, _, place = opts.partition("-- ")
        url = f"rsync://{host}:{d.port}/{name}/{place}"
        if action == LIST:
            r = client([d.url()])
            found = [x for x in self.plain(r.stdout).splitlines() if x.split("\t")[0].strip() == name]
            return {"code": r.returncode, "stderr": self.plain(r.stderr), "lines": found}, {}
        os.makedirs(out)
        os.utime(out, (10**7, 10**7))   # made within the second of its source, its time would be left alone or not by chance
        ends = [source + "/", url] if action == PUSH else [url, out + "/"]
        before = len(d.read_log())
        r = client(["-ai", *opts.split(), *ends], "3.2.7" if name.endswith("_327") else "3.5.0", env=env)
        d.wait_idle()
        log = [re.sub(r"^\S+ \S+ \[\d+\] ", "", x) for x in d.read_log()[before:].splitlines()]
        log = [x for x in log if re.search("auth failed|access denied|denied on|allowed access|tried from", x)]
        seen = {"code": r.returncode, "stderr": sorted(self.plain(r.stderr).splitlines()),
                "lines": sorted(x for x in self.plain(r.stdout).splitlines() if not re.match("sent |total size", x)),
                "log": log}
        return seen, snapshot(self.tree(name, action) if action == PUSH else out, dir_times=False, ns=False)


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    top = tmp_path_factory.mktemp("params")
    d = top
    while d != d.parent and d.stat().st_uid == os.geteuid() and str(d) != "/tmp":
        d.chmod(0o755)
        d = d.parent
    stock = Side(top / "stock", STOCK_350)
    try:
        kedge = Side(top / "kedge", KEDGE)
        try:
            yield stock, kedge
        finally:
            kedge.daemon.stop()
    finally:
        stock.daemon.stop()


@pytest.mark.parametrize("row", ROWS, ids=[r[0] for r in ROWS])
def test_parameter(sides, row):
    name, _, action, opts = row
    (a, left), (b, right) = (s.run(name, action, opts, os.path.join(sides[0].top, "data")) for s in sides)
    # A refused client may still be writing when the daemon closes: it then reports that reset (10), or not.
    reset = [x for side in (a, b) for x in side["stderr"] if "Connection reset by peer" in x or "(code 10)" in x] if action != LIST else []
    for side in (a, b) if reset else ():
        assert side.pop("code") != 0
        side["stderr"] = [x for x in side["stderr"] if "reset by peer" not in x and "rsync error:" not in x]
    for what, value in a.items():
        assert b[what] == value, f"{what}: stock {value}, kedge {b[what]}"
    diff = difference(left, right)
    assert not diff, "\n".join(diff[:20])


# What the stock daemon reads or overwrites: (what is hidden, options, what has come of it all).
HIDDEN = [("/hid/***", "--copy-dest=..", "sent"), ("/hid/***", "--link-dest=/", "sent"), ("/hid/f", "--copy-dest=../hid", "sent"), ("/hid/f", "-yy --no-W --copy-dest=../hid", "sent"),
          ("/new/hid/***", "-b --backup-dir=hid", "refused"), ("/hid/***", "-b --backup-dir=x/../../hid", "refused")]


@pytest.mark.parametrize("row", HIDDEN, ids=[" ".join(r[:2]) for r in HIDDEN])
def test_what_is_hidden_is_out_of_reach(work, row):
    """Options that name directories neither copy what the module's rules hide nor write there."""
    for name, data in (("src/hid/f", b"a" * 9999), ("src/f", b"a" * 9999), ("m/hid/f", b"b" * 9999), ("m/new/hid/f", b"b" * 9999), ("m/new/f", b"old")):
        os.makedirs(os.path.dirname(f"{work}/{name}"), exist_ok=True)
        write_file(f"{work}/{name}", data, mtime=10**9)
    hidden, opts, end = row
    if end == "sent":
        shutil.rmtree(work + "/m/new")
    with Daemon(work, {"m": {"path": work + "/m", "read only": "no", "uid": "0", "gid": "0", "exclude": hidden}}) as d:
        r = client(["-a", *opts.split(), work + "/src/", d.url("m/new/")])
    if end == "refused":
        assert r.returncode in (1, 4) and b"Your options have been rejected by the server." in r.stderr
    else:
        assert r.returncode == 0 and snapshot(work + "/src") == snapshot(work + "/m/new")
    with open(work + "/m/hid/f", "rb") as f:
        assert f.read() == b"b" * 9999


def test_a_destination_that_ends_in_a_dot_is_a_directory(work):
    os.mkdir(work + "/m")
    for name in ("m/f", "one"):
        write_file(f"{work}/{name}", name.encode())
    with Daemon(work, {"m": {"path": work + "/m", "read only": "no", "uid": "0", "gid": "0"}}) as d:
        r = client(["-a", work + "/one", d.url("m/f/.")])
        assert r.returncode == 3 and b"Not a directory" in r.stderr
        assert client(["-a", work + "/one", d.url("m/new/.")]).returncode == 0
    for name, data in (("m/f", b"m/f"), ("m/new/one", b"one")):
        with open(f"{work}/{name}", "rb") as f:
            assert f.read() == data


def test_what_is_refused_is_told_whatever_else_is_asked_for(work):
    """Options that shape what comes before the answer, refused or beside what is refused."""
    os.mkdir(work + "/m")
    write_file(work + "/m/f", b"f\n")
    own = {"path": work + "/m", "read only": "no", "uid": "0", "gid": "0"}
    mods = {"plain": own, "refusing": {**own, "refuse options": "files-from checksum"}, "reading": {**own, "read only": "yes"},
            "hook": {**own, "pre-xfer exec": "echo never; exit 1"}}
    rows = [("plain", "-s --iconv=utf8", False, "refuse --iconv"), ("plain", "-sz -M--bogus --checksum-choice=md4", False, "--bogus: unknown"),
            ("refusing", "-c --compress-level=2", True, "refuse --checksum"), ("refusing", "--files-from=:f", True, "refuse --files-from"),
            ("refusing", "-c --files-from=:f", True, "refuse --checksum"), ("reading", "--files-from=:f", True, "module is read only"),
            ("hook", "--files-from=:f", True, "never")]
    with Daemon(work, mods) as d:
        for proto in (29, 30, 32):
            for module, opts, push, text in rows:
                ends = [work, d.url(module + "/")] if push else [d.url(module + "/"), work + "/o/"]
                r = client(["-r", f"--protocol={proto}", *opts.split(), *ends])
                assert r.returncode and text.encode() in r.stderr, (proto, opts, r.stderr)
        assert not d.wait_idle() and "signal" not in d.read_log()


@pytest.mark.parametrize("chroot", ["yes", "no"])
def test_a_link_is_no_way_to_what_is_hidden(work, chroot):
    """A destination through a link: judged by where it leads, as a whole and file by file. (The stock daemon goes by the name.)"""
    for name in ("hid/f", "hid/d/x", "a/b/secret", "a/b/f"):
        os.makedirs(os.path.dirname(f"{work}/m/{name}"), exist_ok=True)
        write_file(f"{work}/m/{name}", b"old", mtime=10**9)
    for name in ("f", "secret", "kept/f", "l3/secret", "l3/f", "l4/f"):
        os.makedirs(os.path.dirname(f"{work}/src/{name}"), exist_ok=True)
        write_file(f"{work}/src/{name}", b"new")
    for link, to in (("l", "hid"), ("l2", "l/d"), ("l3", "a/b"), ("a/kept", "../hid"), ("kept", "hid"), ("l4", "a/b")):
        os.symlink(to, f"{work}/m/{link}")
    module = {"path": work + "/m", "read only": "no", "uid": "0", "gid": "0", "use chroot": chroot, "exclude": "/hid/*** /a/b/secret", "munge symlinks": "no"}
    with Daemon(work, {"m": module}) as d:
        for to in ("l/", "l2/", "l2/new/", "l2/f"):
            r = client(["-a", "--delete", *([work + "/src/f"] if to == "l2/f" else [work + "/src/"]), d.url("m/" + to)])
            assert r.returncode == 3 and b"daemon has excluded destination" in r.stderr, (to, r.stderr)
        r = client(["-a", work + "/src/", d.url("m/l3/")])
        assert r.returncode == 23 and b'refused to receive file "secret"' in r.stderr
        for opts in (["-b", "--backup-dir=/l"], ["-b", "--backup-dir=l2"], ["--temp-dir=l"], ["--partial-dir=/l"], ["--copy-dest=l"]):
            r = client(["-a", *opts, work + "/src/", d.url("m/")])
            assert r.returncode in (1, 4) and b"rejected by the server" in r.stderr, (opts, r.stderr)
        r = client(["-aK", "--delete", "--partial-dir=l", work + "/src/", d.url("m/")])
        assert r.returncode == 23 and b'refused to receive file "l3/secret"' in r.stderr
    for name, data in (("hid/f", b"old"), ("hid/d/x", b"old"), ("a/b/secret", b"old"), ("a/b/f", b"new"), ("kept/f", b"new")):
        with open(f"{work}/m/{name}", "rb") as f:
            assert f.read() == data, name
    assert sorted(os.listdir(work + "/m/hid")) == ["d", "f"]
