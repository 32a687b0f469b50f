import os
import subprocess

import pytest

from harness import IS_ROOT, free_port, program, write_file


@pytest.fixture
def work(tmp_path):
    """A scratch directory that other users may enter."""
    d = tmp_path
    while d != d.parent and d.stat().st_uid == os.geteuid() and str(d) != "/tmp":
        d.chmod(0o755)
        d = d.parent
    return str(tmp_path)


@pytest.fixture
def ssh(work):
    """A real sshd on loopback for this user: (client command as a remote shell, a function that restricts the key)."""
    port = free_port()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{work}/{name}"], check=True)
    keys = os.path.join(work, "authorized_keys")
    with open(work + "/user.pub") as f:
        public = f.read()

    def restrict(command=None):
        option = f'restrict,command="{command}" ' if command else ""
        write_file(keys, (option + public).encode(), 0o600)

    restrict()
    write_file(work + "/sshd_config", f"""Port {port}
ListenAddress 127.0.0.1
HostKey {work}/host
AuthorizedKeysFile {keys}
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PermitUserEnvironment no
""".encode())
    if IS_ROOT:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    shell = (f"ssh -p {port} -i {work}/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes "
             "-o LogLevel=ERROR -o IdentitiesOnly=yes")
    with program(port, "/usr/sbin/sshd", "-D", "-e", "-f", work + "/sshd_config"):
        yield shell, restrict
