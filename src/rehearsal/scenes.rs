//! The scenes of `baton demo`: what each shows, who plays in it, and how its handoff must end.
//!
//! A scene is played by two or three scripts at the same time and judged by them; what happened is on the tape. Called
//! by [`super::play`].

use super::cast::Cast;
use super::fault::Fault;
use super::scripts::{
    asks_by_api, asks_by_bye, asks_by_refer, gets_back, is_joined, is_taken_over, keeps_the_caller, refuses,
    refuses_and_is_joined, takes, takes_over, talks,
};
use super::stage::Stage;
use crate::call::record::{HandoffState, HandoffView, Proof};
use tokio::sync::oneshot;
use tokio::try_join;

/// Which scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// A REFER that the PBX carries out.
    Refer,
    /// A REFER that the PBX refuses.
    Refused,
    /// Baton calls the destination itself and joins it with the caller.
    Bridge,
    /// A REFER that the PBX refuses, and the next step of the ladder.
    Ladder,
    /// The destination is called first, and the PBX takes its call over.
    Attended,
    /// The agent decides by a REFER of its own.
    AgentRefer,
    /// The agent decides by BYE, and the call goes back to the PBX.
    HandBack,
}

impl Scene {
    /// All, in the order in which they are played.
    pub const ALL: [Scene; 7] = [
        Scene::Refer,
        Scene::Refused,
        Scene::Bridge,
        Scene::Ladder,
        Scene::Attended,
        Scene::AgentRefer,
        Scene::HandBack,
    ];

    /// One line over the ladder.
    pub fn title(self) -> &'static str {
        match self {
            Scene::Refer => "Your application decides, and the PBX takes the caller",
            Scene::Refused => "The PBX refuses, and the caller stays with the agent",
            Scene::Bridge => "Baton calls the desk itself, and joins it with the caller",
            Scene::Ladder => "The PBX refuses, and the ladder's next step reaches the desk",
            Scene::Attended => "The desk answers first, then the PBX takes its call over",
            Scene::AgentRefer => "The agent decides by SIP, and is told what really happened",
            Scene::HandBack => "The agent hangs up with a destination, and the PBX gets its call back",
        }
    }

    /// What to look at.
    pub fn story(self) -> &'static str {
        match self {
            Scene::Refer => {
                "The decision is the one that POST /v1/calls/{id}/handoff makes. The X- headers of the table arrive \
                 expanded. 202 is only a promise: Baton waits for the NOTIFY that says 200 before it lets go of a leg."
            }
            Scene::Refused => {
                "403 moves nobody. The agent's leg was never touched, so the digit that the caller presses next still \
                 reaches it."
            }
            Scene::Bridge => {
                "method = \"invite\". The caller stays with the agent while the desk rings. Once it has answered, the \
                 caller gets its media by a re-INVITE, and the agent is let go: no REFER, nothing to be trusted."
            }
            Scene::Ladder => {
                "on_failure = { refused = [\"invite\"] }. The same destination by another method: a PBX that \
                 forbids REFER costs the caller nothing."
            }
            Scene::Attended => {
                "method = \"attended\". Baton has the desk on the line before it asks for the transfer, so nobody is \
                 sent to a phone that does not answer. The PBX calls the desk past Baton with Replaces, the \
                 desk's BYE proves that it has taken the caller, and Baton leaves the path."
            }
            Scene::AgentRefer => {
                "An in-dialog REFER to sip:front-desk@baton names the destination. Progress and the final status of \
                 the PBX come back to the agent as NOTIFYs."
            }
            Scene::HandBack => {
                "A BYE with X-Handoff names a destination whose method is bye: the PBX gets a BYE with the headers \
                 and goes on by itself."
            }
        }
    }

    /// How the handoff must end.
    pub fn expected(self) -> (HandoffState, Option<Proof>) {
        match self {
            Scene::Refer | Scene::AgentRefer => (HandoffState::Succeeded, Some(Proof::Reported)),
            Scene::Bridge | Scene::Ladder | Scene::Attended => (HandoffState::Succeeded, Some(Proof::Proven)),
            Scene::Refused => (HandoffState::Returned, None),
            Scene::HandBack => (HandoffState::HandedBack, Some(Proof::Accepted)),
        }
    }

    /// Plays it.
    ///
    /// # Errors
    /// [`Fault`] as soon as anything differs from the script.
    pub(super) async fn play(self, stage: &Stage, cast: &mut Cast) -> Result<HandoffView, Fault> {
        let Cast { pbx, agent, desk } = cast;
        let (tells, waits) = oneshot::channel();
        match self {
            Scene::Refer => {
                try_join!(takes(pbx, tells), asks_by_api(stage, agent, "front-desk", waits)).map(drop)
            }
            Scene::Refused => try_join!(refuses(pbx, tells), keeps_the_caller(stage, agent, waits)).map(drop),
            Scene::Bridge => {
                let agent = asks_by_api(stage, agent, "billing", waits);
                try_join!(is_joined(pbx, tells), agent, talks(stage, desk)).map(drop)
            }
            Scene::Ladder => {
                let agent = asks_by_api(stage, agent, "support", waits);
                try_join!(refuses_and_is_joined(pbx, tells), agent, talks(stage, desk)).map(drop)
            }
            Scene::Attended => {
                let (left, taken) = oneshot::channel();
                let pbx = takes_over(pbx, desk.address(), tells, taken);
                let agent = asks_by_api(stage, agent, "manager", waits);
                try_join!(pbx, agent, is_taken_over(desk, left)).map(drop)
            }
            Scene::AgentRefer => try_join!(takes(pbx, tells), asks_by_refer(stage, agent, waits)).map(drop),
            Scene::HandBack => try_join!(gets_back(pbx, tells), asks_by_bye(stage, agent, waits)).map(drop),
        }?;
        let ended = stage.last_handoff().await?;
        for peer in [pbx, agent, desk] {
            peer.quiet()?;
        }
        let (state, proof) = self.expected();
        if (ended.state, ended.proof) == (state, proof) {
            return Ok(ended);
        }
        let words = |proof: Option<Proof>| proof.map_or("none", Proof::as_str);
        Err(Fault::Verdict(format!(
            "Baton should say {} (proof {}), but says {} (proof {})",
            state.as_str(),
            words(proof),
            ended.state.as_str(),
            words(ended.proof)
        )))
    }
}
