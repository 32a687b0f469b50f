"""--iconv: a stock client at one end, kedge at the other, every name in another character set."""
import os

import pytest
from harness import Daemon, IS_ROOT, KEDGE, client, rsh

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}
UTF8 = {"LC_ALL": "C.UTF-8"}
NAMES = ["plain", "äöü", "dé/é", "dé/plain", "dé/tief/ß", "zß/a", "a ö/ö", "Äh/1", "x/y/ñ/z", "Ü"]


def make(top, charset, names=NAMES):
    top = os.fsencode(top)
    os.makedirs(top)
    for n in names:
        p = os.path.join(top, n.encode(charset))
        os.makedirs(os.path.dirname(p), exist_ok=True)
        with open(p, "wb") as f:
            f.write(n.encode())
    os.symlink("äöü".encode(charset), os.path.join(top, b"link"))
    return os.fsdecode(top)


def read(top, charset):
    """{name: content or target}, names decoded."""
    out = {}
    top = os.fsencode(top)
    for d, dirs, files in os.walk(top):
        for n in dirs + files:
            p = os.path.join(d, n)
            rel = os.path.relpath(p, top).decode(charset)
            out[rel] = (os.readlink(p).decode(charset, "surrogateescape") if os.path.islink(p)
                        else None if os.path.isdir(p) else open(p, "rb").read().decode())
    return out


def module(path, charset=None, **kw):
    params = {"path": path, "read only": "no", "munge symlinks": "no", "use chroot": "yes" if IS_ROOT else "no", **IDS, **kw}
    return {"m": {**params, **({"charset": charset} if charset else {})}}


CHARSETS = ["ISO-8859-1", "CP437", "UTF-8", "UTF-7", "GB18030"]


@pytest.mark.parametrize("charset", CHARSETS)
def test_push_to_chrooted_module(work, charset):
    """The converter works in the jail; the second run finds nothing to do, deletions are told in UTF-8."""
    src, dst = make(f"{work}/src", "utf-8"), f"{work}/dst"
    os.mkdir(dst)
    with Daemon(work, module(dst, charset)) as d:
        for proto in (32, 31, 30):
            r = client(["-ai", "--delete", "--iconv=UTF-8,whatever", src + "/", d.url("m/")], proto=proto, env=UTF8)
            assert (r.returncode, r.stderr) == (0, b"")
            assert read(dst, charset) == read(src, "utf-8")
            assert (r.stdout == b"") == (proto < 32), r.stdout
        with open(os.fsencode(dst) + b"/" + "weg ö".encode(charset), "w"):
            pass
        os.mkdir(os.fsencode(dst) + b"/dir\xc3\xb6" if charset == "UTF-8" else os.fsencode(dst) + b"/" + "dirö".encode(charset))
        r = client(["-ai", "--delete", "--iconv=UTF-8", src + "/", d.url("m/")], env=UTF8)
        told = {line for line in r.stdout.decode().splitlines() if line.startswith("*deleting")}
        assert told == {"*deleting   weg ö", "*deleting   dirö/"}
        assert read(dst, charset) == read(src, "utf-8")


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("proto", [29, 30, 32])
def test_pull_from_module(work, charset, proto):
    src, dst = make(f"{work}/src", charset), f"{work}/dst"
    with Daemon(work, module(src, charset)) as d:
        r = client(["-a", "--iconv=UTF-8", d.url("m/"), dst], proto=proto, env=UTF8)
        assert (r.returncode, r.stderr) == (0, b"")
    got = read(dst, "utf-8")
    # Symlink targets are not converted before protocol 30.
    if proto < 30:
        want = read(src, charset)
        del got["link"], want["link"]
        assert got == want
    else:
        assert got == read(src, charset)


@pytest.mark.parametrize("opts", [[], ["--no-inc-recursive"], ["-H"], ["-R"], ["-c"], ["-s"], ["--delete-before"]], ids=" ".join)
def test_remote_shell_both_ways(work, opts):
    """UTF-8 here, ISO-8859-1 there; and back."""
    src, there, back = make(f"{work}/src", "utf-8"), f"{work}/there", f"{work}/back"
    if "-H" in opts:
        os.link(f"{src}/äöü", f"{src}/zß/hart")
        os.link(f"{src}/äöü", f"{src}/Äh/hart")
    args = ["-a", "-e", rsh(work), f"--rsync-path={KEDGE}", "--iconv=UTF-8,ISO-8859-1"]
    pull = [o for o in opts if o != "--delete-before"]
    r = client([*args, *opts, "./", f"host:{there}/"], cwd=src, env=UTF8)
    assert (r.returncode, r.stderr) == (0, b"")
    assert read(there, "iso-8859-1") == read(src, "utf-8")
    r = client([*args, *pull, f"host:{there}/./" if "-R" in opts else f"host:{there}/", back], env=UTF8)
    assert (r.returncode, r.stderr) == (0, b"")
    assert read(back, "utf-8") == read(src, "utf-8")
    if "-H" in opts:
        assert os.stat(f"{back}/äöü").st_nlink == 3


def test_deltas_find_their_files(work):
    """Indexes are wire positions on both sides: each file gets its own data, in both directions."""
    names = [f"{c}{i}/{d}" for i, c in enumerate("zyäxöaßb") for d in ("ü", "a", "z", "é/q")]
    src, there, back = make(f"{work}/src", "utf-8", ["äöü", *names]), f"{work}/there", f"{work}/back"
    args = ["-a", "-e", rsh(work), f"--rsync-path={KEDGE}", "--iconv=UTF-8,CP437"]
    for i in range(2):
        assert client([*args, "--no-whole-file", src + "/", f"host:{there}"], env=UTF8).returncode == 0
        assert client([*args, "--no-whole-file", f"host:{there}/", back], env=UTF8).returncode == 0
        assert read(there, "cp437") == read(src, "utf-8") == read(back, "utf-8")
        for n in names[i::3]:
            with open(f"{src}/{n}", "a") as f:
                f.write(f"more of {n}\n" * 50)


def test_names_that_cannot_be_converted(work):
    """Pull: left out with a message, exit 23. Push: holes with a message, the rest arrives, nothing is deleted."""
    src, dst, back = make(f"{work}/src", "utf-8", ["ok", "日本", "dir/日", "日dir/inner", "日dir/deep/x", "z/ok"]), f"{work}/dst", f"{work}/back"
    os.mkdir(dst)
    with open(f"{dst}/keep", "w"):
        pass
    with Daemon(work, module(dst, "ISO-8859-1")) as d:
        for opts in ([], ["--no-inc-recursive"]):
            r = client(["-a", "--delete", *opts, "--iconv=UTF-8", src + "/", d.url("m/")], env=UTF8)
            assert r.returncode == 23, r.stderr
            err = r.stderr.decode()
            for n in ("日本", "dir/日", "日dir", "日dir/inner"):
                assert f"cannot convert filename: {n} (Invalid or incomplete multibyte or wide character)" in err
            assert read(dst, "iso-8859-1") == {"ok": "ok", "keep": "", "dir": None, "z": None, "z/ok": "z/ok", "link": "äöü"}
    with open(os.fsencode(src) + b"/z/bad\xff", "w"):
        pass
    os.symlink(b"bad\xff", f"{src}/z/badlink")
    with Daemon(work, module(src, "UTF-8")) as d:
        r = client(["-a", "--iconv=UTF-8", d.url("m/"), back], env=UTF8)
    assert r.returncode == 23
    reason = "(Invalid or incomplete multibyte or wide character)"
    # A chrooted module's names begin with a slash.
    assert sorted(r.stderr.decode().replace('"/z', '"z').splitlines())[:2] == [
        f"[sender] cannot convert filename: z/bad\\#377 {reason}",
        f'[sender] cannot convert symlink data for: "z/badlink" (in m) {reason}',
    ]
    assert "z/bad" not in "".join(read(back, "utf-8")) and "日dir/deep/x" in read(back, "utf-8")


def test_wide_character_sets_are_of_no_use(work):
    """A name in UTF-16 has NULs: no file of a cut name may appear."""
    src, dst = make(f"{work}/src", "utf-8"), f"{work}/dst"
    os.mkdir(dst)
    args = ["-a", "-e", rsh(work), f"--rsync-path={KEDGE}", "--iconv=UTF-8,UTF-16LE"]
    r = client([*args, src + "/", f"host:{dst}/"], env=UTF8)
    assert r.returncode == 23
    assert read(dst, "utf-8") == {}


def test_secluded_arguments_and_lists(work):
    """With -s the words and the names of --files-from travel in UTF-8 and are converted here."""
    there, back = make(f"{work}/there", "iso-8859-1"), f"{work}/back"
    listing = f"{work}/list"
    with open(listing, "w") as f:
        f.write("äöü\ndé/é\n")
    with Daemon(work, module(there, "ISO-8859-1")) as d:
        r = client(["-as", "--iconv=UTF-8", d.url("m/Äh"), d.url("m/ñicht"), back], env=UTF8)
        assert r.returncode == 23
        assert 'link_stat "' in r.stderr.decode() and "ñicht" in r.stderr.decode()
        assert read(back, "utf-8") == {"Äh": None, "Äh/1": "Äh/1"}
        r = client(["-as", "--iconv=UTF-8", f"--files-from={listing}", d.url("m/"), f"{work}/b2"], env=UTF8)
        assert (r.returncode, r.stderr) == (0, b"")
        assert set(read(f"{work}/b2", "utf-8")) == {"äöü", "dé", "dé/é"}
        # A list of ours that is forwarded to a sending client.
        with open(f"{there}/liste", "w", encoding="iso-8859-1") as f:
            f.write("äöü\nzß/a\n")
        src = make(f"{work}/src", "utf-8")
        r = client(["-as", "--iconv=UTF-8", "--files-from=:/liste", src, d.url("m/neu/")], env=UTF8)
        assert (r.returncode, r.stderr) == (0, b"")
        assert set(read(f"{there}/neu", "iso-8859-1")) == {"äöü", "zß", "zß/a"}


def test_refused_without_charset(work):
    os.mkdir(f"{work}/m")
    with Daemon(work, module(f"{work}/m")) as d:
        for opts in ("-a", "-as"):
            r = client([opts, "--iconv=UTF-8", d.url("m/"), f"{work}/x"], env=UTF8)
            assert b"The server is configured to refuse --iconv" in r.stderr
            assert r.returncode == 12 or r.returncode == 4
        assert client(["-a", d.url("m/"), f"{work}/x"]).returncode == 0


def test_nothing_is_converted_unasked(work):
    src = make(f"{work}/src", "iso-8859-1")
    with Daemon(work, module(src, "ISO-8859-1")) as d:
        assert client(["-a", d.url("m/"), f"{work}/x"]).returncode == 0
    assert read(f"{work}/x", "iso-8859-1") == read(src, "iso-8859-1")


def test_unknown_character_set(work):
    os.mkdir(f"{work}/m")
    with Daemon(work, module(f"{work}/m", "NO-SUCH")) as d:
        r = client([d.url("m/")])
        assert r.returncode == 5 and b"didn't get server startup line" in r.stderr
        assert 'iconv_open("UTF-8", "NO-SUCH") failed' in d.read_log() and "(code 4)" in d.read_log()
    r = client(["-e", rsh(work), f"--rsync-path={KEDGE}", "--iconv=UTF-8,NO-SUCH", f"host:{work}/m/"])
    assert b'iconv_open("UTF-8", "NO-SUCH") failed' in r.stderr and b"(code 4)" in r.stderr and r.returncode == 12
