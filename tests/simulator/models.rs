//! What reality has beside a rough network and contrary parties: which of it is in use, which of it is in a world, and how
//! often each part of it was really met.
//!
//! Each model has a draw of its own, from numbers of its own, so that a world in which a model does not occur is the same
//! with and without it. `BATON_SIM_MODELS=proxy,asterisk` uses only those, in every world; nothing else is changed.

use super::common::random::Random;

/// One model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Model {
    /// A proxy between Baton and a house.
    Proxy,
    /// The PBX transfers as Asterisk does.
    Asterisk,
    /// NOTIFYs never name their REFER.
    Nameless,
    /// Some methods are never answered.
    Mute,
    /// 2xx without an answer, SDP without its type.
    Bare,
    /// The person at the target hears nobody, and hangs up.
    Unheard,
    /// The engine stands still for a while.
    Standstill,
    /// A rule of the judge: of a REFER that was given up nothing is sent any more.
    GivenUp,
    /// A rule: nobody is lost who is there and was heard.
    Loss,
    /// A rule: a caller alone with Baton is answered.
    Alone,
    /// A rule: nobody has hung up by himself whom somebody may have taken.
    Open,
    /// Faults in headers that a message does not need.
    Careless,
    /// Addresses that swallow or refuse what is sent to them, several addresses behind a name, peers that come anew.
    Network,
    /// Four engines share the calls.
    Shards,
}

const COUNT: usize = 14;
const NAMES: [&str; COUNT] = [
    "proxy",
    "asterisk",
    "nameless",
    "mute",
    "bare",
    "unheard",
    "standstill",
    "given-up",
    "loss",
    "alone",
    "open",
    "careless",
    "network",
    "shards",
];
/// In how many of 100 worlds each of them is.
const OFTEN: [u64; COUNT] = [35, 30, 25, 25, 30, 30, 25, 100, 100, 100, 100, 30, 35, 30];

/// Which models a world has.
#[derive(Clone, Debug, Default)]
pub struct Models([bool; COUNT]);

/// The models that were asked for by name, if any were.
fn named() -> Option<[bool; COUNT]> {
    let wanted = std::env::var("BATON_SIM_MODELS").ok()?;
    let words: Vec<&str> = wanted.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    let known = |word: &&&str| NAMES.contains(word) || **word == "all";
    assert!(words.iter().all(|word| known(&word)), "BATON_SIM_MODELS knows {NAMES:?} and all");
    Some(NAMES.map(|name| words.contains(&"all") || words.contains(&name)))
}

impl Models {
    /// Those of the world of this seed.
    pub fn draw(seed: u64) -> Models {
        let mut random = Random(seed ^ 0x6d6f_6465_6c73);
        let drawn = OFTEN.map(|often| random.chance(often));
        let in_use = Models::in_use();
        let all = named().is_some_and(|named| named.iter().filter(|one| **one).count() < COUNT);
        Models(std::array::from_fn(|at| in_use[at] && (all || drawn[at])))
    }

    pub fn has(&self, model: Model) -> bool {
        self.0[model as usize]
    }

    fn in_use() -> [bool; COUNT] {
        named().unwrap_or([true; COUNT])
    }
}

/// One part of a model that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Draw {
    ProxiedCall,
    ForkInSeries,
    ForkInParallel,
    Proxy408,
    Proxy477,
    Proxy480,
    Proxy503,
    Proxy504,
    DoneBehind408,
    CopyAfterGiveUp,
    Reinvite408,
    TakenAtOnce,
    Early200,
    TakenAfter200,
    Early200NobodyAnswers,
    Taken503,
    FailureOvertakes,
    NeverLeft404,
    ReferWithoutChannel,
    AskedAndGone,
    LeftWhileItRang,
    SwapAfterReport,
    TargetLeavesInSwap,
    TargetGoneBeforeSwap,
    NamelessSecond,
    MuteOptions,
    MuteInfo,
    MuteUpdate,
    BareAnswer,
    BareReanswer,
    UntypedSdp,
    NobodyHeard,
    NobodyHeardAfter200,
    DoneAndUntold,
    PeerDies,
    StoodStill,
    FoundWaiting,
    MalformedHeader,
    EmptyHeader,
    DoubledHeader,
    EqualTags,
    DoubledInResponse,
    EarlyForks,
    Swallowed,
    PortUnreachable,
    SeveralAddresses,
    LeftBehind,
    CameAnew,
    OtherShard,
}

const PARTS: [(&str, Model); 49] = [
    ("call through a proxy", Model::Proxy),
    ("proxy forks in series", Model::Proxy),
    ("proxy forks in parallel", Model::Proxy),
    ("proxy makes 408", Model::Proxy),
    ("proxy makes 477", Model::Proxy),
    ("proxy makes 480", Model::Proxy),
    ("proxy makes 503", Model::Proxy),
    ("proxy makes 504", Model::Proxy),
    ("proxy makes 408 or 504, and the peer did what it was asked", Model::Proxy),
    ("proxy delivers a copy that it held for seconds", Model::Proxy),
    ("proxy answers a re-INVITE by 408, and the dialog lives", Model::Proxy),
    ("PBX takes the caller at once", Model::Asterisk),
    ("PBX says 200 before anybody answers", Model::Asterisk),
    ("PBX takes the caller after it has said 200", Model::Asterisk),
    ("PBX says 200 and nobody answers", Model::Asterisk),
    ("PBX says that it failed, and has hung the caller up", Model::Asterisk),
    ("PBX says that it failed before it hangs the caller up", Model::Asterisk),
    ("PBX says 404, and the caller never left", Model::Asterisk),
    ("REFER in a dialog that the PBX has left standing", Model::Asterisk),
    ("re-INVITE in such a dialog: BYE, then 200", Model::Asterisk),
    ("caller hangs up while the transfer rings", Model::Asterisk),
    ("PBX reports 200 before its swap is done", Model::Asterisk),
    ("target hangs up before the swap is done", Model::Asterisk),
    ("target has hung up before there is a swap, and 603 says so", Model::Asterisk),
    ("NOTIFY without id for a second REFER", Model::Nameless),
    ("OPTIONS never answered", Model::Mute),
    ("INFO never answered", Model::Mute),
    ("UPDATE never answered", Model::Mute),
    ("2xx to an INVITE without an answer", Model::Bare),
    ("2xx to a re-INVITE or UPDATE without an answer", Model::Bare),
    ("SDP without Content-Type", Model::Bare),
    ("target hangs up, for it hears nobody", Model::Unheard),
    ("the same after a NOTIFY 200 that is not so", Model::Unheard),
    ("transfer that is done, and whose NOTIFYs end without a result", Model::Unheard),
    ("peer dies in a call", Model::Mute),
    ("engine stands still", Model::Standstill),
    ("and finds messages waiting", Model::Standstill),
    ("malformed header in a request that does not need it", Model::Careless),
    ("empty header in such a request", Model::Careless),
    ("header that may stand once, doubled in such a request", Model::Careless),
    ("To with its tag twice", Model::Careless),
    ("header that may stand once, doubled in a response", Model::Careless),
    ("two branches of a fork that both ring", Model::Proxy),
    ("INVITE that is swallowed", Model::Network),
    ("INVITE that is refused by ICMP", Model::Network),
    ("INVITE to a further address of its name", Model::Network),
    ("and somebody at both of them answers", Model::Network),
    ("peer that comes by a new stream", Model::Network),
    ("call of another engine than the first of four", Model::Shards),
];

/// How often each part was met.
#[derive(Clone, Debug)]
pub struct Draws([u64; PARTS.len()]);

impl Default for Draws {
    fn default() -> Self {
        Draws([0; PARTS.len()])
    }
}

impl Draws {
    pub fn met(&mut self, draw: Draw) {
        self.0[draw as usize] += 1;
    }

    pub fn add(&mut self, other: &Draws) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own += other);
    }

    fn in_use(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let in_use = Models::in_use();
        let of_those = move |((_, model), _): &((&str, Model), u64)| in_use[*model as usize];
        PARTS.into_iter().zip(self.0).filter(of_those).map(|((name, _), count)| (name, count))
    }

    /// One line for each.
    pub fn table(&self) -> String {
        self.in_use().map(|(name, count)| format!("{count:>9}  {name}\n")).collect()
    }

    /// Those that were never met.
    pub fn missing(&self) -> Vec<&'static str> {
        self.in_use().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }
}
