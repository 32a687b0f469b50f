"""Every option of the table (spec 05 §8), good and bad values: accepted or refused by kedge as by the stock server."""
import os
import re
import shutil
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import Daemon, IS_ROOT, KEDGE, STOCK_350, client, half_close, rsh

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}

# Accepted whatever else is given: tried several at a time.
FLAGS = """recursive no-recursive no-r inc-recursive i-r no-inc-recursive no-i-r qsort dirs no-dirs no-d old-dirs old-d relative
no-relative no-R implied-dirs i-d no-implied-dirs no-i-d from0 no-from0 list-only one-file-system no-one-file-system no-x
prune-empty-dirs no-prune-empty-dirs no-m mkpath no-mkpath archive cvs-exclude existing ignore-non-existing ignore-existing
remove-source-files remove-sent-files ignore-missing-args delete-missing-args checksum no-checksum no-c ignore-times size-only
update no-whole-file no-W no-inplace no-append sparse no-sparse no-S preallocate no-write-devices fuzzy no-fuzzy no-y compress
no-compress no-z old-compress new-compress partial no-partial no-delay-updates fsync backup no-backup no-bwlimit no-timeout links
no-links no-l copy-links copy-dirlinks copy-unsafe-links safe-links keep-dirlinks no-munge-links no-insecure-links drop-D
no-drop-D hard-links no-hard-links no-H perms no-perms no-p executability no-acls no-A no-xattrs no-X times no-times no-t atimes
no-atimes no-U open-noatime no-open-noatime no-crtimes no-N omit-dir-times no-omit-dir-times no-O omit-link-times
no-omit-link-times no-J owner no-owner no-o group no-group no-g devices no-devices specials no-specials no-D numeric-ids
no-numeric-ids super no-super force no-force ignore-errors no-ignore-errors verbose no-verbose no-v quiet msgs2stderr
no-msgs2stderr itemize-changes no-itemize-changes no-i stats dry-run no-secluded-args no-protect-args no-s no-old-args
trust-sender blocking-io no-blocking-io no-contimeout motd no-motd ipv4 ipv6 8-bit-output no-8-bit-output no-8 human-readable
no-human-readable no-h progress no-progress""".split() + [f"-{c}" for c in "rdRxmcIuSyzbPlLkKHpEtUOJogDnvqhi846FC0"]

# Taken one by one.
ALONE = """inplace append append-verify whole-file write-devices copy-devices delay-updates munge-links insecure-links crtimes
old-args no-iconv delete delete-before delete-during del delete-delay delete-after delete-excluded bogus no-bogus no-I
no-ignore-times -W -N -e -Q -Z""".split()

NUMBERS = """checksum-seed modify-window compress-level zl compress-threads zt timeout max-delete contimeout port""".split()

WORDS = """max-size=1k max-size=1x max-size=-1 max-size=9999p min-size= min-size=a:b block-size=700 block-size=9m block-size=-1
bwlimit=100b bwlimit=x bwlimit=1.5m max-alloc=1 max-alloc=1x max-alloc=2g cc=md5 cc=foo cc=md5,foo cc=auto,md5 cc=md5,auto cc=MD5
checksum-choice=none zc=foo zc=none zc=LZ4 compress-choice=zlibx partial-dir=x partial-dir= temp-dir=nosuch suffix=a/b suffix=
backup-dir= backup-dir=. backup-dir=x usermap=x usermap=a: usermap=5-:1 usermap=*:0 groupmap=x groupmap=1-2-3:1 chown=a:b
chmod=x chmod=u+w,g-w chmod=DF+x compare-dest=a copy-dest=a link-dest=a stop-after=0 stop-after=x stop-after=9 time-limit=9
stop-at=x stop-at=2001-01-01 stop-at=2099-01-01 stderr=x stderr=e stderr=all stderr= remote-option=x remote-option=-x
write-batch=x read-batch=y only-write-batch=x files-from=h:x files-from=nosuch filter=bogus filter=-_x exclude=x include=y
exclude-from=nosuch include-from=nosuch iconv=utf8 iconv=. info=foo info=all9,none debug=foo skip-compress=a/b outbuf=x
sockopts=x address=x rsync-path=x password-file=x early-input=x rsh=x out-format=%i log-format=%X log-file= log-file=/x/y
log-file-format=%f""".split()

SETS = [
    ["--timeout"], ["-Q"], ["-B131073"], ["-B", "700"], ["-@-1"], ["-@x"], ["-vQ9"], ["--stats=2"], ["-M", "x"], ["-M-x"], ["-f- x"],
    ["--cc=none", "-c"], ["--delete", "-d"], ["--delete-before", "--delete-after"], ["--delete", "--delete-after"],
    ["--delete-before", "--delete-before"], ["--append", "-W"], ["--append", "--append"], ["--inplace", "--partial-dir=x"],
    ["--inplace", "--delay-updates"], ["--append", "--partial-dir=x"], ["-b", "--suffix=a/b"], ["-b", "--suffix="],
    ["-b", "--backup-dir=.", "--suffix="], ["-b", "--backup-dir=x"], ["--backup-dir=" + "x" * 4090], ["--temp-dir=" + "y" * 4090],
    ["--usermap=1:1", "--usermap=2:2"], ["--groupmap=1:1", "--groupmap=2:2"], ["--chown=1:1", "--usermap=1:1"],
    ["--usermap=1:1", "--chown=1"], ["--chown=1", "--chown=2"], ["--chown=1", "--chown=:2"], ["--compare-dest=a", "--copy-dest=b"],
    ["--link-dest=a"] * 21, ["--write-batch=x", "--read-batch=y"], ["-s", "--old-args"], ["--no-recursive", "--delete"],
    ["--files-from=x:y", "--no-relative"], ["--partial", "--partial-dir=."], ["--munge-links"], ["--zl=99", "-z"], ["--", "x"],
]

# A stock daemon ends without a word, or in the middle of set-up; kedge tells the client what is wrong. --protocol: means
# nothing on a server. --chown: an unknown name is told when ids are mapped.
UNLIKE_DAEMON = ["--stop-after=0", "--stop-after=x", "--stop-at=x", "--stop-at=2001-01-01", "--files-from=", "--chown=a:b",
                 "--crtimes", "-N"]


def dashed(name):
    return name if name.startswith("-") else "--" + name


def cases():
    """Lists of words."""
    flags = [dashed(f) for f in FLAGS]
    out = [flags[i:i + 12] for i in range(0, len(flags), 12)]
    out += [[dashed(f)] for f in ALONE]
    out += [[f"--{n}={v}"] for n in NUMBERS for v in ("x", "0x10")]
    out += [[f"--timeout={v}"] for v in ("1", "-1", "99999999999")]
    return out + [["--" + w.replace("_", " ")] for w in WORDS] + SETS


def differing(one, two, words):
    """What the two servers judge differently: [(words, verdict, verdict)]."""
    a, b = one(words), two(words)
    if a == b:
        return []
    if len(words) > 2:
        half = len(words) // 2
        parts = differing(one, two, words[:half]) + differing(one, two, words[half:])
        if parts:
            return parts
    return [(words, a, b)]


def line(text):
    """One message without what names the program or the place in it."""
    return re.sub(r" \(code.*", "", re.sub(r"^rsync: \[\w+\] ", "rsync: ", text))


def verdict_rsh(server, role, words, cwd):
    """Exit code and first message of a server that gets nothing but its arguments."""
    r = subprocess.run([server, "--server", *role, "-re.iLsfxC", *words, ".", "m/"], stdin=subprocess.DEVNULL, cwd=cwd,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"LC_ALL": "C", "HOME": cwd}, timeout=60)
    said = [line(s) for s in r.stderr.decode(errors="replace").splitlines() if "closed" not in s and "(code 12)" not in s]
    return (0 if r.returncode == 12 else r.returncode), said[:1]


def frames(data):
    """Messages behind the compat flags and the seed of protocol 31."""
    n = 0
    while data and data[0] & (0x80 >> n):
        n += 1
    at = 1 + n + 4
    while at + 4 <= len(data):
        head = struct.unpack_from("<I", data, at)[0]
        yield (head >> 24) - 7, data[at + 4:at + 4 + (head & 0xffffff)]
        at += 4 + (head & 0xffffff)


def verdict_daemon(daemon, role, words):
    """First error that a daemon sends for these arguments; None: it hung up without a word."""
    s = daemon.connect()
    f = s.makefile("rb")
    f.readline()
    s.sendall(b"@RSYNCD: 31.0 md5\nm\n")
    while True:
        reply = f.readline()
        assert reply and not reply.startswith(b"@ERROR"), reply
        if reply == b"@RSYNCD: OK\n":
            break
    args = ["--server", *role, "-re.iLsfxC", *words, ".", "m/"]
    s.sendall(b"".join(a.encode() + b"\0" for a in args) + b"\0")
    half_close(s)
    try:
        data = f.read()
    except ConnectionResetError:
        data = b""
    s.close()
    if not data:
        return None
    said = [line(p.decode(errors="replace").strip("\n")) for tag, p in frames(data) if tag in (1, 3, 4)]
    return [t for t in said if "closed" not in t and t != "rsync error: error in rsync protocol data stream"][:1]


ROLES = {"receiver": [], "sender": ["--sender"]}


@pytest.mark.slow
@pytest.mark.parametrize("role", sorted(ROLES))
def test_remote_shell(work, role):
    os.makedirs(f"{work}/m/sub")

    def check(words):
        return differing(lambda w: verdict_rsh(STOCK_350, ROLES[role], w, work), lambda w: verdict_rsh(KEDGE, ROLES[role], w, work), words)

    with ThreadPoolExecutor(2) as pool:
        diff = [d for part in pool.map(check, cases()) for d in part]
    assert not diff, "\n".join(map(str, diff))


@pytest.mark.slow
@pytest.mark.parametrize("role", sorted(ROLES))
def test_daemon(work, role):
    os.makedirs(f"{work}/m/sub")
    params = {"m": {"path": f"{work}/m", "read only": "no", "charset": "UTF-8", **IDS}}
    kedge_only = ["connect rate per host = 100000", "host penalties = no"]
    with Daemon(work, params, binary=STOCK_350) as stock, Daemon(work, params, global_lines=kedge_only) as kedge:
        def check(words):
            diff = differing(lambda w: verdict_daemon(stock, ROLES[role], w), lambda w: verdict_daemon(kedge, ROLES[role], w), words)
            return [d for d in diff if not (d[1] in (None, []) and d[2]) or not unlike(d)]

        def unlike(d):
            return d[1] is None or any(d[0][0].startswith(u) for u in UNLIKE_DAEMON)

        with ThreadPoolExecutor(6) as pool:
            diff = [d for part in pool.map(check, cases()) for d in part if not d[0][0].startswith(("--files-from=", "--chown=a:b"))]
    assert not diff, "\n".join(map(str, diff))


@pytest.mark.parametrize("fmt", [None, "%o %n %l %b", "", "%i|%n|%B", "%o %f"])
def test_log_file(work, fmt):
    """--log-file of a server started over a remote shell: the lines of the stock server."""
    found = {}
    for who, server in (("kedge", KEDGE), ("stock", STOCK_350)):
        top = f"{work}/top"
        os.makedirs(f"{top}/src/d")
        os.mkdir(f"{top}/dst")
        for name in ("src/a", "src/d/b", "dst/old"):
            with open(f"{top}/{name}", "w") as f:
                f.write(name)
            os.utime(f"{top}/{name}", (1, 1))
        log = f"{top}/log"
        args = ["-a", "-e", rsh(work), f"--rsync-path={server}", f"-M--log-file={log}"]
        if fmt is not None:
            args.append("-M--log-file-format=" + fmt.replace(" ", "_"))
        for ends in (["--delete", f"{top}/src/", f"host:{top}/dst/"], [f"host:{top}/src/", f"host:{top}/none", f"{top}/back"], ["-n", f"{top}/src/", f"host:{top}/dry/"]):
            client([*args, *ends])
        with open(log) as f:
            lines = [re.sub(r"^\S+ \S+ \[\d+\] ", "", s) for s in f]
        # What layers this machine cannot give is kedge's alone to tell.
        found[who] = [re.sub(r"^sent .*", "sent", s) for s in lines if not s.startswith(("rsync error:", "sandbox:"))]
        shutil.rmtree(top)
    assert found["kedge"] == found["stock"] and len(found["kedge"]) >= 7


# What the host allows, and the client's wish: what is negotiated, and what may not be asked for by name either.
CHOICES = [("RSYNC_CHECKSUM_LIST=md5", "--debug=nstr"), ("RSYNC_CHECKSUM_LIST=md5", "--cc=md5"), ("RSYNC_CHECKSUM_LIST=md5", "--cc=xxh64"),
           ("RSYNC_CHECKSUM_LIST=xxh64&MD5 xxhash", "--cc=auto,xxh64"), ("RSYNC_CHECKSUM_LIST=md5&sha1", "--cc=md5,sha1"), ("RSYNC_CHECKSUM_LIST=foo", "-r"),
           ("RSYNC_COMPRESS_LIST=zlib", "-z --debug=nstr"), ("RSYNC_COMPRESS_LIST=zlib", "-zz"), ("RSYNC_COMPRESS_LIST=zstd zlibx", "--zc=zlib"),
           ("RSYNC_COMPRESS_LIST=zstd zlibx", "-zz"), ("RSYNC_MAX_ALLOC=1m", "-r")]


def test_what_the_host_allows(work):
    """Through a remote shell as the stock server; a daemon the same, but it tells the client what it refuses."""
    os.mkdir(work + "/src")
    with open(work + "/src/f", "w") as f:
        f.write("f")
    for setting, opts in CHOICES:
        seen = []
        for server in (STOCK_350, KEDGE):
            r = client([*opts.split(), "-r", "-e", rsh(work), f"--rsync-path=env '{setting}' {server}", f"h:{work}/src/", f"{work}/o/"])
            seen.append((r.returncode, sorted(re.findall(rb"Client negotiated.*|Your --.*|Failed to neg.*", r.stdout + r.stderr))))
            shutil.rmtree(work + "/o", ignore_errors=True)
        assert seen[1] == seen[0], (setting, opts)
        with Daemon(work, {"m": {"path": work + "/src", **IDS}}, env=dict([setting.split("=", 1)])) as d:
            r = client([*opts.split(), "-r", d.url("m/"), f"{work}/o/"])
            said = sorted(re.findall(rb"Client negotiated.*|Your --.*|Failed to neg.*", r.stdout + r.stderr))
            assert ((r.returncode if r.returncode != 4 or said[0].startswith(b"Failed") else 12), said) == seen[0], (setting, opts)
        shutil.rmtree(work + "/o", ignore_errors=True)
