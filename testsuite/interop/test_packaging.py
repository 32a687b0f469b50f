"""What an administrator installs: man pages, units, completion, the Debian package; configuration as text."""
import os
import re
import shutil
import subprocess

import pytest
from harness import IS_ROOT, KEDGE, write_file

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGES = ["kedge.1", "kedge-rsyncd.conf.5", "kedge-security.7"]
UNITS = ["kedge.service", "kedge.socket", "kedge-inetd.socket", "kedge-inetd@.service"]


def run(*cmd, **kw):
    return subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)


@pytest.mark.parametrize("page", PAGES)
def test_man_page_has_no_warnings(page):
    r = run("mandoc", "-T", "lint", "-W", "warning", os.path.join(TOP, "doc/man", page))
    assert r.returncode == 0 and not r.stdout, r.stdout
    assert len(run("mandoc", "-T", "utf8", os.path.join(TOP, "doc/man", page)).stdout) > 2000


def dump(conf):
    r = subprocess.run([KEDGE, "--daemon", "--dump-config", f"--config={conf}"], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)
    assert r.returncode == 0, r.stderr
    return r.stdout


def test_every_parameter_is_in_the_manual(work):
    conf = os.path.join(work, "conf")
    write_file(conf, b"[m]\npath = /\n")
    names = {line.split(" = ")[0].strip() for line in dump(conf).splitlines() if " = " in line}
    with open(os.path.join(TOP, "doc/man/kedge-rsyncd.conf.5")) as f:
        page = f.read()
    listed = {n.strip() for line in re.findall(r"^\.It Cm (.*)$", page, re.M) for n in line.split(" , ")}
    assert len(names) > 60 and names == listed


def test_every_daemon_option_is_in_the_manual():
    text = run(KEDGE, "--daemon", "--help").stdout
    with open(os.path.join(TOP, "doc/man/kedge.1")) as f:
        page = f.read()
    with open(os.path.join(TOP, "packaging/bash/kedge")) as f:
        completion = f.read()
    for word in re.findall(r"--([a-z0-9-]+)", text):
        assert f"Fl -{word}" in page, word
        assert f"--{word}" in completion, word


def test_dumped_configuration_means_the_same(work):
    conf, again = os.path.join(work, "conf"), os.path.join(work, "again")
    write_file(conf, b"port = 8730\nuse chroot = no\nsyslog facility = local3\n[global]\ntimeout = 7\n[m]\npath = /x y/%RSYNC_USER_NAME%\n"
                     b"exclude = a  b\nread only = no\n[n]\npath = /n\nnumeric ids = yes\nlist = no\n")
    first = dump(conf)
    assert "  path = /x y/%RSYNC_USER_NAME%\n" in first and "  timeout = 7\n" in first and "  port = 8730\n" in first
    write_file(again, first.encode())
    assert dump(again).splitlines()[1:] == first.splitlines()[1:]


def test_example_configuration_is_understood(work):
    conf = os.path.join(work, "conf")
    with open(os.path.join(TOP, "rsyncd.conf.example")) as f:
        text = f.read()
    os.mkdir(work + "/pub")
    write_file(conf, text.replace("/srv/pub", work + "/pub").encode())
    r = run(KEDGE, "--daemon", "--check-config", f"--config={conf}")
    assert r.returncode == 0, r.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_unit(work, unit):
    for name in UNITS:
        with open(os.path.join(TOP, "packaging/systemd", name)) as f:
            text = f.read()
        write_file(os.path.join(work, name), text.replace("/usr/bin/kedge", KEDGE).encode())
    r = run("systemd-analyze", "verify", "--man=no", os.path.join(work, unit.replace("@.", "@1.")) if "@" in unit
            else os.path.join(work, unit), env=dict(os.environ, SYSTEMD_UNIT_PATH=work + ":"))
    mine = [line for line in r.stdout.splitlines() if "kedge" in line and "Command" not in line]
    assert r.returncode == 0 and not mine, r.stdout


def test_unit_gives_no_more_than_it_needs(work):
    shutil.copy(os.path.join(TOP, "packaging/systemd/kedge.service"), work)
    r = run("systemd-analyze", "security", "--offline=true", "--threshold=65", os.path.join(work, "kedge.service"))
    assert r.returncode == 0, r.stdout


@pytest.mark.parametrize("words,expect", [
    (["--dae"], ["--daemon"]), (["--daemon", "--check"], ["--check-config"]), (["--daemon", "--protocol", "=", "3"], ["30", "31", "32"]),
    (["--daemon", "--temp-dir", "=", "/us"], ["/usr"]),
    (["--restrict", "-no-d"], ["-no-del"]), (["--restrict", "-ro", "/us"], ["/usr"])])
def test_completion(words, expect):
    script = (f'. "{TOP}/packaging/bash/kedge"; COMP_WORDS=(kedge {" ".join(words)}); COMP_CWORD={len(words)}; _kedge; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    assert run("bash", "-c", script).stdout.split() == expect


@pytest.mark.slow
@pytest.mark.skipif(not IS_ROOT, reason="only root installs packages")
def test_debian_package(work):
    """Built, installed, upgraded, removed and purged; the files of the administrator stay until the purge."""
    if run("dpkg-query", "-W", "-f=${Status}", "kedge").stdout == "install ok installed":
        pytest.skip("kedge is installed on this machine: its package is not touched")
    out = os.path.join(work, "out")
    r = run(os.path.join(TOP, "packaging/build-deb"), out, env=dict(os.environ, DEB_BUILD_OPTIONS="nocheck noautodbgsym noopt"))
    assert r.returncode == 0, r.stdout
    deb, = [f for f in os.listdir(out) if f.endswith(".deb")]
    deb = os.path.join(out, deb)
    run("dpkg-deb", "-R", deb, out + "/next")
    with open(out + "/next/DEBIAN/control") as f:
        control = f.read()
    write_file(out + "/next/DEBIAN/control", re.sub(r"(?m)^Version: .*", "Version: 0.1.1-1", control).encode())
    assert run("dpkg-deb", "-b", out + "/next", out + "/next.deb").returncode == 0
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    try:
        r = run("dpkg", "-i", deb, env=env)
        assert r.returncode == 0, r.stdout
        assert run("/usr/bin/kedge", "--version").stdout.startswith("kedge  version")
        assert "kedge" in run("getent", "passwd", "kedge").stdout
        for path in ("/lib/systemd/system/kedge.service", "/etc/logrotate.d/kedge", "/usr/share/man/man1/kedge.1.gz",
                     "/usr/share/bash-completion/completions/kedge", "/usr/share/doc/kedge/examples/rsyncd.conf.example"):
            assert os.path.exists(path), path
        with open("/etc/logrotate.d/kedge", "a") as f:
            f.write("# mine\n")
        r = run("dpkg", "-i", out + "/next.deb", env=env)
        assert r.returncode == 0, r.stdout
        assert "# mine" in open("/etc/logrotate.d/kedge").read()
        assert run("dpkg", "-r", "kedge", env=env).returncode == 0
        assert not os.path.exists("/usr/bin/kedge") and os.path.exists("/etc/logrotate.d/kedge")
    finally:
        r = run("dpkg", "-P", "kedge", env=env)
    assert r.returncode == 0, r.stdout
    assert not os.path.exists("/etc/logrotate.d/kedge") and not os.path.exists("/usr/share/doc/kedge")
