"""Records what real programs say first, on loopback.

A program runs with a home of its own in a temporary folder, as the user alice of the machine host.example.test,
so that no sample tells of the machine that it was taken on.
"""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading

SAMPLES = pathlib.Path(__file__).resolve().parent.parent
LARGEST = 8192  # bytes of a sample
QUIET = 0.3  # seconds of silence that end a flight


def environment(home):
    return {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin:/usr/lib/postgresql/15/bin:/usr/local/go/bin",
        "NODE_PATH": os.environ.get("NODE_PATH", ""), "GOCACHE": "/tmp/go-build", "GOMODCACHE": os.environ.get("GOMODCACHE", os.path.expanduser("~/go/pkg/mod")),
        "HOME": home, "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home, "TMPDIR": home, "HERE": home,
        "USER": "alice", "LOGNAME": "alice", "IRCUSER": "alice", "IRCNAME": "Alice", "LANG": "C.UTF-8", "TERM": "xterm",
    }


@contextlib.contextmanager
def running(command, home, port):
    """Runs a shell command with a host name and processes of its own, and ends all of them afterwards."""
    command = command.replace("{port}", str(port)).replace("{home}", home)
    # The shell stays, as the first process there: one that changed its user would survive its parent.
    script = f"hostname host.example.test\n(\n{command}\n)\n:"
    process = subprocess.Popen(
        ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script],
        cwd=home, env=environment(home), stdin=subprocess.DEVNULL, stdout=open(home + "/out", "wb"), stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()  # and the kernel all of its namespace
        process.wait()


@contextlib.contextmanager
def folder():
    home = tempfile.mkdtemp(prefix="alice.", dir="/tmp")
    os.chmod(home, 0o755)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def until_quiet(conn, patience):
    """What arrives on a stream until nothing does for a while."""
    got = b""
    conn.settimeout(patience)
    with contextlib.suppress(TimeoutError, ConnectionError):
        while len(got) < LARGEST:
            part = conn.recv(LARGEST)
            if not part:
                break
            got += part
            conn.settimeout(QUIET)
    return got[:LARGEST]


def hear_stream(command, greeting=b"", port=0, conns=1, patience=10):
    """The first flight of a client to a listener that greets it, or is silent; that of its last connection of several."""
    with folder() as home, socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(patience)
        with running(command, home, listener.getsockname()[1]):
            got = b""
            for _ in range(conns):
                try:
                    conn, _ = listener.accept()
                except TimeoutError:
                    break
                with conn, contextlib.suppress(ConnectionError):
                    conn.sendall(greeting)
                    got = until_quiet(conn, patience)
        return got or say(home)


def hear_datagram(command, port=0, patience=10):
    """The first datagram that a client sends."""
    with folder() as home, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", port))
        listener.settimeout(patience)
        with running(command, home, listener.getsockname()[1]):
            try:
                return listener.recv(65536)
            except TimeoutError:
                return say(home)


def hear_banner(command, patience=20, pause=QUIET):
    """What a server says to somebody who is silent."""
    with folder() as home:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        with running(command, home, port) as process:
            waiting = threading.Event()
            for _ in range(int(patience / 0.1)):
                try:
                    with socket.create_connection(("127.0.0.1", port), 1) as conn:
                        got = until_quiet(conn, 5)
                    if got:
                        return got
                except ConnectionError:
                    pass
                if process.poll() is not None:
                    break
                waiting.wait(0.1)
        return say(home)


def say(home):
    """Nothing came: what the program printed instead."""
    with open(home + "/out", "rb") as out:
        print("   ", out.read()[-300:].decode(errors="replace").strip().replace("\n", "\n    "))
    return b""


def version(package):
    """The version that is installed of a package of Debian, or npm:NAME."""
    if package.startswith("npm:"):
        description = pathlib.Path(os.environ.get("NODE_PATH", "")) / package[4:] / "package.json"
        return json.loads(description.read_text())["version"] if description.exists() else "-"
    if "/" in package:  # a module of Go, at the version of go.mod
        return "go.mod"
    out = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Version}", package], capture_output=True, text=True).stdout
    return out.split()[1] if out.startswith("i") else "-"


def capture(kind, samples, wanted, hear):
    """Takes the samples of the table that are wanted (all, or those whose folder/name begins so)."""
    for s in samples:
        name = f"{s.protocol}/{s.name}"
        if wanted and not any(name.startswith(w) for w in wanted):
            continue
        installed = version(s.package)
        got = hear(s) if installed != "-" else b""
        print(f"{kind}/{name}: {len(got)} bytes; {s.package} {installed}; {got[:50]!r}", flush=True)
        if got:
            path = SAMPLES / kind / s.protocol / f"{s.name}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(got)
