"""The package's life in a booted container, step by step; what fails first ends it.

    suite.py TREE WORK

`run` starts it in a network namespace and with mounts of its own. TREE is a Debian, WORK has the packages.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

SCENARIOS = Path(__file__).resolve().parents[1] / "interop/scenarios"
PBX, AGENT, DESK, HERE = "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.20"
API = "http://127.0.0.1:8060"
REFERRED, JOINED = 16, 4
STATE = "/var/lib/baton"
UNIT = "baton.service"


def sh(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


def wait(what, condition, within=20.0):
    end = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(0.05)
    return found


# ---- The container ---------------------------------------------------------------------------------------------------


class NoBoot(Exception):
    """It cannot be booted here."""


class Container:
    """A Debian that is booted on an overlay of `tree`, with the network of this process."""

    def __init__(self, tree, work):
        # nspawn keeps files there, and will not have them on a disk.
        sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
        self.root, self.log = work / "root", work / "nspawn.log"
        for name in ("upper", "under", "root"):
            (work / name).mkdir()
        layers = f"lowerdir={tree},upperdir={work}/upper,workdir={work}/under"
        sh("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))
        # It keeps packages from starting what they bring.
        (self.root / "usr/sbin/policy-rc.d").unlink()
        (self.root / "etc/systemd/system/asterisk.service").symlink_to("/dev/null")
        (self.root / "packages").mkdir()
        for package in (work / "packages").glob("*.deb"):
            (self.root / "packages" / package.name).write_bytes(package.read_bytes())
        # systemd 258 and later know one hierarchy of control groups only.
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        command = ["systemd-nspawn", "--boot", "--directory", str(self.root), "--machine", "baton-test"]
        command += ["--register=no", "--keep-unit", "--console=read-only", "--resolv-conf=off", "--timezone=off"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log.open("w"), stderr=subprocess.STDOUT, env=environment
        )
        self.leader = self._booted()

    def _booted(self):
        """The process id of its init, once it is up."""

        def up():
            if self.process.poll() is not None:
                raise NoBoot(self.log.read_text(errors="replace")[-2000:])
            children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
            self.leader = children.stdout.strip()
            return self.leader and self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")

        try:
            wait("the container is up", up, within=30.0)
        except AssertionError as error:
            raise NoBoot(f"{error}\n{self.log.read_text(errors='replace')[-2000:]}") from error
        return self.leader

    def run(self, *command, check=True, said=None):
        """What a command in it says on standard output, and with `check` that it succeeds."""
        done = self.tried(*command, said=said)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def tried(self, *command, said=None):
        inside = ["nsenter", "--target", self.leader, "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--wd=/", "--"]
        return subprocess.run(
            [*inside, *command], capture_output=True, text=True, check=False, timeout=120, input=said or ""
        )

    def unit(self, key):
        return self.run("systemctl", "show", "--value", "-p", key, UNIT).strip()

    def write(self, path, text):
        """As root does it: a new file under the old name."""
        put = 'cat >"$1.by-root" && chmod 644 "$1.by-root" && mv "$1.by-root" "$1"'
        self.run("sh", "-c", put, "sh", path, said=text)

    def read(self, path):
        return self.run("cat", path)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# ---- Its peers -------------------------------------------------------------------------------------------------------


def scenario(name):
    """A scenario of the other tests as SIPp reads it: `<play part="…"/>` is what it has in common with others."""

    def part(element):
        given = dict(re.findall(r"""(\w+)=["']([^"']*)["']""", element.group(1)))
        lines = (SCENARIOS / "parts" / f"{given.pop('part')}.xml").read_text().splitlines()[1:]

        def fill(place):
            return given.get(place.group(1), place.group(2) or "")

        filled = [re.sub(r"\{(\w+)(?::([^}]*))?\}", fill, line) for line in lines]
        # A line that is empty for want of a value goes: it would end a message's headers.
        return expand("\n".join(new for old, new in zip(lines, filled) if new.strip() or not old.strip()))

    def expand(text):
        return re.sub(r"(?m)^ *<play (.*?)/>", part, text)

    return expand((SCENARIOS / f"{name}.xml").read_text())


class Sipp:
    """One SIPp, for `calls` calls."""

    def __init__(self, work, name, at, port, audio, calls, towards=None):
        self.name, self.folder = name, work / f"{name}-{port}"
        self.folder.mkdir()
        (self.folder / "scenario.xml").write_text(scenario(name))
        command = ["sipp", "-sf", "scenario.xml", "-i", at, "-p", str(port), "-m", str(calls), "-l", str(calls)]
        command += ["-key", "contact", f"peer@{at}:{port}", "-key", "audio", str(audio), "-key", "sipfrag", "200 OK"]
        command += ["-nostdin", "-trace_err", "-r", str(calls), "-recv_timeout", "90000", "-timeout", "100"]
        command += ["-s", "+14155550100", towards] if towards else []
        log = (self.folder / "log").open("w")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder
        )

    def ended(self, within=60):
        code = self.process.wait(within)
        errors = "".join(file.read_text(errors="replace")[:2000] for file in self.folder.glob("*errors.log"))
        assert code == 0, f"SIPp {self.name} ended with {code}\n{errors}"


def options():
    """What Baton says to OPTIONS of the PBX: the whole response, empty for none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((PBX, 0))
        peer.settimeout(0.5)
        at = f"{PBX}:{peer.getsockname()[1]}"
        tag = os.urandom(6).hex()
        lines = (
            f"OPTIONS sip:{HERE} SIP/2.0",
            f"Via: SIP/2.0/UDP {at};branch=z9hG4bK{tag};rport",
            "Max-Forwards: 70",
            f"From: <sip:pbx@{at}>;tag={tag}",
            f"To: <sip:{HERE}>",
            f"Call-ID: {tag}@{PBX}",
            "CSeq: 1 OPTIONS",
            "Content-Length: 0",
        )
        peer.sendto("".join(f"{line}\r\n" for line in (*lines, "")).encode(), (HERE, 5060))
        try:
            return peer.recv(65535).decode()
        except OSError:
            return ""


def readyz():
    try:
        with urllib.request.urlopen(f"{API}/readyz", timeout=1) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


class Api:
    """The API, with the token that the daemon has made for itself."""

    def __init__(self, container):
        self.token = container.read(f"{STATE}/http-token").strip()

    def __call__(self, method, path, body=None, **headers):
        request = urllib.request.Request(API + path, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=30) as answer:
            return json.loads(answer.read() or b"null"), answer.headers


# ---- The steps -------------------------------------------------------------------------------------------------------


def install(box):
    """Installed, it is enabled and waits for its configuration."""
    said = box.run("dpkg", "-i", "/packages/baton_0.1.0-1.deb")
    assert "not configured yet" in said, said
    assert box.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    assert (box.unit("ActiveState"), box.unit("Result")) == ("inactive", "success"), "it is neither up nor failed"
    assert box.tried("baton", "calls").returncode == 78, "there is no configuration"
    assert ".debug_info" not in sh("readelf", "-SW", str(box.root / "usr/bin/baton")), "it is stripped"
    for file in ("/etc/baton/schema/baton.json", "/usr/share/doc/baton/copyright"):
        box.run("test", "-s", file)


def configure(box):
    """`baton init` makes what `check --strict` accepts, and the unit runs it as a user of its own."""
    answers = ["--pbx", f"{PBX}:5070", "--agent", f"sip:agent@{AGENT}:5080", "--numbers", "*"]
    answers += ["--destination", "100", "--listen", f"{HERE}:5060"]
    box.run("baton", "init", *answers)
    assert box.tried("baton", "init", *answers).returncode == 6, "it is there already"
    box.run("baton", "check", "--strict")
    box.run("systemctl", "start", UNIT)
    status, said = readyz()
    assert status == 200 and "degraded" not in said, f"/readyz: {status} {said}"
    uid = Path("/proc", main_pid(box), "status").read_text().split("Uid:")[1].split()[0]
    assert uid != "0", "root runs it"
    fence = (box.unit("MemoryMax"), box.unit("TasksMax"))
    assert fence == (str(3 << 30), "1024"), fence
    owner = box.run("stat", "-L", "-c", "%u %a", STATE).split()
    assert owner == [uid, "700"], owner


def main_pid(box):
    """Its process id out here."""
    inside = box.unit("MainPID")
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            numbers = re.search(r"^NSpid:(.*)$", status.read_text(), re.M)
        except OSError:
            continue
        if numbers and numbers.group(1).split()[1:] == [inside]:
            return status.parent.name
    raise AssertionError(f"no process is {inside} in the container")


def change(box):
    """Promote, rollback and edit, of tables that root has put where systemd/README.md says."""
    sandbox = box.read(f"{STATE}/destinations.sandbox.toml")
    box.write(f"{STATE}/destinations.sandbox.toml", sandbox.replace('"Front desk"', '"Reception"'))
    wait("the sandbox has it", lambda: "Reception" in box.run("baton", "diff", "--to", "sandbox"))
    before = version(box)
    box.run("baton", "promote", "--from", "sandbox", "-m", "a better name")
    assert "Reception" in box.read(f"{STATE}/destinations.toml")
    box.run("baton", "rollback", "-m", "the old one")
    assert "Front desk" in box.read(f"{STATE}/destinations.toml")
    # Root's own file is replaced as well.
    assert box.run("stat", "-c", "%u", f"{STATE}/destinations.sandbox.toml").strip() == "0"
    box.run("baton", "rollback", "--env", "sandbox", "-m", "as it was")
    desk = "/v1/environments/production/destinations/desk"
    Api(box)("PUT", desk, {"method": "invite", "route": f"sip:desk@{DESK}:5090"}, If_None_Match="*")
    assert f"sip:desk@{DESK}:5090" in box.read(f"{STATE}/destinations.toml")
    assert version(box) == before + 3
    box.run("baton", "check", "--strict")


def version(box):
    return json.loads(box.run("baton", "versions", "--json"))["data"][0]["version"]


def journal(box):
    """Each line of the journal has the priority of its level."""
    table = box.read(f"{STATE}/destinations.toml")
    box.write(f"{STATE}/destinations.toml", "default = ")
    read = ("journalctl", "-u", UNIT, "-o", "cat")
    wait("the fault is in the journal", lambda: "config.error" in box.run(*read, "-p", "4"))
    assert "degraded" in readyz()[1], "a fault is seen"
    assert "serve.ready" in box.run(*read) and "serve.ready" not in box.run(*read, "-p", "4")
    box.write(f"{STATE}/destinations.toml", table)
    wait("the table is in force again", lambda: "degraded" not in readyz()[1])


def upgrade(box, work):
    """An upgrade while calls are up: no new ones, those with an agent are handed to its fallback, and the rest ends."""
    api = Api(box)
    peers = [
        Sipp(work, "callee_answers", AGENT, 5080, 41000, REFERRED + JOINED),
        Sipp(work, "callee_answers", DESK, 5090, 50000, JOINED),
        Sipp(work, "caller_is_joined", PBX, 5071, 40000, JOINED, HERE),
    ]
    live = lambda: [call["id"] for call in api("GET", "/v1/calls?limit=100")[0]["data"] if call["state"] == "talking"]
    joined = wait("the first calls are up", lambda: len(found := live()) == JOINED and found)
    for call in joined:
        box.run("baton", "handoff", call, "desk", "--wait")
    peers.append(Sipp(work, "caller_follows_refer", PBX, 5070, 42000, REFERRED, HERE))
    wait("all calls are up", lambda: len(live()) == REFERRED + JOINED)
    assert options().startswith("SIP/2.0 200")

    before, old, began = version(box), box.unit("MainPID"), time.monotonic()
    done = []
    thread = threading.Thread(target=lambda: done.append(box.tried("dpkg", "-i", "/packages/baton_0.1.0-2.deb")))
    thread.start()
    wait("it drains", lambda: readyz()[0] == 503)
    refused = options()
    assert refused.startswith("SIP/2.0 503") and "Retry-After:" in refused, refused
    thread.join(90)
    assert done and done[0].returncode == 0, done
    took = time.monotonic() - began
    for peer in peers:
        peer.ended()
    wait("it is ready again", lambda: readyz()[0] == 200)
    assert options().startswith("SIP/2.0 200")
    assert box.run("dpkg-query", "-W", "-f", "${Version}", "baton") == "0.1.0-2"
    assert box.unit("MainPID") != old and version(box) == before, "a new process with the old versions"
    records = [json.loads(line) for line in box.run("sh", "-c", f"cat {STATE}/records/*.jsonl").splitlines()]
    handed = [(h["destination"], h["state"], h["proof"]) for record in records for h in record["handoffs"]]
    assert len(records) == REFERRED + JOINED, f"{len(records)} records"
    assert handed.count(("front-desk", "succeeded", "reported")) == REFERRED, handed
    assert handed.count(("desk", "succeeded", "proven")) == JOINED, handed
    gap = silence(box)
    assert gap < 5, f"nobody answers for {gap:.1f} s"
    return f"{REFERRED} callers handed on and {JOINED} joined calls ended in {took:.0f} s, nobody there for {gap:.1f} s"


def silence(box):
    """How long there was no process between the last stop and the last start, in seconds."""
    lines = box.run("journalctl", "-u", UNIT, "-o", "json").splitlines()
    entries = [(json.loads(line)["MESSAGE"], int(json.loads(line)["__REALTIME_TIMESTAMP"])) for line in lines]
    stopped, ready = (max(at for said, at in entries if word in said) for word in ("serve.stopped", "serve.ready"))
    return (ready - stopped) / 1e6


def broken(box):
    """A faulty configuration ends it with 78, and it is not started again and again."""
    good = box.read("/etc/baton/baton.toml")
    box.write("/etc/baton/baton.toml", good.replace("[trunk.pbx]", "[trunk.pbx]\nadress = 1"))
    assert box.tried("systemctl", "restart", UNIT).returncode != 0
    wait("it has failed", lambda: box.unit("ActiveState") == "failed")
    time.sleep(2.5)  # RestartSec is 1 s: nothing is to happen in that time, so there is nothing to wait for.
    found = {key: box.unit(key) for key in ("ActiveState", "ExecMainStatus", "NRestarts")}
    assert found == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}, found
    said = box.run("journalctl", "-u", UNIT, "-o", "cat", "-p", "3")
    assert "`adress`" in said, said
    box.write("/etc/baton/baton.toml", good)
    box.run("systemctl", "restart", UNIT)
    assert readyz()[0] == 200


def remove(box):
    """What the package brought goes, and what Baton or somebody else has made stays."""
    box.run("dpkg", "-r", "baton")
    assert readyz()[0] == 0
    box.run("test", "!", "-e", "/usr/bin/baton")
    for file in ("/etc/baton/baton.toml", f"{STATE}/versions.redb"):
        box.run("test", "-s", file)


def main():
    tree, work = map(Path, sys.argv[1:])
    sh("ip", "link", "set", "lo", "up")
    for address in (PBX, AGENT, DESK, HERE):
        sh("ip", "address", "add", f"{address}/32", "dev", "lo")
    try:
        box = Container(tree, work)
    except (NoBoot, subprocess.CalledProcessError) as error:
        print(f"NOT RUN: no container can be booted here: {error} {getattr(error, 'stderr', '')}", file=sys.stderr)
        sys.exit(77)
    steps = [install, configure, change, journal, lambda box: upgrade(box, work), broken, remove]
    names = ["install", "configure", "change", "journal", "upgrade", "broken", "remove"]
    try:
        for name, step in zip(names, steps):
            began = time.monotonic()
            note = step(box) or ""
            print(f"ok      {name:10} {time.monotonic() - began:5.1f} s  {note}", flush=True)
    except Exception as error:
        print(f"FAILED  {name}: {type(error).__name__}: {error}")
        print(box.tried("journalctl", "-u", UNIT, "-o", "cat", "-n", "40").stdout)
        sys.exit(1)
    finally:
        box.stop()


main()
