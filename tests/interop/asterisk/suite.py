"""Runs the cases beside one Asterisk, side by side, and says of each what Baton said and what was true.

    suite.py BATON TREE PYTHON [PART OF A CASE'S NAME]...

`run` starts it in a network namespace and with mounts of its own.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cases import CASES, CROWD, FIRST_NUMBER, SLOW
from house import ASTERISK, DOOMED_ASTERISK, Asterisk, Baton, add_address, sh

HERE = Path(__file__).resolve().parent
AT_A_TIME = 8  # cases; each is a process with up to four phones
UNPROVEN = 0.05  # of a crowd: Baton waits 2 s for the BYE that proves it, and a machine may be busier than that
CROWDS = 10 if os.environ.get("BATON_LONG") == "1" else 1  # how often the crowd comes


@dataclass(frozen=True)
class House:
    """One Baton: where it is, beside which Asterisk, and what is changed in the shipped baton.toml."""

    address: str
    port: int  # of its API
    asterisk: str = ASTERISK
    changes: tuple = ()


HOUSES = {
    "plain": House("10.0.0.20", 8060),
    "strict": House(
        "10.0.0.21",
        8061,
        changes=(
            ("# auth = { username", "auth = { username"),
            ('address = "sip:10.0.0.10:5060"', 'address = "sip:10.0.0.10:5060;transport=tcp"'),
            ("\n[http]", 'session_timer = { expires = "90s", min_se = "90s" }\n\n[http]'),
        ),
    ),
    "direct": House("10.0.0.22", 8062),
    "doomed": House(
        "10.0.0.23",
        8063,
        DOOMED_ASTERISK,
        changes=(('profile = "asterisk"', 'profile = "asterisk"\nkeepalive = "1s"'),),
    ),
}


# ---- The cases' parts of the configuration ---------------------------------------------------------------------------


def numbered(house):
    """The cases of a house, each with its two digits."""
    return [(FIRST_NUMBER + index, case) for index, case in enumerate(CASES) if case.house == house]


def phones_at(asterisk):
    """The endpoints of the cases' phones, for pjsip.conf."""
    text = ""
    for house in HOUSES:
        for number, case in numbered(house) if HOUSES[house].asterisk == asterisk else ():
            for name, host, lines in (
                (f"10{number}", 1, f"({case.phone})\ncontext={case.context}"),
                (f"20{number}", 3, f"({case.phone})"),
                (f"21{number}", 4, "(phone)"),
            ):
                text += f"[{name}]{lines}\naors={name}\n"
                text += f"[{name}]\ntype=aor\ncontact=sip:{name}@10.1.{number}.{host}:5060\n"
    return text


def agents_of(house):
    """The cases' agents, for baton.toml."""
    return "".join(
        f'\n[agent.case-{number}]\naddress = "sip:80{number}@10.1.{number}.2:5060"\n'
        f'numbers = ["80{number}", "81{number}"]\nenvironment = "production"\n'
        for number, _ in numbered(house)
    )


def destinations_of(house):
    return "".join(case.destinations(str(number)) for number, case in numbered(house))


# ---- The run ---------------------------------------------------------------------------------------------------------


class Suite:
    """The servers, and a folder for all that is written."""

    def __init__(self, binary, tree, python):
        self.python = python
        self.folder = Path(tempfile.mkdtemp(prefix="baton-asterisk-"))
        self._make_network()
        self.asterisks = {at: Asterisk(tree, at, phones_at(at)) for at in (ASTERISK, DOOMED_ASTERISK)}
        self.batons = {
            name: Baton(binary, self.folder / name, house, agents_of(name), destinations_of(name))
            for name, house in HOUSES.items()
        }

    @staticmethod
    def _make_network():
        sh("ip", "link", "set", "lo", "up")
        for house in HOUSES.values():
            add_address(house.address)
        for index in range(len(CASES)):
            for host in range(1, 5):
                add_address(f"10.1.{FIRST_NUMBER + index}.{host}")

    def start(self):
        servers = [*self.asterisks.values(), *self.batons.values()]
        for server in servers:
            server.start()
        for server in servers:
            server.await_ready()
        self.asterisks[ASTERISK].ask(
            f"pjsip set logger host {HOUSES['strict'].address}"
        )  # `stories.refreshed` reads it
        houses = {
            name: {
                "folder": str(self.folder / name),
                "url": self.batons[name].url,
                "asterisk": house.asterisk,
                "asterisk_pid": self.asterisks[house.asterisk].process.pid,
                "asterisk_log": str(self.asterisks[house.asterisk].log_file),
            }
            for name, house in HOUSES.items()
        }
        (self.folder / "houses.json").write_text(json.dumps(houses))

    def play_all(self, cases):
        """The reports of all cases: the slow ones beside all others, the crowd after them."""
        crowd = [case for case in cases if case in CROWD]
        slow = [case for case in cases if case in SLOW]
        others = [case for case in cases if case not in (*crowd, *slow)]
        with ThreadPoolExecutor(len(SLOW)) as aside:
            slow = aside.map(self.play, slow)
            with ThreadPoolExecutor(AT_A_TIME) as pool:
                reports = list(pool.map(self.play, others))
            for _ in range(CROWDS):
                with ThreadPoolExecutor(len(CROWD)) as pool:
                    reports += pool.map(self.play, crowd)
            return [*reports, *slow]

    def play(self, case):
        """One case, and its report, which is printed."""
        number = str(FIRST_NUMBER + CASES.index(case))
        command = [self.python, HERE / "case.py", number, self.folder]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=case.seconds + 30)
            if ran.returncode == -signal.SIGABRT:
                print(f"PJSUA2 gave up, the case is played again: {number} {ran.stderr.splitlines()[-1:]}", flush=True)
                ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=case.seconds + 30)
            report = json.loads(ran.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            report = {"faults": [f"its phones ended: {' | '.join(ran.stderr.splitlines()[-3:])}"]}
        except subprocess.TimeoutExpired:
            report = {"faults": ["its phones hang"]}
        if case not in CROWD or report["faults"]:
            self.tell(number, case, report)
        return report

    def tell(self, number, case, report):
        handoff = report.get("handoff") or {}
        told = "/".join(handoff[name] for name in ("state", "proof", "cause") if handoff.get(name)) or "-"
        notes = report.get("notes", [])
        if report.get("gap") is not None:
            notes = [f"gap {report['gap']} ms", *notes]
        verdict = "FAILED" if report["faults"] else "ok"
        lines = [f"{verdict:6} {number} {case.name:60} {told:32} {', '.join([str(report.get('where')), *notes])}"]
        lines += [f"          {fault}" for fault in report["faults"]]
        if report["faults"] and report.get("call"):
            log = self.batons[case.house].log().splitlines()
            lines += [f"          | {line}" for line in log if report["call"] in line and " INFO " not in line]
        print("\n".join(lines), flush=True)

    def stop(self, keep):
        """Ends the Batons; gives back what was not as it should be. `keep`: the logs are wanted."""
        faults = [fault for baton in self.batons.values() for fault in baton.stop()]
        if keep or faults:
            for asterisk in self.asterisks.values():
                shutil.copy(asterisk.log_file, self.folder / f"{asterisk.name}.log")
            print(f"configuration, logs and messages are in {self.folder}")
        else:
            shutil.rmtree(self.folder)
        return faults


def main():
    binary, tree, python, *parts = sys.argv[1:]
    cases = [case for case in CASES if not parts or any(part in case.name for part in parts)]
    started = time.monotonic()
    suite = Suite(binary, tree, python)
    suite.start()
    reports = suite.play_all(cases)

    failed = sum(bool(report["faults"]) for report in reports)
    crowd = sum(report.get("crowd", 0) for report in reports)
    unproven = sum(report.get("unproven", 0) for report in reports)
    false_successes = sum(report.get("false_successes", 0) for report in reports)
    lost = sum(report.get("lost_silently", 0) for report in reports)
    wrong = failed or false_successes or lost or unproven > UNPROVEN * crowd
    faults = suite.stop(keep=wrong)
    for fault in faults:
        print(f"FAILED {fault}")
    seconds = time.monotonic() - started
    print(f"\n{len(reports)} cases, with a crowd of {crowd} ({unproven} arrived unproven), in {seconds:.0f} s")
    print(f"{false_successes} false successes, {lost} callers lost silently")
    print(f"{len(reports) - failed} passed, {failed} failed")
    sys.exit(bool(wrong or faults))


main()
