"""How the cases go: who does what, in which order. Each story gets the case's `Scene` and leaves in it what it saw."""

import asyncio
import re
import time

from phones import Missed, until

# ---- A decision, and its end -----------------------------------------------------------------------------------------


async def hand_over(scene):
    """The caller talks with the agent; a decision; its end."""
    await scene.connected()
    await scene.handed_over()
    await scene.settled()


def hand_over_and_wait(seconds):
    """The same, and looks at the caller later: what Asterisk does to them takes its time."""

    async def story(scene):
        await scene.connected()
        await scene.handed_over()
        await asyncio.sleep(seconds)
        await scene.settled()

    return story


async def account_is_shown(scene):
    """The headers of the handoff reach the dial plan, which shows one of them on the desk's phone."""
    await hand_over(scene)
    shown = scene.desk.calls[-1].header("From") if scene.desk.calls else "no call"
    if "Account 4711" not in shown:
        scene.fault(f"the desk's phone shows {shown}, not the account")


async def nobody_else_rings(scene):
    """No step follows for a caller who is gone."""
    await hand_over(scene)
    rung = len(scene.desk.calls) - 1 + len(scene.mobile.calls)
    if rung:
        scene.fault(f"{rung} more phones rang for nobody")


async def brief(scene):
    """The agent speaks with the desk while the caller waits, and completes it by hanging up."""
    await scene.connected()
    decision = scene.decide()
    desk = await scene.desk.called()
    await until("agent and desk hear each other", lambda: scene.talk(scene.agent_call, desk))
    ann = scene.ann_call
    await until("the caller hears nobody", lambda: not ann.hears(desk) and not ann.hears(scene.agent_call), 1)
    scene.agent_call.hang_up()
    await scene.ended(decision)
    await scene.settled()


async def redirect(scene):
    """The decision comes while the agent rings; Asterisk follows the 302."""
    scene.dial()
    await scene.agent_is_called()
    await scene.handed_over()
    await scene.settled()


# ---- The caller hangs up ---------------------------------------------------------------------------------------------


async def caller_leaves_before_the_agent(scene):
    scene.dial()
    await scene.agent_is_called()
    await asyncio.sleep(0.3)
    scene.ann_call.hang_up()
    await until("the agent's phone stops ringing", lambda: scene.agent_call.gone)


async def caller_leaves_the_agent(scene):
    await scene.connected()
    scene.ann_call.hang_up()
    await until("the agent is told", lambda: scene.agent_call.gone)


async def caller_leaves_at_once(scene):
    await scene.connected()
    decision = scene.decide()
    await asyncio.sleep(0.01)
    scene.ann_call.hang_up()
    await scene.ended(decision)
    await scene.settled()


async def caller_leaves_when_the_desk_rings(scene):
    await scene.connected()
    decision = scene.decide()
    await scene.desk.called()
    await asyncio.sleep(0.3)
    scene.ann_call.hang_up()
    await scene.ended(decision)
    await scene.settled()


async def caller_leaves_when_the_desk_answers(scene):
    await scene.connected()
    decision = scene.decide()
    desk = await scene.desk.called()
    await until("the desk answers", lambda: desk.answered_at)
    scene.ann_call.hang_up()
    await scene.ended(decision)
    await scene.settled()


# ---- After a bridge --------------------------------------------------------------------------------------------------


def hold(who):
    """One side holds, and takes the call back."""

    async def story(scene):
        await hand_over(scene)
        desk = scene.desk.calls[-1]
        holder, held = (scene.ann_call, desk) if who == "ann" else (desk, scene.ann_call)
        holder.hold()
        await until("the held side hears nobody", lambda: not held.hears(holder) and not holder.hears(held))
        await asyncio.sleep(0.5)
        holder.unhold()
        await until("both hear each other after the hold", lambda: scene.talk(holder, held))

    return story


async def glare(scene):
    """Both sides hold in the same moment, so that their re-INVITEs meet in Baton."""
    await hand_over(scene)
    desk = scene.desk.calls[-1]
    for _ in range(2):
        scene.ann_call.hold()
        desk.hold()
        await until("nobody hears anybody", lambda: not scene.ann_call.hears(desk) and not desk.hears(scene.ann_call))
        await asyncio.sleep(2.5)
        scene.ann_call.unhold()
        desk.unhold()
        await until("both hear each other after the hold", lambda: scene.talk(scene.ann_call, desk), 8)
    scene.note(f"{scene.baton_log.read_text().count('status=491')} times 491")


async def refreshed(scene):
    """The session outlives two thirds of its 90 s, when a side that was not refreshed ends it (RFC 4028 section 10)."""
    await hand_over(scene)
    await asyncio.sleep(65)
    log = scene.asterisk_log.read_text(errors="replace")
    refreshes = len(re.findall(r"^(?:UPDATE|INVITE) sip:.*\n(?:\S.*\n)*?CSeq: \d+ UPDATE", log, re.MULTILINE))
    scene.note(f"{refreshes} UPDATEs")
    if not refreshes:
        scene.fault("no UPDATE refreshed it")


async def asterisk_dies(scene):
    """Its silence is noticed: Baton asks it every second, and it has answered."""
    await scene.connected()
    await asyncio.sleep(2.5)
    scene.kill_asterisk()
    killed = time.monotonic()
    await until("the agent is told", lambda: scene.agent_call.gone, 80)
    scene.note(f"the agent is told after {time.monotonic() - killed:.0f} s")


# ---- Many ------------------------------------------------------------------------------------------------------------


CROWD = 100
CROWD_RATE = 10  # transfers a second
CROWD_PARTS = 25  # processes that play it, each one transfer at a time


async def crowd(scene):
    """This process's part of many transfers: nobody is lost."""
    start = time.monotonic() + int(scene.number) % CROWD_PARTS / CROWD_RATE
    for turn in range(CROWD // CROWD_PARTS):
        await asyncio.sleep(max(0, start + turn * CROWD_PARTS / CROWD_RATE - time.monotonic()))
        scene.handoff = None
        try:
            try:
                await scene.connected()
            except Missed as missed:  # before anything was decided: once more
                scene.note(str(missed))
                await scene.over()
                await scene.connected()
            await scene.handed_over()
            await scene.settled()
        except Missed as missed:
            scene.fault(str(missed))
        scene.crowd.append((scene.handoff, scene.where()))
        await scene.over()
    scene.note(f"{len(scene.crowd)} in {time.monotonic() - start:.1f} s")
