"""Phones: PJSUA2 accounts, each at an address of its own, whose media is a tone.

What a phone hears is measured: every frame that comes out of its jitter buffer is kept with its time, and a tone in it
tells who speaks (`Call.hears`). Nothing here reads SDP.

PJSUA2 is polled by `Stack.poll` inside asyncio's loop, so a story can wait for anything with `until`.
"""

import asyncio
import math
import time
from dataclasses import dataclass

import pjsua2 as pj

RATE = 8000  # samples a second
FRAME = 160  # samples: 20 ms, in which tones that are multiples of 50 Hz do not disturb each other
MOST_CALLS = 4  # of all phones of a process: PJSUA2 as it is built for PyPI holds no more
POLL = 0.005  # seconds between two looks for what happened
WINDOW = 10  # frames that decide who is heard now


class Missed(Exception):
    """Something that was waited for did not happen in time."""


async def until(what, condition, within=5.0):
    """Waits for a condition and gives back its (true) value."""
    end = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Missed(f"not within {within:g} s: {what}")
        await asyncio.sleep(0.01)


# ---- What a called phone does ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answers:
    """Rings, and answers."""

    after: float = 0.3  # seconds
    hangs_up_after: float | None = None  # seconds from its answer


@dataclass(frozen=True)
class Refuses:
    """Rings where `after` gives time for it, and refuses."""

    status: int
    after: float = 0.1  # seconds


@dataclass(frozen=True)
class Rings:
    """Rings, and nobody comes."""


# ---- Media -----------------------------------------------------------------------------------------------------------


class Ear(pj.AudioMediaPort):
    """Puts the frames that a call brings into that call's list."""

    def __init__(self, frames):
        super().__init__()
        self.frames = frames  # None: nobody listens any more
        form = pj.MediaFormatAudio()
        form.init(pj.PJMEDIA_FORMAT_PCM, RATE, 1, 20_000, 16)
        self.createPort("ear", form)

    def onFrameReceived(self, frame):
        if self.frames is not None:
            self.frames.append((time.monotonic(), bytes(frame.buf)))


class Mouth(pj.ToneGenerator):
    """Says one tone without an end."""

    def __init__(self, hertz):
        super().__init__()
        self.createToneGenerator(RATE, 1)
        tone = pj.ToneDesc()
        tone.freq1, tone.freq2, tone.on_msec, tone.off_msec = hertz, 0, 1000, 0
        tones = pj.ToneDescVector()
        tones.append(tone)
        self.play(tones, True)


def loud(samples):
    return any(abs(sample) > 300 for sample in memoryview(samples).cast("h"))


def holds(samples, tone):
    """Goertzel: whether most of a frame's energy is at this frequency (Hz)."""
    if len(samples) != 2 * FRAME or not loud(samples):
        return False
    factor = 2 * math.cos(2 * math.pi * tone / RATE)
    one = two = energy = 0.0
    for sample in memoryview(samples).cast("h"):
        one, two = sample + factor * one - two, one
        energy += sample * sample
    at_tone = one * one + two * two - factor * one * two
    return at_tone * 2 / FRAME > 0.5 * energy


# ---- Signalling ------------------------------------------------------------------------------------------------------


class Call(pj.Call):
    """One call of a phone."""

    def __init__(self, phone, call_id=pj.PJSUA_INVALID_ID):
        super().__init__(phone, call_id)
        self.phone, self.tone = phone, phone.tone
        self.frames = []  # what it heard: (monotonic seconds, 16-bit samples as bytes; none for silence)
        self.ear, self.mouth = Ear(self.frames), Mouth(self.tone)  # never used again: PJSUA2's bridge loses them then
        self.asked = ""  # the INVITE that opened it, if it was called
        self.answered_at = None  # monotonic seconds
        self.gone = None  # the status and reason that ended it
        self.left = False  # whether its own phone ended it

    def onCallState(self, prm):
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED and self.answered_at is None:
            self.answered_at = time.monotonic()
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.gone = f"{info.lastStatusCode} {info.lastReason}"
            self.ear.frames = None

    def onCallMediaState(self, prm):
        info = self.getInfo()  # must outlive what is read of it
        for media in info.media:
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status in (
                pj.PJSUA_CALL_MEDIA_ACTIVE,
                pj.PJSUA_CALL_MEDIA_REMOTE_HOLD,
            ):
                audio = self.getAudioMedia(media.index)
                self.mouth.startTransmit(audio)
                audio.startTransmit(self.ear)

    @property
    def up(self):
        return self.answered_at is not None and self.gone is None

    def hears(self, other):
        """Whether this call's phone hears the other call's phone now: most of the newest frames hold its tone."""
        newest = self.frames[-WINDOW:]
        heard = sum(holds(samples, other.tone) for _, samples in newest)
        return self.gone is None and heard > WINDOW // 2

    def gap(self, before, after):
        """Milliseconds without a voice: from the last frame of the tone `before` to the first of the tone `after`."""
        last = max((at for at, samples in self.frames if holds(samples, before)), default=None)
        first = min((at for at, samples in self.frames if holds(samples, after)), default=None)
        return None if last is None or first is None else round(1000 * (first - last))

    def hang_up(self):
        if self.gone is None:
            self.left = True
            self.hangup(pj.CallOpParam())

    def respond(self, status):
        operation = pj.CallOpParam()
        operation.statusCode = status
        self.answer(operation)

    def hold(self):
        self.setHold(pj.CallOpParam())

    def unhold(self):
        operation = pj.CallOpParam(True)
        operation.opt.flag = pj.PJSUA_CALL_UNHOLD
        self.reinvite(operation)

    def header(self, name):
        """A header of the INVITE that called this phone."""
        for line in self.asked.split("\r\n\r\n")[0].split("\r\n"):
            if line.lower().startswith(name.lower() + ":"):
                return line.split(":", 1)[1].strip()
        return ""


class Phone(pj.Account):
    """One phone: it calls, and takes calls as its manner says."""

    def __init__(self, stack, name, number, address, tone, manner=Answers()):
        super().__init__()
        self.stack, self.name, self.number, self.tone, self.manner = stack, name, number, tone, manner
        self.calls = []
        self.past = []  # calls that are over: PJSUA2 wants them kept

        transport = pj.TransportConfig()
        transport.boundAddress = transport.publicAddress = address
        transport.port = 5060
        account = pj.AccountConfig()
        account.idUri = f"sip:{number}@{address}"
        account.sipConfig.transportId = stack.endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        account.mediaConfig.transportConfig.boundAddress = address
        account.mediaConfig.transportConfig.publicAddress = address
        account.mediaConfig.transportConfig.port = 4000
        account.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
        self.create(account)

    def dial(self, uri):
        call = Call(self)
        self.calls.append(call)
        call.makeCall(uri, pj.CallOpParam(True))
        return call

    def onIncomingCall(self, prm):
        call = Call(self, prm.callId)
        call.asked = prm.rdata.wholeMsg
        self.calls.append(call)
        self.stack.start(self._take(call))

    async def _take(self, call):
        manner = self.manner
        if not (isinstance(manner, Refuses) and manner.after == 0):
            call.respond(180)
        if isinstance(manner, Rings):
            return
        await asyncio.sleep(manner.after)
        if call.gone:
            return
        call.respond(manner.status if isinstance(manner, Refuses) else 200)
        if isinstance(manner, Answers) and manner.hangs_up_after is not None:
            await asyncio.sleep(manner.hangs_up_after)
            call.hang_up()

    async def called(self, within=5.0):
        """The newest call that came to this phone."""
        await until(f"{self.number} is called", lambda: self.calls, within)
        return self.calls[-1]


class Stack:
    """PJSUA2 in this process: no sound card, no threads but those of its media."""

    def __init__(self, log):
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        config = pj.EpConfig()
        config.logConfig.consoleLevel = 0
        config.logConfig.level = 5
        config.logConfig.filename = str(log)
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.maxCalls = MOST_CALLS
        config.medConfig.clockRate = RATE
        config.medConfig.noVad = True
        self.endpoint.libInit(config)
        self.endpoint.audDevManager().setNullDev()
        self.endpoint.libStart()
        self.endpoint.codecSetPriority("PCMU/8000/1", 255)
        self.tasks = set()

    def start(self, story):
        """Runs something beside the story; its failure is not lost."""
        task = asyncio.ensure_future(story)
        self.tasks.add(task)
        task.add_done_callback(lambda done: (self.tasks.discard(done), done.cancelled() or done.result()))

    async def poll(self):
        while True:
            self.endpoint.libHandleEvents(0)
            await asyncio.sleep(POLL)
