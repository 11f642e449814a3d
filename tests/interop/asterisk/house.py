"""Asterisk and Baton as processes, configured by the files in `config/receivers/asterisk` as they are shipped.

All live in one network namespace that `run` made: the addresses in those files are this namespace's own.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parents[2] / "config/receivers/asterisk"
ASTERISK = "10.0.0.10"
DOOMED_ASTERISK = "10.0.0.11"


def sh(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def add_address(address):
    sh("ip", "address", "add", f"{address}/32", "dev", "lo")


def add_host(name, address):
    """A network namespace for one host, with one address, that reaches all that are here."""
    sh("ip", "netns", "add", name)
    sh("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    sh("ip", "link", "set", name, "up")
    sh("ip", "route", "add", f"{address}/32", "dev", name)
    for command in (
        ("link", "set", "lo", "up"),
        ("link", "set", "eth0", "up"),
        ("address", "add", f"{address}/32", "dev", "eth0"),
        ("route", "add", "10.0.0.0/8", "dev", "eth0", "src", address),
    ):
        sh("ip", "-n", name, *command)


def wait(what, condition, within=20.0):
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"not within {within:g} s: {what}")
        time.sleep(0.05)


class Asterisk:
    """One Asterisk in the Debian tree of the tests' cache. Its folders are in `folder`, which the tree sees as /run."""

    def __init__(self, tree, address, phones):
        self.tree, self.address, self.name = tree, address, "pbx-" + address.rsplit(".", 1)[1]
        add_host(self.name, address)
        self.folder = Path(tree, "run", self.name)
        self.inside = f"/run/{self.name}"
        for name in ("run", "log", "spool", "db"):
            (self.folder / name).mkdir(parents=True)
        shutil.copytree(Path(tree, "etc/asterisk"), self.folder / "etc")  # Debian's own, but for what follows
        self.log_file = self.folder / "log/messages"
        self._configure(phones)
        self.process = None

    def _configure(self, phones):
        def write(name, text):
            (self.folder / "etc" / name).write_text(text.replace(ASTERISK, self.address))

        write("pjsip.conf", (SHIPPED / "pjsip.conf").read_text() + (HERE / "pjsip.conf").read_text() + phones)
        write("extensions.conf", (SHIPPED / "extensions.conf").read_text() + (HERE / "extensions.conf").read_text())
        modules = next(Path(self.tree).glob("usr/lib/*/asterisk/modules")).relative_to(self.tree)
        for file in (HERE / "asterisk").glob("*.conf"):
            text = file.read_text().replace("{FOLDER}", self.inside).replace("{MODULES}", f"/{modules}")
            write(file.name, text)

    def start(self):
        command = ["ip", "netns", "exec", self.name]
        command += ["chroot", str(self.tree), "asterisk", "-f", "-C", f"{self.inside}/etc/asterisk.conf"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def await_ready(self):
        wait(f"Asterisk at {self.address} is up", lambda: "booted" in self.ask("core waitfullybooted"))

    def ask(self, line):
        command = ["chroot", str(self.tree), "asterisk", "-C", f"{self.inside}/etc/asterisk.conf", "-rx", line]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def kill(self):
        self.process.kill()
        self.process.wait()


class Baton:
    """One Baton with its HTTP API, configured by the shipped files, what its house changes in them, and the cases'
    agents and destinations."""

    def __init__(self, binary, folder, house, agents, destinations):
        self.binary, self.folder, self.address = binary, folder, house.address
        self.url = f"http://127.0.0.1:{house.port}"
        self.folder.mkdir()
        text = (SHIPPED / "baton.toml").read_text()
        asterisk = (ASTERISK, house.asterisk)
        places = (asterisk, ("127.0.0.1:8060", f"127.0.0.1:{house.port}"), ("10.0.0.20", house.address))
        for old, new in (*house.changes, *places):
            assert old in text, f"not in the shipped baton.toml: {old}"
            text = text.replace(old, new)
        (self.folder / "baton.toml").write_text(text + agents)
        table = (SHIPPED / "destinations.toml").read_text() + destinations
        (self.folder / "destinations.toml").write_text(table.replace(*asterisk))
        self.log_file = self.folder / "baton.log"
        self.process = None

    def start(self):
        config = str(self.folder / "baton.toml")
        environment = {**os.environ, "PBX_PASSWORD": "s3cret"}
        environment.pop("BATON_TOKEN", None)
        checked = subprocess.run(
            [self.binary, "check", "--config", config], capture_output=True, text=True, env=environment, check=False
        )
        if checked.returncode != 0:
            raise SystemExit(checked.stdout + checked.stderr)
        self.process = subprocess.Popen(
            [self.binary, "serve", "--config", config],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.log_file.open("w"),
            env=environment,
        )

    def await_ready(self):
        wait(f"Baton at {self.address} is ready", self._ready)

    def _ready(self):
        if self.process.poll() is not None:
            raise SystemExit(f"Baton ended: {self.log()}")
        try:
            return urllib.request.urlopen(f"{self.url}/readyz", timeout=1).status == 200
        except OSError:
            return False

    def stop(self):
        """Ends it by SIGTERM; gives back what was not as it should be."""
        api = Api(self.folder, self.url)
        end = time.monotonic() + 35  # a phone that is gone answers no BYE, which ends after 32 s
        while (calls := api.get("/v1/calls")["data"]) and time.monotonic() < end:
            time.sleep(0.05)
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "none within 45 s"
        faults = [f"a call was left: {call['id']}" for call in calls]
        if code != 0:
            faults.append(f"exit code {code}")
        faults += [line for line in self.log().splitlines() if "panic" in line]
        return [f"Baton at {self.address}: {fault}" for fault in faults]

    def log(self):
        return self.log_file.read_text(errors="replace")


class Api:
    """Baton's HTTP API, as a case uses it."""

    def __init__(self, folder, url):
        self.url = url
        self.token = Path(folder, "state/http-token").read_text().strip()

    def request(self, method, path, body=None):
        """Status and body; a status of Baton is an answer, not an error."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def get(self, path):
        return self.request("GET", path)[1]
