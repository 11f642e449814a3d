"""Plays one case in a process of its own: its phones, its story, and what came of it, as JSON on standard output.

    case.py NUMBER FOLDER

The folder is the suite's; the houses' addresses and tokens are read from its `houses.json`.
"""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

import pjsua2 as pj

from cases import CASES, FIRST_NUMBER
from house import Api
from judge import judge, within
from phones import Missed, Phone, Stack, until

SETTLE = 0.8  # seconds from the end of a handoff until it is looked at who hears whom
LATE = 3  # seconds more, for a machine that is busy
TONES = (300, 800, 1300, 1800)  # Hz, of ann, the agent, the desk and the mobile; multiples of 50


class Scene:
    """The phones of a case, its Baton, and what was seen."""

    def __init__(self, number, folder):
        self.case = CASES[int(number) - FIRST_NUMBER]
        self.number = number
        house = json.loads(Path(folder, "houses.json").read_text())[self.case.house]
        self.asterisk, self.asterisk_pid = house["asterisk"], house["asterisk_pid"]
        self.asterisk_log, self.baton_log = Path(house["asterisk_log"]), Path(house["folder"], "baton.log")
        self.api = Api(house["folder"], house["url"])
        self.stack = Stack(Path(folder, f"case-{number}.sip"))
        place = f"10.1.{number}"
        ann, agent, desk, mobile = (tone + 50 * (int(number) % 10) for tone in TONES)  # the next case has others
        self.ann = Phone(self.stack, "ann", f"10{number}", f"{place}.1", ann)
        self.agent = Phone(self.stack, "agent", f"80{number}", f"{place}.2", agent, self.case.agent)
        self.desk = Phone(self.stack, "desk", f"20{number}", f"{place}.3", desk, self.case.desk)
        self.mobile = Phone(self.stack, "mobile", f"21{number}", f"{place}.4", mobile, self.case.mobile)
        self.ann_call = self.agent_call = None
        self.call_id = None  # Baton's
        self.handoff = None  # as the API tells it in the end
        self.faults, self.notes = [], []
        self.crowd = []  # of a story with many callers: the handoff, and where the caller was

    # ---- What a story does ----

    def dial(self):
        self.ann_call = self.ann.dial(f"sip:{self.case.dials}{self.number}@{self.asterisk}")

    async def agent_is_called(self):
        self.agent_call = await self.agent.called()
        self.call_id = self.agent_call.header("X-Baton-Call-ID")

    async def connected(self):
        """The caller and the agent talk."""
        self.dial()
        await self.agent_is_called()
        await until("caller and agent hear each other", lambda: self.talk(self.ann_call, self.agent_call))

    def decide(self):
        """Asks Baton for the handoff; gives back what awaits its end."""
        return asyncio.ensure_future(asyncio.to_thread(self._decision, self.call_id, "4711"))

    def _decision(self, call_id, account):
        body = {"destination": f"case-{self.number}", "variables": {"account": account}}
        return self.api.request("POST", f"/v1/calls/{call_id}/handoff?wait=25s", body)

    async def ended(self, decision):
        status, answer = await decision
        if status == 200:
            self.handoff = answer
        elif answer.get("code") not in ("call_ending", "call_ended"):  # a caller who leaves may be faster
            self.fault(f"the handoff did not end: HTTP {status} {answer}")

    async def handed_over(self):
        await self.ended(self.decide())

    async def settled(self):
        """Waits until what Asterisk still does to the caller is done, and for the phones' media, where that is late."""
        await asyncio.sleep(SETTLE)
        with contextlib.suppress(Missed):  # `judge` says where they are
            await until("", lambda: within(self.where(), self.case.expect.caller), LATE)

    def kill_asterisk(self):
        os.kill(self.asterisk_pid, 9)

    def fault(self, text):
        self.faults.append(text)

    def note(self, text):
        self.notes.append(text)

    # ---- What is true ----

    @staticmethod
    def talk(one, other):
        return one.hears(other) and other.hears(one)

    def where(self):
        """Where the caller is: with whom they talk, told by what is heard."""
        caller = self.ann_call
        if caller is None:
            return None
        if caller.gone:
            return "left" if caller.left else "gone"
        calls = [call for phone in (self.agent, self.desk, self.mobile) for call in phone.calls if call.up]
        for call in calls:
            if self.talk(caller, call):
                return f"with {call.phone.name}"
        for call in calls:
            if caller.hears(call):
                return f"hears {call.phone.name}, unheard"
            if call.hears(caller):
                return f"heard by {call.phone.name}, deaf"
        return "alone"

    def gap(self):
        """Milliseconds without anybody's voice for the caller, between the agent and who came next."""
        if not (self.ann_call and self.agent_call):
            return None
        for phone in (self.desk, self.mobile):
            for call in phone.calls:
                gap = self.ann_call.gap(self.agent_call.tone, call.tone)
                if gap is not None:
                    return gap
        return None

    def seen(self):
        agent = "gone" if self.agent_call is None or self.agent_call.gone else "up"
        return {"where": self.where(), "agent": agent}

    # ---- The end ----

    async def over(self):
        """Everybody hangs up."""
        phones = (self.ann, self.agent, self.desk, self.mobile)
        for phone in phones:
            for call in phone.calls:
                call.hang_up()
        try:
            await until("all phones are on the hook", lambda: all(c.gone for p in phones for c in p.calls), 3)
        except Missed as missed:
            self.note(str(missed))
        for phone in phones:
            phone.past += phone.calls
            phone.calls.clear()


async def play(scene):
    polling = asyncio.ensure_future(scene.stack.poll())
    try:
        async with asyncio.timeout(scene.case.seconds):
            await scene.case.story(scene)
    except Missed as missed:
        scene.fault(str(missed))
    except TimeoutError:
        scene.fault(f"not over after {scene.case.seconds:g} s")
    except pj.Error as error:
        scene.fault(f"PJSUA2: {error.info()}")
    seen, gap = scene.seen(), scene.gap()
    await scene.over()
    polling.cancel()
    return {
        **seen,
        "name": scene.case.name,
        "call": scene.call_id,
        "gap": gap,
        "handoff": scene.handoff,
        "notes": scene.notes,
        **judge(scene.case.expect, scene.handoff, seen, scene.faults, scene.crowd),
    }


def main():
    number, folder = sys.argv[1:]
    result = asyncio.run(play(Scene(number, folder)))
    print(json.dumps(result), flush=True)
    os._exit(0)  # PJSUA2 cannot be taken down while Python holds its objects.


main()
