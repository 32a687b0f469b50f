"""rsyncd.conf as text, and the command line beside it: grammar, faults, includes, variables, overrides, on both daemons.

A row is a file (or some); each daemon reads it whole, the way inetd starts it, and is asked for the list of modules.
What the list shows, how the program ends and what it logs must be the same.
"""
import os
import re
import socket
import subprocess

import pytest
from harness import IS_ROOT, KEDGE, LIMIT, STOCK_350, write_file

pytestmark = pytest.mark.slow  # many processes: left out under the sanitizers

M = "[m]\npath = /\n"
# (name of the row, the file; then further files as NAME, TEXT ...). @ is the directory, %..% the environment below.
ROWS = [
    ("plain", "comment = c\n" + M),
    ("crlf", "comment = c\r\n[m]\r\npath = /\r\n"),
    ("bom", b"\xef\xbb\xbfcomment = c\n".decode() + M),
    ("comments", "# x\n; y\n  # z\ncomment = a # b ; c\n# hidden \\\ncomment = shown\n" + M),
    ("continued_value", "comment = one \\\n   two\n" + M),
    ("continued_blank", "comment = a \\  \nb\n" + M),
    ("continued_twice", "comment = a\\\\\nb\n" + M),
    ("continued_into_nothing", "comment = trail   \\\n\n" + M),
    ("continued_lead", "comment = \\\n  lead\n" + M),
    ("continued_name", "com\\\nment = joined\n" + M),
    ("continued_section", "[lo\\\nng]\npath = /\n"),
    ("continued_at_end", M + "comment = a\\"),
    ("backslash_first", "\\comment = x\n" + M),
    ("loose_names", "COM  MENT = loose\n" + M),
    ("underscore", "read_only = no\n" + M),
    ("unknown", "no such thing = 1\n" + M),
    ("unknown_dash", "-x = 1\n" + M),
    ("empty_value", "comment = c\n[m]\ncomment =\npath = /\n"),
    ("empty_name", "= x\n" + M),
    ("no_equals", "no equals sign\n" + M),
    ("no_equals_at_end", M + "the end"),
    ("bool_bad", M + "list = off\n"),
    ("bool_quoted", M + 'list = "no"\n'),
    ("bool_empty", M + "list =\n"),
    ("bool_number", M + "list = 2\n"),
    ("bool_loose", M + "list = F a L s E\n"),
    ("bool_unset", M + "list = unset\n"),
    ("bool3_bad", M + "use chroot = maybe\n"),
    ("bool3_unset", M + "use chroot = UNSET\n"),
    ("int_junk", M + "timeout = soon\n"),
    ("int_trailing", M + "timeout = 10abc\n"),
    ("enum_bad", M + "syslog facility = nowhere\n"),
    ("enum_case", M + "syslog facility = LOCAL3\n"),
    ("global_in_module", M + "port = 1\npid file = /x\n"),
    ("name_blanks", "[  two   words ]\npath = /\n"),
    ("name_odd", "[c#d=e]\npath = /\n[f\\]\npath = /\n[\u00e4 %HOME%]\npath = /\n"),
    ("name_long", f"[{'n' * 300}]\npath = /\n"),
    ("name_rest_of_line", "[x] ignored\npath = /\n"),
    ("name_slash", "[a/b]\npath = /\n"),
    ("name_empty", "[]\npath = /\n"),
    ("name_blank", "[   ]\npath = /\n"),
    ("name_open", "[open\npath = /\n"),
    ("name_open_at_end", "[open"),
    ("name_parameter", M + "name = other\n"),
    ("name_parameter_same", "[a]\nname = x\ncomment = first\n[b]\nname = x\ncomment = second\n"),
    ("module_again", "[m]\ncomment = first\n[n]\n[m]\ncomment = second\n"),
    ("module_again_default", "comment = one\n[m]\n[global]\ncomment = two\n[m]\nlist = yes\n[n]\n"),
    ("global_section", "comment = one\n[m1]\n[ GLO BAL ]\ncomment = two\n[m2]\n"),
    ("global_twice", "[global]\ncomment = one\n[global]\n[m]\n"),
    ("order", "[z]\n[a]\n[M]\n"),
    ("nothing", ""),
    ("directive_unknown", "&foo x\n" + M),
    ("directive_bare", "&include\n" + M),
    ("include", "comment = outer\n[a]\n&include @/i\ncomment = again\n[z]\n", "i", "comment = inner\n[b]\n"),
    ("include_equals", "&INCLUDE = @/i\n" + M, "i", "comment = inner\n[b]\n"),
    ("include_equals_close", "&include=@/i\n" + M, "i", "[b]\n"),
    ("include_relative", "&include i\n" + M, "i", "[b]\n"),
    ("include_nested", "&include @/i\n" + M, "i", "comment = i\n&include @/j\n[ofi]\n", "j", "comment = j\n[ofj]\n"),
    ("include_missing", "&include @/none\n" + M),
    ("include_global_inside", "comment = outer\n&include @/i\n[m]\n", "i", "[b]\n[global]\ncomment = inner\n[c]\n"),
    ("include_dir", "&include @/d\n" + M, "d/b.conf", "[b]\n", "d/a.conf", "comment = of a\n[a]\n", "d/.h.conf", "[h]\n",
     "d/c.inc", "[c]\n", "d/B.CONF", "[upper]\n", "d/e.conf.bak", "[bak]\n", "d/.conf", "[bare]\n"),
    ("include_dir_slash", "&include @/d/\n" + M, "d/b.conf", "[b]\n"),
    ("include_dir_empty", "&include @/d\n" + M, "d/x", ""),
    ("include_broken", "&include @/i\n" + M, "i", "[b\n"),
    ("merge", "comment = outer\n[a]\n&merge @/i\n", "i", "comment = merged\n[b]\n"),
    ("merge_stays", "[a]\n&merge @/i\ncomment = after\n", "i", "comment = of a\n[b]\n"),
    ("merge_global", "&merge @/i\n[a]\n", "i", "comment = merged\n"),
    ("merge_dir", "&merge @/d\n[last]\n", "d/b.inc", "comment = b\n[b]\n", "d/a.inc", "comment = a\n[a]\n", "d/c.conf", "[c]\n"),
    ("merge_missing", "&merge @/none\n" + M),
    ("directive_continued", "&include \\\n@/i\n" + M, "i", "[b]\n"),
    ("variable", "comment = <%CONF_ONE%> <%CONF_EMPTY%> <%CONF_NONE%> <%conf%> <100%> <%%> <%CONF_ONE>\n" + M),
    ("variable_inside", "comment = %CONF_NEST% %Conf_Mixed% %A%CONF_ONE%\n" + M),
    ("variable_bool", "list = %CONF_NO%\n" + M),
    ("variable_name", "[%CONF_ONE%]\npath = /\n"),
    ("variable_include", "&include %CONF_TOP%/i\n" + M, "i", "[b]\n"),
    ("variable_module", "comment = %RSYNC_MODULE_NAME%\n" + M),
    ("variable_long", "comment = %CONF_LONG%\n" + M),
    ("motd", "motd file = @/motd\n" + M, "motd", "Hello\nthere"),
    ("motd_missing", "motd file = @/none\n" + M),
    ("motd_empty", "motd file =\n" + M),
    ("motd_empty_file", "motd file = @/motd\n" + M, "motd", ""),
    ("motd_odd_bytes", "motd file = @/motd\n" + M, "motd", "\x01\x1b[2J\u00e4\r\n\xff\n\n"),
    ("motd_long", "motd file = @/motd\n" + M, "motd", "long line " * 5000),
    ("motd_variable", "motd file = %CONF_TOP%/motd\n" + M, "motd", "Hello\n"),
    ("motd_in_module", M + "motd file = @/motd\n", "motd", "Hello\n"),
]
OVERRIDES = [
    ("value", ["--dparam=comment=given"], "[m]\n"),
    ("short", ["-M", "comment=given"], "[m]\n"),
    ("last_wins", ["-M", "comment=one", "-Mcomment=two"], "[m]\n"),
    ("loose_name", ["-MCOM MENT =given"], "[m]\n"),
    ("blanks", ["-Mcomment=  given  "], "[m]\n"),
    ("empty", ["-Mcomment="], "comment = c\n[m]\n"),
    ("over_global", ["-Mcomment=given"], "comment = c\n[m]\n"),
    ("module_wins", ["-Mcomment=given"], "[m]\ncomment = own\n"),
    ("later_global_wins", ["-Mcomment=given"], "[m]\n[global]\ncomment = later\n[n]\n"),
    ("leading_global", ["-Mcomment=given"], "[global]\ncomment = c\n[m]\n"),
    ("bad_bool", ["-Mlist=off"], "[m]\n"),
    ("variable", ["-Mcomment=%CONF_ONE%"], "[m]\n"),
    ("motd", ["-Mmotdfile=@/motd"], "[m]\n", "motd", "Hello\n"),
]
# What the command line can get wrong; the end of each is exit 1 and a word on standard error.
WRONG = [["-Mno such=1"], ["-Mcomment"], ["--port=x"], ["--foo"], ["-q"], ["--detach=1"], ["--address"], ["--bwlimit=1m"],
         ["--password-file=x"], ["--config=@/none", "--no-detach"]]
ENV = {"CONF_ONE": "one", "CONF_EMPTY": "", "CONF_NEST": "%CONF_ONE%", "Conf_Mixed": "mixed", "CONF_NO": "no", "CONF_LONG": "x" * 2048}


def lay(top, rest):
    files = dict(zip(rest[::2], rest[1::2]))
    for name, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(top, name)), exist_ok=True)
        write_file(os.path.join(top, name), text.replace("@/", top + "/").encode())


def plain(text, top):
    """Messages without what is of no use to compare: time, process, place in the source or in the file."""
    text = text.replace(top, "@")
    lines = [re.sub(r"^\S+ \S+ \[\d+\] ", "", x) for x in text.splitlines()]
    lines = [re.sub(r"^\w+\.c:\w+\(\) - ", "", re.sub(r" \(\S+ line \d+\)$", "", x)) for x in lines]
    lines = [re.sub(r" at \S+\(\d+\) \[(\w+)=[^]]*\]", r" [\1]", x).replace('"kedge --', '"rsync --') for x in lines]
    lines = [x.removeprefix("rsync: [Receiver] ") for x in lines]
    return [x for x in lines if not re.match(r"Failed\.  Error returned|unable to open motd file|connect from|module-list", x)]


def ask(top, binary, args=()):
    """Starts a daemon as inetd does and asks for the list: (exit code, what it sent, what it said, its log)."""
    log = os.path.join(top, "log")
    with socket.socket() as door, socket.socket() as ours:
        door.bind(("127.0.0.1", 0))
        door.listen(1)
        ours.settimeout(LIMIT)
        ours.connect(door.getsockname())
        theirs, _ = door.accept()
        with theirs:
            p = subprocess.Popen([binary, "--daemon", f"--config={top}/rsyncd.conf", f"--log-file={log}", *args], cwd=top,
                                 stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=dict(os.environ, CONF_TOP=top, **ENV))
        got = b""
        try:
            ours.sendall(b"@RSYNCD: 31.0 md5\n#list\n")
            while piece := ours.recv(65536):
                got += piece
        except (BrokenPipeError, ConnectionResetError):
            pass
        err = p.communicate(timeout=LIMIT)[1].decode()
    text = ""
    if os.path.exists(log):
        with open(log, errors="replace") as f:
            text = f.read()
    return p.returncode, got, plain(err, top), plain(text, top)


def both(work, conf, rest, args=()):
    seen = []
    for name, binary in (("stock", STOCK_350), ("kedge", KEDGE)):
        top = os.path.join(work, name)
        os.mkdir(top)
        lay(top, ("rsyncd.conf", conf, *rest))
        seen.append(ask(top, binary, [a.replace("@/", top + "/") for a in args]))
    return seen


@pytest.mark.parametrize("row", ROWS, ids=[r[0] for r in ROWS])
def test_file(work, row):
    stock, kedge = both(work, row[1], row[2:])
    assert kedge == stock


@pytest.mark.parametrize("row", OVERRIDES, ids=[r[0] for r in OVERRIDES])
def test_override(work, row):
    stock, kedge = both(work, row[2], row[3:], row[1])
    assert kedge == stock


@pytest.mark.parametrize("words", WRONG, ids=[w[0].strip("-") for w in WRONG])
def test_wrong_command_line(work, words):
    write_file(work + "/rsyncd.conf", b"[m]\n")
    seen = []
    config = [] if any(w.startswith("--config") for w in words) else [f"--config={work}/rsyncd.conf"]
    for binary in (STOCK_350, KEDGE):
        r = subprocess.run([binary, "--daemon", *config, *[w.replace("@", work) for w in words]],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
        # The stock daemon has its parser's messages in the log alone.
        seen.append((r.returncode, r.stdout, [x for x in plain(r.stderr, work) if not x.startswith("unable to open config")]))
    assert seen[1] == seen[0] and seen[0][0] == 1


def test_daemon_options_without_daemon():
    seen = [subprocess.run([b, "--config=/none"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for b in (STOCK_350, KEDGE)]
    stock, kedge = [(r.returncode, r.stdout, plain(r.stderr, "/none")) for r in seen]
    assert kedge == stock


@pytest.mark.parametrize("conf", ["[m]\n[M]\n", "[a b]\n[ab]\n"])
def test_sections_that_differ_in_case_or_blanks(work, conf):
    stock, kedge = both(work, conf, ())
    assert stock[0] == 255 and stock[1].count(b"\t") == 1
    assert kedge[0] == 1 and "differs from" in kedge[3][0]


@pytest.mark.parametrize("name,fault", [
    ("nul", b"[m]\ncomment = a\0b\n"), ("loop", b"&include @/rsyncd.conf\n"),
    ("boolean", b"[m]\nread only = %CONF_LONG%%CONF_LONG%\n"), ("chroot", b"daemon chroot = %CONF_LONG%%CONF_LONG%\n[m]\n"), ("log", b"[m]\n[global]\nlog file = %CONF_LONG%%CONF_LONG%\n")])
def test_faults_kept_off_by_limits(work, name, fault):
    """The stock daemon ends the file at the NUL, runs out of descriptors in the loop, and ends when it needs a value that grows too long."""
    write_file(work + "/rsyncd.conf", fault.replace(b"@", work.encode()))
    code, got, err, log = ask(work, KEDGE)
    assert (code, got, err) == (1, b"", []) and len(log) == 2


def test_a_fault_behind_the_first_section_keeps_it_from_starting(work):
    write_file(work + "/rsyncd.conf", b"[m]\npath = /\n[]\n")
    r = subprocess.run([KEDGE, "--daemon", "--no-detach", f"--config={work}/rsyncd.conf", f"--log-file={work}/log", "--port=1"],
                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
    assert (r.returncode, plain(r.stderr, work)) == (1, ["Empty section name in config file.",
                                                         "Failed to parse config file: @/rsyncd.conf"])
    with open(work + "/log") as f:
        assert "Empty section name in config file." in f.read()


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
def test_files_of_others_are_refused(work):
    """A symlink owned by another user on the way to an included file; and a file that anybody can write (kedge alone)."""
    os.chmod(work, 0o755)
    write_file(work + "/i", b"[b]\n")
    for top in ("stock", "kedge"):
        os.mkdir(f"{work}/{top}")
        write_file(f"{work}/{top}/rsyncd.conf", f"&include {work}/{top}/link\n[m]\n".encode())
        os.symlink(work + "/i", f"{work}/{top}/link")
        os.chown(f"{work}/{top}/link", 65534, 65534, follow_symlinks=False)
    stock, kedge = ask(work + "/stock", STOCK_350), ask(work + "/kedge", KEDGE)
    assert stock[:3] == kedge[:3] == (1, b"", [])
    assert all("Too many levels of symbolic links" in " ".join(x[3]) for x in (stock, kedge))
    os.unlink(work + "/kedge/link")
    write_file(work + "/kedge/link", b"[b]\n", 0o666)
    assert "can be written by anybody: refused" in " ".join(ask(work + "/kedge", KEDGE)[3])


# ---- the file as it is understood ----

DUMPED = ("motd file = /m o t d\nlisten backlog = 7\nsyslog facility = local3\ncomment = %CONF_ONE% # ;\n"
          "[a b]\npath = /x\nuse chroot = no\nhosts allow = 10.0.0.0/8, !\nauth users =\n[global]\ncomment = two\n"
          "[z]\nname = renamed\nnumeric ids = yes\ndevice nodes = c 1:3\nlog format =\nlock file =\n")


def dump(conf, *args):
    return subprocess.run([KEDGE, "--daemon", "--dump-config", f"--config={conf}", *args], check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=dict(os.environ, **ENV)).stdout


def test_dump_read_again_is_the_same(work):
    for name, text in (("one", DUMPED), ("two", "[m]\n"), ("three", "")):
        write_file(f"{work}/{name}", text.encode())
        first = dump(f"{work}/{name}")
        write_file(work + "/again", first.encode())
        assert dump(work + "/again").splitlines()[1:] == first.splitlines()[1:]
    first = dump(work + "/one")
    assert "\n[a b]\n" in first and "comment = %CONF_ONE% # ;\n" in first and "\n[renamed]\n" in first
    assert "comment = given\n" in dump(work + "/two", "-Mcomment=given")


def check(work, text, *args, code=0):
    write_file(work + "/rsyncd.conf", text.replace("@/", work + "/").encode())
    r = subprocess.run([KEDGE, "--daemon", "--check-config", f"--config={work}/rsyncd.conf", *args], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)
    assert r.returncode == code, r.stdout + r.stderr
    return r.stdout + r.stderr


QUIET = "[m]\npath = @/data\nuid = nobody\ngid = nogroup\n"
RISKS = [
    ("quiet", "", 0, None),
    ("no_path", "path =\n", 0, "no path"),
    ("unreached", "path = @/none\n", 0, "path @/none cannot be reached"),
    ("world", "path = @/open\n", 0, "anybody can write in @/open"),
    ("world_root", "path = @/open\nuid = 0\n", 0, "anybody can write in @/open: the module is refused, because it runs as root"),
    ("root_for_all", "uid = 0\nread only = no\n", 0, "runs as root, can be written, and anybody may connect"),
    ("root_some", "uid = root\nread only = no\nhosts allow = 127.0.0.1\n", 0, None),
    ("links", "read only = no\nuse chroot = no\nmunge symlinks = no\n", 0,
     '"use chroot" and "munge symlinks" are off in a module that can be written'),
    ("insecure", "insecure links = yes\n", 0, '"insecure links" is on'),
    ("old_digests", "auth users = joe\n", 0, '"auth users" without "auth digest"'),
    ("floor", "auth users = joe\nauth digest = sha256\nsecrets file = @/secrets\n", 0, None),
    ("no_secrets", "auth users = joe\n", 0, '"auth users" without "secrets file": nobody can log in'),
    ("secrets_none", "auth users = joe\nsecrets file = @/none\n", 0, "nobody can log in: secrets file @/none cannot be reached"),
    ("secrets_open", "auth users = joe\nsecrets file = @/rsyncd.conf\n", 0, "nobody can log in: secrets file must not be other-accessible"),
    ("chmod", "incoming chmod = u=q\n", 1, 'Invalid "incoming chmod" directive: u=q'),
    ("uid", "uid = no-such-user\n", 0, "invalid uid no-such-user"),
    ("devices", "device nodes = x\n", 1, '"device nodes": '),
    ("limit", "memory limit = lots\n", 1, "memory limit"),
    ("sandbox", "sandbox = maybe\n", 0, '"sandbox" is neither require nor prefer'),
    ("deny_name", "hosts deny = no-such-host.invalid\n", 0, 'names no-such-host.invalid, which does not resolve: everybody will be denied'),
    ("digits", "hosts allow = 192.168.*\n", 0, '"hosts allow": 192.168.* is a pattern for names: it matches no address'),
    ("deny_addr", "hosts deny = 10.0.0.0/8 @group *.bad ::1\n", 0, None),
    ("unknown", "no such thing = 1\n", 1, 'Unknown Parameter encountered: "no such thing"'),
    ("boolean", "list = off\n", 1, 'Badly formed boolean in configuration file: "off"'),
    ("motd", "[global]\nmotd file = @/none\n", 1, "unable to open motd file @/none"),
]


@pytest.mark.skipif(not IS_ROOT, reason="some of the warnings are about root")
@pytest.mark.parametrize("row", RISKS, ids=[r[0] for r in RISKS])
def test_check_config_names_the_risk(work, row):
    _, lines, code, warning = row
    os.mkdir(work + "/data", 0o755)
    os.mkdir(work + "/open")
    os.chmod(work + "/open", 0o777)
    write_file(work + "/secrets", b"joe:secret\n", 0o600)
    said = [x for x in check(work, QUIET + lines, code=code).splitlines() if x.startswith(("  warning", "! "))]
    if warning:
        assert any(warning.replace("@/", work + "/") in x for x in said), said
    else:
        assert said == []
