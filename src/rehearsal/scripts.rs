//! What the PBX, the agent and the desk do in each scene, and what each must see of Baton. Every script reads as its
//! side of the trace. Called by [`super::scenes`].

use super::cast::CALLED;
use super::durations::PARTY_RINGS;
use super::fault::{Fault, Received};
use super::peer::Peer;
use super::stage::Stage;
use crate::call::command::HandoffRequest;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// The caller.
const CALLER: &str = "+14155550142";

/// Tells another script that something stands: the PBX its call, the desk that it took the caller.
pub(super) type Tells = oneshot::Sender<()>;
/// Waits for that.
pub(super) type Waits = oneshot::Receiver<()>;

// -- the PBX

async fn dials(pbx: &mut Peer, stands: Tells) -> Result<(), Fault> {
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

pub(super) async fn takes(pbx: &mut Peer, stands: Tells) -> Result<(), Fault> {
    dials(pbx, stands).await?;
    let refer = referred(pbx).await?;
    pbx.reply(&refer, 202, "Accepted").await?;
    pbx.notify(&refer, 180, "Ringing").await?;
    sleep(PARTY_RINGS).await;
    pbx.notify(&refer, 200, "OK").await?;
    pbx.bye_comes().await.map(drop)
}

pub(super) async fn refuses(pbx: &mut Peer, stands: Tells) -> Result<(), Fault> {
    dials(pbx, stands).await?;
    let refer = referred(pbx).await?;
    pbx.reply(&refer, 403, "Forbidden").await?;
    let digit = Some(("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n"));
    pbx.ask("INFO", &[], digit, 200).await?;
    pbx.bye_comes().await.map(drop)
}

/// The caller is joined with the desk by an offer inside its call: nobody asks the PBX for a transfer.
async fn joined(pbx: &mut Peer) -> Result<(), Fault> {
    let offer = pbx.request("INVITE").await?;
    offer.body_has("s=desk")?;
    pbx.answer(&offer).await
}

pub(super) async fn is_joined(pbx: &mut Peer, stands: Tells) -> Result<(), Fault> {
    dials(pbx, stands).await?;
    joined(pbx).await?;
    pbx.bye_comes().await.map(drop)
}

pub(super) async fn refuses_and_is_joined(pbx: &mut Peer, stands: Tells) -> Result<(), Fault> {
    dials(pbx, stands).await?;
    let refer = pbx.request("REFER").await?;
    pbx.reply(&refer, 403, "Forbidden").await?;
    joined(pbx).await?;
    pbx.bye_comes().await.map(drop)
}

/// The PBX takes the desk's call over: an INVITE with Replaces to the desk itself, past Baton (RFC 3891).
pub(super) async fn takes_over(
    pbx: &mut Peer,
    desk: SocketAddr,
    stands: Tells,
    taken: Waits,
) -> Result<(), Fault> {
    dials(pbx, stands).await?;
    let refer = pbx.request("REFER").await?;
    let target = refer.text.bracketed("Refer-To").unwrap_or_default();
    let (uri, replaces) = target
        .strip_suffix("&Require=replaces")
        .and_then(|target| target.split_once("?Replaces="))
        .ok_or_else(|| {
            refer.fault("Replaces and Require in Refer-To".to_owned(), format!("found {target}"))
        })?;
    let (uri, replaces) = (uri.to_owned(), unescaped(replaces));
    pbx.reply(&refer, 202, "Accepted").await?;
    pbx.other_line();
    let caller = format!("<sip:{CALLER}@{}>", pbx.address());
    pbx.call_at(&uri, desk, &caller, &[("Replaces", &replaces), ("Require", "replaces")]).await?;
    pbx.other_line();
    let _ = taken.await;
    pbx.notify(&refer, 200, "OK").await?;
    pbx.bye_comes().await.map(drop)
}

/// `%40` and the like as the characters for which they stand (RFC 3986 §2.1).
fn unescaped(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(u8::is_ascii) {
            Some(byte) => {
                out.extend([char::from(byte).to_string().as_str(), part.get(2..).unwrap_or_default()])
            }
            None => out.extend(["%", part]),
        }
    }
    out
}

pub(super) async fn gets_back(pbx: &mut Peer, stands: Tells) -> Result<(), Fault> {
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
async fn picks_up(stage: &Stage, agent: &mut Peer, standing: Waits) -> Result<String, Fault> {
    let invite = agent.ring().await?;
    invite.says("X-Tier", "gold")?.says("Max-Forwards", "69")?;
    let call = invite.text.header("X-Baton-Call-ID").unwrap_or_default().to_owned();
    sleep(PARTY_RINGS).await;
    agent.answer(&invite).await?;
    // If the PBX's script is gone, its fault ends this one too.
    let _ = standing.await;
    stage.talking(&call).await?;
    Ok(call)
}

fn billing_question(destination: &str) -> HandoffRequest {
    HandoffRequest {
        destination: Some(destination.to_owned()),
        reason: Some("billing question".to_owned()),
        variables: BTreeMap::from([("account_id".to_owned(), "4711".to_owned())]),
        ..HandoffRequest::default()
    }
}

pub(super) async fn asks_by_api(
    stage: &Stage,
    agent: &mut Peer,
    destination: &str,
    standing: Waits,
) -> Result<(), Fault> {
    let call = picks_up(stage, agent, standing).await?;
    stage.decide(&call, billing_question(destination)).await?;
    agent.bye_comes().await.map(drop)
}

pub(super) async fn keeps_the_caller(stage: &Stage, agent: &mut Peer, standing: Waits) -> Result<(), Fault> {
    let call = picks_up(stage, agent, standing).await?;
    stage.decide(&call, billing_question("front-desk")).await?;
    let info = agent.request("INFO").await?;
    info.body_has("Signal=5")?;
    agent.reply(&info, 200, "OK").await?;
    stage.handoff_over().await?;
    // The conversation goes on until one of them says goodbye; here it is the agent.
    agent.ask("BYE", &[], None, 200).await.map(drop)
}

pub(super) async fn asks_by_refer(stage: &Stage, agent: &mut Peer, standing: Waits) -> Result<(), Fault> {
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

pub(super) async fn asks_by_bye(stage: &Stage, agent: &mut Peer, standing: Waits) -> Result<(), Fault> {
    picks_up(stage, agent, standing).await?;
    let headers = [("X-Handoff", "main-menu"), ("X-Account-ID", "4711")];
    agent.ask("BYE", &headers, None, 200).await.map(drop)
}

// -- the desk

/// It is called by Baton, with the caller's media and the headers of the table.
async fn is_called(desk: &mut Peer) -> Result<(), Fault> {
    let invite = desk.ring().await?;
    invite.says("X-Account", "4711")?.body_has("s=PBX")?;
    sleep(PARTY_RINGS).await;
    desk.answer(&invite).await
}

pub(super) async fn talks(stage: &Stage, desk: &mut Peer) -> Result<(), Fault> {
    is_called(desk).await?;
    stage.handoff_over().await?;
    // The conversation goes on until one of them says goodbye; here it is the desk.
    sleep(PARTY_RINGS).await;
    desk.ask("BYE", &[], None, 200).await.map(drop)
}

/// The caller's side takes its call over: another call comes that names this one, whose other end is then let go.
pub(super) async fn is_taken_over(desk: &mut Peer, taken: Tells) -> Result<(), Fault> {
    is_called(desk).await?;
    let replaces = desk.replaces()?;
    desk.other_line();
    let invite = desk.ring().await?;
    invite.says("Replaces", &replaces)?.says("Require", "replaces")?.body_has("s=PBX")?;
    desk.answer(&invite).await?;
    desk.other_line();
    desk.ask("BYE", &[], None, 200).await?;
    let _ = taken.send(());
    Ok(())
}
