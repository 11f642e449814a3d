//! The four scenes of `baton demo`: what the PBX and the agent do, and what each must see of Baton.
//!
//! A scene is played by two scripts at the same time and judged by them; what happened is on the tape. Called by
//! [`super::play`].

use super::peer::{Fault, Peer, Received};
use super::stage::Stage;
use crate::call::command::HandoffRequest;
use crate::call::record::{HandoffState, HandoffView, Proof};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio::try_join;

/// The number that the caller dials.
pub(super) const CALLED: &str = "+14155550100";
/// How long a party rings: people read the ladder, and with no pause at all everything happens at once.
const RINGS: Duration = Duration::from_millis(25);
/// The caller.
const CALLER: &str = "+14155550142";

/// The destinations of the demo, in the form of `config/destinations.toml`.
pub const TABLE: &str = r#"default = "front-desk"

[destination.front-desk]
name        = "Front desk"
description = "When the caller needs to speak with a person"
route       = "+14155550123"
[destination.front-desk.headers]
X-Caller-ID = "$caller_id"
X-Account   = "$account_id"
X-Why       = "$reason"
X-Language  = "${language:-en}"

[destination.main-menu]
name        = "Main menu of the PBX"
description = "When the caller wants something that the PBX does by itself"
method      = "bye"
[destination.main-menu.headers]
X-Account   = "$account_id"
X-Next      = "main-menu"
"#;

/// Which scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// A REFER that the PBX carries out.
    Refer,
    /// A REFER that the PBX refuses.
    Refused,
    /// The agent decides by a REFER of its own.
    AgentRefer,
    /// The agent decides by BYE, and the call goes back to the PBX.
    HandBack,
}

impl Scene {
    /// All, in the order in which they are played.
    pub const ALL: [Scene; 4] = [Scene::Refer, Scene::Refused, Scene::AgentRefer, Scene::HandBack];

    /// One line over the ladder.
    pub fn title(self) -> &'static str {
        match self {
            Scene::Refer => "Your application decides, and the PBX takes the caller",
            Scene::Refused => "The PBX refuses, and the caller stays with the agent",
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
            Scene::Refused => (HandoffState::Returned, None),
            Scene::HandBack => (HandoffState::HandedBack, Some(Proof::Accepted)),
        }
    }

    /// Plays it.
    ///
    /// # Errors
    /// [`Fault`] as soon as anything differs from the script.
    pub(super) async fn play(
        self,
        stage: &Stage,
        pbx: &mut Peer,
        agent: &mut Peer,
    ) -> Result<HandoffView, Fault> {
        let (stands, standing) = oneshot::channel();
        match self {
            Scene::Refer => try_join!(takes(pbx, stands), asks_by_api(stage, agent, standing))?,
            Scene::Refused => try_join!(refuses(pbx, stands), keeps_the_caller(stage, agent, standing))?,
            Scene::AgentRefer => try_join!(takes(pbx, stands), asks_by_refer(stage, agent, standing))?,
            Scene::HandBack => try_join!(gets_back(pbx, stands), asks_by_bye(stage, agent, standing))?,
        };
        let ended = stage.last_handoff().await?;
        pbx.quiet()?;
        agent.quiet()?;
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

/// Told when the call stands on the PBX's side.
type Stands = oneshot::Sender<()>;
/// Waits for that.
type Standing = oneshot::Receiver<()>;

// -- the PBX

async fn dials(pbx: &mut Peer, stands: Stands) -> Result<(), Fault> {
    let caller = format!("\"Dana Reyes\" <sip:{CALLER}@{}>", pbx.address());
    let answer = pbx.call(CALLED, &caller, &[("X-Tier", "gold")]).await?;
    answer.body_has("m=audio")?;
    // The agent's script may have failed already; its fault is the one to be told.
    let _ = stands.send(());
    Ok(())
}

/// The REFER that the table and the decision make.
async fn referred(pbx: &mut Peer) -> Result<Received, Fault> {
    let refer = pbx.request("REFER").await?;
    refer
        .says("Refer-To", "<sip:+14155550123@127.0.0.1>")?
        .says("X-Caller-ID", CALLER)?
        .says("X-Account", "4711")?
        .says("X-Why", "billing question")?
        .says("X-Language", "en")?;
    Ok(refer)
}

async fn takes(pbx: &mut Peer, stands: Stands) -> Result<(), Fault> {
    dials(pbx, stands).await?;
    let refer = referred(pbx).await?;
    pbx.reply(&refer, 202, "Accepted").await?;
    pbx.notify(&refer, 180, "Ringing").await?;
    sleep(RINGS).await;
    pbx.notify(&refer, 200, "OK").await?;
    pbx.bye_comes().await.map(drop)
}

async fn refuses(pbx: &mut Peer, stands: Stands) -> Result<(), Fault> {
    dials(pbx, stands).await?;
    let refer = referred(pbx).await?;
    pbx.reply(&refer, 403, "Forbidden").await?;
    let digit = Some(("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n"));
    pbx.ask("INFO", &[], digit, 200).await?;
    pbx.bye_comes().await.map(drop)
}

async fn gets_back(pbx: &mut Peer, stands: Stands) -> Result<(), Fault> {
    dials(pbx, stands).await?;
    let bye = pbx.bye_comes().await?;
    bye.says("X-Account", "4711")?
        .says("X-Next", "main-menu")?
        .says("Reason", "SIP;cause=200;text=\"Handoff\"")?
        .lacks("X-Handoff")
        .map(drop)
}

// -- the agent

/// Takes the call; gives Baton's id of it.
async fn picks_up(stage: &Stage, agent: &mut Peer, standing: Standing) -> Result<String, Fault> {
    let invite = agent.ring().await?;
    invite.says("X-Tier", "gold")?.says("Max-Forwards", "69")?;
    let call = invite.text.header("X-Baton-Call-ID").unwrap_or_default().to_owned();
    sleep(RINGS).await;
    agent.answer(&invite).await?;
    // If the PBX's script is gone, its fault ends this one too.
    let _ = standing.await;
    stage.talking(&call).await?;
    Ok(call)
}

fn billing_question() -> HandoffRequest {
    HandoffRequest {
        destination: Some("front-desk".to_owned()),
        reason: Some("billing question".to_owned()),
        variables: BTreeMap::from([("account_id".to_owned(), "4711".to_owned())]),
        ..HandoffRequest::default()
    }
}

async fn asks_by_api(stage: &Stage, agent: &mut Peer, standing: Standing) -> Result<(), Fault> {
    let call = picks_up(stage, agent, standing).await?;
    stage.decide(&call, billing_question()).await?;
    agent.bye_comes().await.map(drop)
}

async fn keeps_the_caller(stage: &Stage, agent: &mut Peer, standing: Standing) -> Result<(), Fault> {
    let call = picks_up(stage, agent, standing).await?;
    stage.decide(&call, billing_question()).await?;
    let info = agent.request("INFO").await?;
    info.body_has("Signal=5")?;
    agent.reply(&info, 200, "OK").await?;
    stage.handoff_over().await?;
    // The conversation goes on until one of them says goodbye; here it is the agent.
    agent.ask("BYE", &[], None, 200).await.map(drop)
}

async fn asks_by_refer(stage: &Stage, agent: &mut Peer, standing: Standing) -> Result<(), Fault> {
    picks_up(stage, agent, standing).await?;
    let headers = [
        ("Refer-To", "<sip:front-desk@baton>"),
        ("X-Account-ID", "4711"),
        ("X-Handoff-Reason", "billing question"),
    ];
    agent.ask("REFER", &headers, None, 202).await?;
    let mut told = Vec::new();
    loop {
        let notify = agent.request("NOTIFY").await?;
        agent.reply(&notify, 200, "OK").await?;
        told.push(notify.text.body.split_whitespace().nth(1).unwrap_or_default().to_owned());
        let state = notify.text.header("Subscription-State").unwrap_or_default();
        if state.starts_with("terminated") {
            break;
        }
    }
    if told.first().map(String::as_str) != Some("100") || told.last().map(String::as_str) != Some("200") {
        let told = told.join(", ");
        return Err(Fault::Verdict(format!(
            "the agent should be told 100 first and 200 last, but heard {told}"
        )));
    }
    agent.bye_comes().await.map(drop)
}

async fn asks_by_bye(stage: &Stage, agent: &mut Peer, standing: Standing) -> Result<(), Fault> {
    picks_up(stage, agent, standing).await?;
    let headers = [("X-Handoff", "main-menu"), ("X-Account-ID", "4711")];
    agent.ask("BYE", &headers, None, 200).await.map(drop)
}
