"""Compares what Baton said with what was true.

Two things must never be: a success that was none, and a caller who is lost while Baton says otherwise.
"""

TARGETS = ("with desk", "with mobile")

# For each state that claims where the caller is: where they may truly be.
CLAIMS = {
    "succeeded": (*TARGETS, "left"),
    "returned": ("with agent", "left"),
    "cancelled": ("with agent", "left"),
    "abandoned": ("left",),
}


def false_success(state, where):
    return state == "succeeded" and where not in CLAIMS["succeeded"]


def lost_silently(state, where):
    """The caller talks with nobody, and Baton says that they do, or that they left."""
    return state != "succeeded" and state in CLAIMS and where not in (*CLAIMS[state], *TARGETS)


def within(value, expected):
    """Whether a value is the expected one, or one of those."""
    return value in expected if isinstance(expected, tuple) else value == expected


def judge(expect, handoff, seen, faults, crowd):
    """The case's faults, and how often each of the two happened. `crowd`: (handoff, where) of each of many callers."""
    if crowd:
        outcomes = [((handoff or {}).get("state"), where) for handoff, where in crowd]
        arrived = [("succeeded", "with desk"), ("unknown", "with desk")]
        lost = [outcome for outcome in outcomes if outcome not in arrived]
        faults = [*faults, *(f"{where}, told as {state}" for state, where in lost)]
    else:
        outcomes = [((handoff or {}).get("state"), seen["where"])]
        faults = [*faults, *differences(expect, handoff or {}, seen)]
    return {
        "faults": faults,
        "crowd": len(crowd),
        "unproven": sum(state == "unknown" for state, _ in outcomes) if crowd else 0,
        "false_successes": sum(false_success(*outcome) for outcome in outcomes),
        "lost_silently": sum(lost_silently(*outcome) for outcome in outcomes),
    }


def differences(expect, handoff, seen):
    """What is otherwise than expected."""
    found = {
        "state": handoff.get("state"),
        "proof": handoff.get("proof"),
        "cause": handoff.get("cause"),
        "caller": seen["where"],
        "agent": seen["agent"],
    }
    for name, value in found.items():
        if not within(value, getattr(expect, name)):
            yield f"{name}: {value}, not {getattr(expect, name)}"
    if expect.unknown_after and handoff.get("state") == "unknown":
        told = handoff["attempts"][-1]["final_status"]
        if told != expect.unknown_after:
            yield f"unknown after a NOTIFY of {told}, not of {expect.unknown_after}"
