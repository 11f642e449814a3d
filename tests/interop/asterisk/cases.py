"""What is tried beside Asterisk, and what must come of it: the handoff's state, proof and cause as Baton's contract has
them, and where the caller truly is then.

In every case a caller (ann) talks with the agent, a decision is made, and phones behave as said; what goes otherwise
has a story of its own in `stories`. In routes and further lines `{desk}` stands for the desk's extension, `{mobile}`
for the destination that calls the mobile, and `{number}` for the case's two digits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import stories
from phones import Answers, Refuses, Rings

FIRST_NUMBER = 10  # of the first case; the numbers before it are the shipped files' own


@dataclass(frozen=True)
class Expect:
    """What Baton says in the end, and what is true. A tuple holds alternatives."""

    state: str | tuple | None
    proof: str | tuple | None = None
    cause: str | tuple | None = None
    caller: str | tuple = "with desk"
    agent: str | tuple = ("gone", "up")  # the agent's call
    unknown_after: int | None = None  # what the last NOTIFY must have said where the state is `unknown`


@dataclass(frozen=True)
class Case:
    """One call. It is numbered by its place in `CASES`, and has extensions, addresses and a destination of its own."""

    name: str
    expect: Expect
    method: str
    route: str = "sip:{desk}@10.0.0.10"
    more: str = ""  # further lines of the destination
    desk: object = Answers()
    mobile: object = Answers()
    agent: object = Answers(after=0.1)
    house: str = "plain"  # which Baton
    context: str = "from-phone"  # where ann's calls begin
    dials: str = "80"  # with the case's two digits: the agent
    phone: str = "phone"  # the template of ann's and the desk's endpoint
    story: Callable = stories.hand_over
    limit: str = "2s"  # of everything that is waited for
    seconds: float = 30  # after which the case is given up

    def destinations(self, number):
        """The case's part of the table."""
        waits = {"refer": ("response", "outcome"), "attended": ("response", "outcome", "ring"), "invite": ("ring",)}
        limits = set(waits.get(self.method, ()))
        if '"invite"' in self.more:
            limits.add("ring")
        lines = [f"[destination.case-{number}]", f'method = "{self.method}"', self.more]
        if self.method != "bye":
            lines.append(f'route = "{self.route}"')
        if limits:
            lines.append("timeouts = { " + ", ".join(f'{name} = "{self.limit}"' for name in sorted(limits)) + " }")
        lines += [f"[destination.case-{number}.headers]", 'X-Account = "${account:-none}"']
        if "{mobile}" in self.more:
            lines += [f"[destination.mobile-{number}]", 'method = "invite"', f'route = "sip:21{number}@10.0.0.10"']
            lines.append(f'timeouts = {{ ring = "{self.limit}" }}')
        text = "\n" + "\n".join(lines) + "\n"
        for name, value in {"desk": f"20{number}", "mobile": f"mobile-{number}", "number": number}.items():
            text = text.replace("{" + name + "}", value)
        return text


# ---- What may come of it ---------------------------------------------------------------------------------------------

JOINED = Expect("succeeded", "proven", None, "with desk", agent="gone")
JOINED_WITH_MOBILE = Expect("succeeded", "proven", None, "with mobile", agent="gone")
HANDED_BACK = Expect("handed_back", "accepted", None, "with desk", agent="gone")
# Asterisk has taken the caller, and its 200 says nothing of the target.
TAKEN = Expect("unknown", "accepted", "unknown", "with desk", agent="gone")
# The same, and Asterisk hangs up on the caller later.
TAKEN_AND_HUNG_UP = Expect("unknown", "accepted", "unknown", "gone", agent="gone")
# Asterisk took the caller, says that it failed, and has hung up on them.
LOST = Expect("failed", (None, "accepted"), "lost_by_receiver", "gone", agent="gone")
# Its tone for the caller, or a phone that rings before it refuses, makes it say 200 now and then, before it says that it failed.
TAKEN_OR_LOST = Expect(
    ("failed", "unknown"), (None, "accepted"), ("lost_by_receiver", "unknown"), "gone", agent="gone", unknown_after=200
)


def returned(cause):
    """The caller is with the agent, who never left."""
    return Expect("returned", (None, "accepted"), cause, "with agent", agent="up")


def left(state, proof=None, cause=None):
    """The caller hung up."""
    return Expect(state, proof, cause, "left", agent="gone")


# ---- The cases -------------------------------------------------------------------------------------------------------

refer = partial(Case, method="refer")
invite = partial(Case, method="invite")
attended = partial(Case, method="attended")

NOWHERE = "sip:5999@10.0.0.10"
BUSY = Refuses(486)
BUSY_AT_ONCE = Refuses(486, after=0)
CLOSED = {"context": "to-closed"}  # the endpoint has allow_transfer=no
STRICT = {"house": "strict", "context": "to-strict"}  # TCP, credentials, session timers
DIRECT = {"house": "direct", "context": "to-direct"}  # re-INVITEs reach Baton
DIRECT_PHONES = DIRECT | {"phone": "direct-phone"}
MOBILE_NEXT = 'on_failure = ["{mobile}", "agent"]'
later = stories.hand_over_and_wait

BLIND = [
    refer("blind REFER, the desk answers", TAKEN, story=stories.account_is_shown),
    refer("blind REFER to a number in E.164", TAKEN, route="+1415555{desk}"),
    refer("blind REFER, the desk answers late", TAKEN, desk=Answers(after=1.5)),
    refer("blind REFER, nobody answers", TAKEN_AND_HUNG_UP, desk=Rings(), story=later(4.5)),
    refer("blind REFER, the desk is busy", TAKEN_OR_LOST, desk=BUSY_AT_ONCE),
    refer("blind REFER, the desk declines", TAKEN_OR_LOST, desk=Refuses(603, after=0)),
    refer("blind REFER, the desk rings, then is busy", TAKEN_AND_HUNG_UP, desk=BUSY),
    refer("blind REFER, the desk rings, then declines", TAKEN_AND_HUNG_UP, desk=Refuses(603)),
    refer("blind REFER to Busy()", TAKEN_OR_LOST, route="sip:3000@10.0.0.10", story=later(2.0)),
    refer("blind REFER to Congestion()", TAKEN_OR_LOST, route="sip:3001@10.0.0.10", story=later(2.0)),
    refer("blind REFER to Hangup()", LOST, route="sip:3002@10.0.0.10"),
    refer("blind REFER to an unknown queue", LOST, route="sip:3003@10.0.0.10"),
    refer("blind REFER to an unknown extension", returned("unreachable"), route=NOWHERE),
    refer(
        "blind REFER to Answer()",
        Expect("unknown", "accepted", "unknown", "alone"),
        route="sip:3004@10.0.0.10",
    ),
    refer("blind REFER where transfers are not allowed", returned("refused"), **CLOSED),
    refer("blind REFER to a tel: URI", returned("refused"), route="tel:+1415555{desk}"),
]

LEAVES = [
    refer(
        "the caller hangs up while the agent rings",
        left(None),
        agent=Rings(),
        story=stories.caller_leaves_before_the_agent,
    ),
    refer("the caller hangs up with the agent", left(None), story=stories.caller_leaves_the_agent),
    refer(
        "the caller hangs up with the REFER",
        left(
            (None, "abandoned", "unknown", "failed"),
            (None, "accepted"),
            (None, "unknown", "refused", "lost_by_receiver"),
        ),
        desk=Rings(),
        story=stories.caller_leaves_at_once,
    ),
    refer(
        "the caller hangs up while the desk rings after a REFER",
        left(("unknown", "failed"), "accepted", ("unknown", "lost_by_receiver")),
        desk=Rings(),
        story=stories.caller_leaves_when_the_desk_rings,
    ),
    invite(
        "the caller hangs up while the desk rings by INVITE",
        left("abandoned"),
        desk=Rings(),
        story=stories.caller_leaves_when_the_desk_rings,
    ),
    invite(
        "the caller hangs up as the desk answers by INVITE",
        left(("abandoned", "succeeded"), (None, "proven")),
        story=stories.caller_leaves_when_the_desk_answers,
    ),
    attended(
        "the caller hangs up while the desk rings, attended",
        left("abandoned"),
        desk=Rings(),
        story=stories.caller_leaves_when_the_desk_rings,
    ),
    attended(
        "the caller hangs up as the desk answers, attended",
        left(
            ("abandoned", "unknown", "failed", "succeeded"),
            (None, "accepted", "proven"),
            (None, "unknown", "lost_by_receiver"),
        ),
        story=stories.caller_leaves_when_the_desk_answers,
    ),
]

ATTENDED = [
    attended("attended", JOINED, story=stories.account_is_shown),
    attended("attended, the desk is busy", returned("busy"), desk=BUSY),
    attended("attended, nobody answers in time", returned("no_answer"), desk=Rings(), limit="1s"),
    attended("attended, unknown extension", returned("unreachable"), route=NOWHERE),
    attended("attended with brief", JOINED, more="brief = true", story=stories.brief),
    attended("attended, phones with direct media", JOINED, **DIRECT_PHONES),
    attended("attended where transfers are not allowed", JOINED, **CLOSED),
    attended("attended by TCP, with credentials", JOINED, **STRICT),
]

BRIDGE = [
    invite("bridge, media both ways before and after", JOINED, story=stories.account_is_shown),
    invite("bridge to a number in E.164", JOINED, route="+1415555{desk}"),
    invite("bridge, the desk is busy", returned("busy"), desk=BUSY),
    invite("bridge, the desk declines", returned("busy"), desk=Refuses(603)),
    invite("bridge, nobody answers in time", returned("no_answer"), desk=Rings(), limit="1s"),
    invite("bridge, nobody answers, and the dial plan says so", returned("no_answer"), desk=Rings(), limit="6s"),
    invite(
        "bridge, nobody answers and the dial plan hangs up",
        returned("no_answer"),
        route="sip:39{number}@10.0.0.10",
        desk=Rings(),
        limit="6s",
    ),
    invite("bridge to Busy()", returned("busy"), route="sip:3000@10.0.0.10"),
    invite("bridge to Congestion()", returned("unreachable"), route="sip:3001@10.0.0.10"),
    invite("bridge to an unknown extension", returned("unreachable"), route=NOWHERE),
    invite("bridge by TCP, with credentials", JOINED, **STRICT),
    invite("bridge, then the caller holds and unholds", JOINED, story=stories.hold("ann"), **DIRECT),
    invite("bridge, then the desk holds and unholds", JOINED, story=stories.hold("desk"), **DIRECT),
    invite("bridge, direct media by re-INVITE", JOINED, **DIRECT_PHONES),
    invite("bridge, then both hold and unhold at once", JOINED, story=stories.glare, **DIRECT_PHONES),
]

BACK = [
    Case("bye: the dial plan goes on", HANDED_BACK, method="bye", dials="81"),
    Case("redirect while the agent rings", HANDED_BACK, method="redirect", agent=Rings(), story=stories.redirect),
]

LADDERS = [
    refer("ladder: REFER refused, then INVITE", JOINED, more='on_failure = ["invite", "agent"]', **CLOSED),
    refer(
        "ladder: REFER to an unknown extension, then the mobile", JOINED_WITH_MOBILE, route=NOWHERE, more=MOBILE_NEXT
    ),
    refer(
        "ladder: REFER busy, and the caller is lost: nobody is rung",
        LOST,
        desk=BUSY_AT_ONCE,
        more='on_failure = ["invite", "{mobile}", "agent"]',
        story=stories.nobody_else_rings,
    ),
    invite("ladder: bridge busy, then the mobile", JOINED_WITH_MOBILE, desk=BUSY, more=MOBILE_NEXT),
    invite(
        "ladder: bridge unanswered, then the mobile is busy",
        returned("busy"),
        limit="1s",
        desk=Rings(),
        mobile=BUSY,
        more=MOBILE_NEXT,
    ),
    attended("ladder: attended busy, then the mobile", JOINED_WITH_MOBILE, desk=BUSY, more=MOBILE_NEXT),
]

# Beside all others.
SLOW = [
    invite("bridge, session timers of 90 s are refreshed", JOINED, story=stories.refreshed, seconds=90, **STRICT),
    refer(
        "Asterisk is killed in a call",
        Expect(None, caller=("gone", "alone"), agent="gone"),
        house="doomed",
        context="to-doomed",
        story=stories.asterisk_dies,
        seconds=90,
    ),
]

# After the others, side by side; each is a process that plays its part of the crowd.
CROWD = [
    attended(
        f"attended, a crowd of {stories.CROWD} at {stories.CROWD_RATE} a second, part {part + 1}",
        JOINED,
        story=stories.crowd,
        limit="10s",
        seconds=90,
    )
    for part in range(stories.CROWD_PARTS)
] + [
    attended(
        f"attended, a crowd of phones with direct media, part {part + 1}",
        JOINED,
        story=stories.crowd,
        limit="10s",
        seconds=90,
        **DIRECT_PHONES,
    )
    for part in range(5)
]

CASES = BLIND + LEAVES + ATTENDED + BRIDGE + BACK + LADDERS + SLOW + CROWD
