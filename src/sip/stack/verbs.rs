//! What may be asked of a leg, and told to it. Each hands down to the leg: what it does stands in `leg/`, by the same name.

use super::Stack;
use crate::sip::flow::Flow;
use crate::sip::leg::Leg;
use crate::sip::leg::connect::Connect;
use crate::sip::leg::content::Content;
use crate::sip::leg::event::{Gone, LegId, LegState, NotSent, RequestId, SentId};
use crate::sip::leg::reach::Reach;
use crate::sip::leg::refer::Refer;
use crate::sip::leg::subscription::NotifyId;
use crate::sip::leg::tries::Fault;
use crate::sip::timing::{Now, Time};
use crate::sip::transaction::GivenUp;
use crate::wire::Message;
use std::time::Duration;

#[cfg(doc)]
use crate::sip::leg::event::Event;

// A leg of ours.
impl Stack {
    /// INVITE to a new leg. What comes of it: [`Event::Progress`], then `Answered` or `Refused`.
    pub fn connect(&mut self, now: Now, connect: Connect<'_>) -> LegId {
        let leg = Leg::to_call(&mut self.core, now.mono, &connect);
        let id = self.add_leg(leg);
        self.with_leg(now.mono, id, |leg, io| leg.call(io, &connect));
        id
    }

    /// OPTIONS by the first of the flows, in a leg that is no call and is over from the start. Challenges are answered.
    /// What comes of it is one [`Event::Response`], a timeout's 408 included; then the leg is to be released.
    /// `None`: there is no flow.
    pub fn inquire(&mut self, now: Now, connect: Connect<'_>) -> Option<LegId> {
        let leg = Leg::to_inquire(&mut self.core, &connect)?;
        let id = self.add_leg(leg);
        self.with_leg(now.mono, id, |leg, io| leg.inquire(io, &connect));
        Some(id)
    }

    /// Whether new calls to all of these addresses have just failed, so that others are better tried before.
    pub fn is_quarantined(&self, now: Now, flows: &[Flow]) -> bool {
        !flows.is_empty() && flows.iter().all(|flow| self.core.quarantine.holds(now.mono, flow))
    }
}

// Verbs.
impl Stack {
    /// 101-199. `party` numbers whom the caller hears: each party has its own To-tag (early dialog) of ours; the
    /// final answer uses its party's tag.
    ///
    /// # Errors
    /// The INVITE has its final response.
    pub fn provisional(
        &mut self,
        now: Now,
        leg: LegId,
        party: u8,
        status: u16,
        content: Content<'_>,
    ) -> Result<(), Gone> {
        self.with_leg(now.mono, leg, |leg, io| leg.provisional(io, party, status, content))
            .unwrap_or(Err(Gone))
    }

    /// 200 with the answer (or our offer, if the INVITE had none); retransmitted until ACK.
    ///
    /// # Errors
    /// The INVITE has its final response.
    pub fn answer(&mut self, now: Now, leg: LegId, party: u8, content: Content<'_>) -> Result<(), Gone> {
        self.with_leg(now.mono, leg, |leg, io| leg.answer(io, party, content)).unwrap_or(Err(Gone))
    }

    /// 300-699; [`Event::Closed`] follows with its ACK. Retry-After, or Contact for a 3xx, go in `content.fields`.
    ///
    /// # Errors
    /// The INVITE has its final response.
    pub fn reject(&mut self, now: Now, leg: LegId, status: u16, content: Content<'_>) -> Result<(), Gone> {
        self.with_leg(now.mono, leg, |leg, io| leg.reject(io, status, content)).unwrap_or(Err(Gone))
    }

    /// Ends the leg whatever its state: CANCEL (and ACK+BYE if a 2xx crosses), BYE, deferred BYE while our 2xx is
    /// unacknowledged (RFC 3261 §15), final `reject_status` while the peer's INVITE is unanswered. An unanswered offer
    /// in a 2xx: ACK with all ports 0, then BYE. Then [`Event::Closed`].
    pub fn close(&mut self, now: Now, leg: LegId, reject_status: u16, content: Content<'_>) {
        self.with_leg(now.mono, leg, |leg, io| leg.close(io, reject_status, content));
    }

    /// The call has no more interest: what is still to be done (closing, answering) is done quietly, no event comes
    /// any more. A leg that is not over is closed with 480.
    pub fn release(&mut self, now: Now, leg: LegId) {
        self.with_leg(now.mono, leg, |leg, io| leg.release(io));
    }

    /// ACK for a 2xx that carried an offer (to our INVITE or re-INVITE): with the answer. Without one every stream is
    /// declined.
    ///
    /// # Errors
    /// No 2xx waits for its ACK.
    pub fn acknowledge(&mut self, now: Now, leg: LegId, content: Content<'_>) -> Result<(), Gone> {
        self.with_leg(now.mono, leg, |leg, io| leg.acknowledge(io, content)).unwrap_or(Err(Gone))
    }

    /// The peer's re-INVITE, UPDATE or INFO (of another leg), sent in this one. Answered by one
    /// [`Event::Response`].
    ///
    /// # Errors
    /// [`NotSent::Pending`] while an offer or an INVITE is outstanding in this leg, our 2xx is not acknowledged, or it is not
    /// yet answered.
    pub fn pass(
        &mut self,
        now: Now,
        leg: LegId,
        message: &Message<'_>,
        identity: bool,
    ) -> Result<SentId, NotSent> {
        self.with_leg(now.mono, leg, |leg, io| leg.pass(io, message, identity)).unwrap_or(Err(NotSent::Gone))
    }

    /// A re-INVITE of our own: with an SDP it offers that, without one it asks for an offer (then see
    /// [`Event::Response`], `needs_answer`). Answered by one [`Event::Response`].
    ///
    /// # Errors
    /// As for [`Stack::pass`].
    pub fn reinvite(&mut self, now: Now, leg: LegId, content: Content<'_>) -> Result<SentId, NotSent> {
        self.with_leg(now.mono, leg, |leg, io| leg.reinvite(io, content)).unwrap_or(Err(NotSent::Gone))
    }

    /// A re-INVITE with the session as it stands: what our side wants of it, and never a direction that only answered the
    /// peer's hold; the `o=` line is the last one if nothing has changed. It asks whether the peer is in the dialog, so that a
    /// 481 to it is only told, and ends nothing. Answered by one [`Event::Response`].
    ///
    /// # Errors
    /// As for [`Stack::pass`]; [`NotSent::Pending`] also where no session stands.
    pub fn restate(&mut self, now: Now, leg: LegId) -> Result<SentId, NotSent> {
        self.with_leg(now.mono, leg, |leg, io| leg.restate(io)).unwrap_or(Err(NotSent::Gone))
    }

    /// Takes back a re-INVITE that was passed: CANCEL. Its [`Event::Response`] comes all the same, and may be a 2xx that
    /// crossed the CANCEL. Nothing happens for other requests, which cannot be cancelled (RFC 3261 §9.1).
    pub fn withdraw(&mut self, now: Now, leg: LegId, sent: SentId) {
        self.with_leg(now.mono, leg, |leg, io| leg.withdraw(io, sent));
    }

    /// A request that cannot be cancelled (a REFER, RFC 3261 §9.1) is not wanted any more. Nothing of it is sent from now
    /// on: no copy, no answer to a challenge, nothing by another flow. Its transaction and its subscription stay, so that
    /// what comes late is heard. [`GivenUp::Waits`]: it is taken back, and either its [`Event::Response`] tells so by a
    /// local 503, or it had left just then, which [`Event::Left`] tells.
    pub fn give_up(&mut self, now: Now, leg: LegId, sent: SentId) -> GivenUp {
        self.with_leg(now.mono, leg, |leg, io| leg.give_up(io, sent)).unwrap_or(GivenUp::Over)
    }

    /// REFER in the dialog. Its answer is an [`Event::Response`] (a timeout is a local 408 and never ends the
    /// leg), its progress [`Event::Notified`], which may come first.
    ///
    /// # Errors
    /// [`NotSent::Pending`] while the leg is not answered.
    pub fn refer(&mut self, now: Now, leg: LegId, refer: Refer<'_>) -> Result<SentId, NotSent> {
        self.with_leg(now.mono, leg, |leg, io| leg.refer(io, refer)).unwrap_or(Err(NotSent::Gone))
    }

    /// A NOTIFY with sipfrag `status`. Its answer is an [`Event::Response`] with the id returned here. It works after a BYE
    /// too, until `release`.
    ///
    /// # Errors
    /// The subscription is over: it had its last NOTIFY, or the peer knows nothing of it.
    pub fn notify(&mut self, now: Now, leg: LegId, to: NotifyId, status: u16) -> Result<SentId, Gone> {
        self.with_leg(now.mono, leg, |leg, io| leg.notify(io, to, status)).unwrap_or(Err(Gone))
    }

    /// The same; it is the last one and terminates the subscription.
    ///
    /// # Errors
    /// As of [`Stack::notify`].
    pub fn notify_last(&mut self, now: Now, leg: LegId, to: NotifyId, status: u16) -> Result<SentId, Gone> {
        self.with_leg(now.mono, leg, |leg, io| leg.notify_last(io, to, status)).unwrap_or(Err(Gone))
    }

    /// One OPTIONS inside the dialog: is it still there? Answered by one [`Event::Response`].
    ///
    /// # Errors
    /// The leg is not answered, or over.
    pub fn probe(&mut self, now: Now, leg: LegId) -> Result<SentId, Gone> {
        self.with_leg(now.mono, leg, |leg, io| leg.probe(io)).unwrap_or(Err(Gone))
    }

    /// OPTIONS inside the dialog at each interval, from now on, once the leg is answered. None: off. `leg/keepalive`
    /// says what comes of it: [`Event::Lost`], or [`Event::KeepaliveIgnored`] once.
    pub fn keep_alive(&mut self, now: Now, leg: LegId, interval: Option<Duration>) {
        self.with_leg(now.mono, leg, |leg, io| leg.keep_alive(io, interval));
    }

    /// The peer is about to end its leg by itself: no BYE of ours for an ACK that is missing until then.
    pub fn leave_to_peer(&mut self, now: Now, leg: LegId, until: Time) {
        self.with_leg(now.mono, leg, |leg, _| leg.leave_to_peer(until));
    }

    /// Answers an [`Event::Request`]. 1xx allowed for a re-INVITE. An offer that a 2xx would leave without an answer is
    /// refused: 488.
    ///
    /// # Errors
    /// It has its answer: the peer cancelled it or ended the leg.
    pub fn respond(
        &mut self,
        now: Now,
        request: RequestId,
        status: u16,
        content: Content<'_>,
    ) -> Result<(), Gone> {
        let leg = self.asked(request).ok_or(Gone)?;
        self.with_leg(now.mono, leg, |leg, io| leg.respond(io, request, status, content)).unwrap_or(Err(Gone))
    }

    /// 202 to the peer's REFER; with `Refer-Sub: false` echoed if it asked so (then there is no subscription, and None
    /// comes back). Else a subscription is made and its NOTIFY 100 is sent at once.
    ///
    /// # Errors
    /// The REFER has its answer, or the leg is gone.
    pub fn accept_referral(&mut self, now: Now, request: RequestId) -> Result<Option<NotifyId>, Gone> {
        let leg = self.asked(request).ok_or(Gone)?;
        self.with_leg(now.mono, leg, |leg, io| leg.accept_referral(io, request)).unwrap_or(Err(Gone))
    }

    /// The offer of a request of the peer's that waits for our answer. None: it carries none, or has its answer.
    pub fn offer_of(&self, request: RequestId) -> Option<&[u8]> {
        let leg = self.asked(request)?;
        self.leg(leg)?.offer_of(request)
    }

    /// Whose leg it is: an index into the settings' parties; and whether it came from a place that the party's password is
    /// for, so that challenges in it are answered.
    pub fn belongs_to(&mut self, leg: LegId, party: Option<u16>, digest: bool) {
        if let Some(leg) = self.legs.get_mut(leg.into()) {
            leg.belongs_to(party, digest);
        }
    }

    /// How the peer of a leg is reached, which was heard by that flow.
    pub fn reach(&mut self, leg: LegId, reach: Reach, flow: Flow) {
        if let Some(leg) = self.legs.get_mut(leg.into()) {
            leg.reach_by(reach, flow);
        }
    }

    /// How long to wait after a 491 in a leg: 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other, in steps of
    /// 10 ms (RFC 3261 §14.1).
    pub fn back_off(&mut self, leg: LegId) -> Duration {
        let owner = self.leg(leg).is_some_and(Leg::is_outgoing);
        self.core.back_off(owner)
    }

    /// The leg that a request of the peer's was sent in.
    fn asked(&self, request: RequestId) -> Option<LegId> {
        self.core.table.owner(request.0).flatten()
    }
}

// Getters.
impl Stack {
    /// The Call-ID header of a leg.
    pub fn sip_call_id(&self, leg: LegId) -> Option<&[u8]> {
        self.leg(leg).map(Leg::call_id)
    }

    /// The path to the peer of a leg.
    pub fn peer(&self, leg: LegId) -> Option<Flow> {
        self.leg(leg).map(Leg::peer)
    }

    /// Whose a leg is: an index into the settings' parties.
    pub fn party(&self, leg: LegId) -> Option<u16> {
        self.leg(leg).and_then(Leg::party)
    }

    /// Where a leg stands; None once it is gone.
    pub fn state(&self, leg: LegId) -> Option<LegState> {
        self.leg(leg).map(Leg::state)
    }

    /// The SDP that we sent last in a leg (as it went out, with the leg's own `o=`) and that was not refused.
    pub fn local_sdp(&self, leg: LegId) -> Option<&[u8]> {
        self.leg(leg).and_then(Leg::local_sdp)
    }

    /// The SDP of the peer that stands in a leg.
    pub fn remote_sdp(&self, leg: LegId) -> Option<&[u8]> {
        self.leg(leg).and_then(Leg::remote_sdp)
    }

    /// The peer's offer in a leg that waits for our answer.
    pub fn proposed_sdp(&self, leg: LegId) -> Option<&[u8]> {
        self.leg(leg).and_then(Leg::proposed_sdp)
    }

    /// Whether the peer of a leg may have another SDP of ours than [`Stack::local_sdp`]: an offer was never answered, or by a
    /// proxy that knew no better.
    pub fn is_unsure(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(Leg::is_unsure)
    }

    /// Whether the peer has agreed to the last offer that we made in a leg: a 2xx without an answer agrees to nothing.
    pub fn is_agreed(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(Leg::is_agreed)
    }

    /// Whether the peer's offer that waits for our answer says what stands once more, but for its `o=` line.
    pub fn repeats(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(Leg::repeats)
    }

    /// Whether our 2xx in a leg waits for its ACK, and nothing else keeps a request about the session from being sent in it.
    pub fn waits_for_ack(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(Leg::waits_for_ack)
    }

    /// When the leg's session is over, unless it is refreshed (RFC 4028).
    pub fn session_expiry(&self, leg: LegId) -> Option<Time> {
        self.leg(leg).and_then(Leg::session_expiry)
    }

    /// Whether it is being found out if the peer is still there: it was silent and nothing was heard since, or it has said
    /// that it knows nothing of the dialog.
    pub fn is_doubted(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(Leg::is_doubted)
    }

    /// Whether requests in a leg go where its peer's Contact says.
    pub fn goes_to_contact(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(Leg::goes_to_contact)
    }

    /// Whether somebody has answered the INVITE of a leg of ours, be it with a 100.
    pub fn is_answering(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(Leg::is_answering)
    }

    /// Whether each 2xx to an INVITE of ours in this leg has its ACK, and the ACK has left.
    pub fn is_acknowledged(&self, leg: LegId) -> bool {
        self.leg(leg).is_none_or(Leg::is_acknowledged)
    }

    /// Whether a NOTIFY of that REFER can still be told: nothing has refused it, and its subscription goes on.
    pub fn is_subscribed(&self, leg: LegId, refer: SentId) -> bool {
        self.leg(leg).is_some_and(|leg| leg.is_subscribed(refer))
    }

    /// Why a leg of ours that is over had no word from anybody.
    pub fn fault(&self, leg: LegId) -> Option<Fault> {
        self.leg(leg).and_then(Leg::fault)
    }

    /// By what status one address of a new call was refused, while the others are silent. Whoever waits for those no longer has
    /// this for an answer.
    pub fn refused_beside(&self, leg: LegId) -> Option<u16> {
        self.leg(leg).and_then(Leg::refused_beside).map(|(status, _)| status)
    }

    /// The URI by which a third party can take over our place in a leg: the peer's Contact with an embedded Replaces that
    /// names the dialog as the peer sees it (its own tag is the to-tag), and the demand that it is understood, so that
    /// nobody rings a second time. None: the leg is gone, or was never answered.
    pub fn replaces(&self, leg: LegId) -> Option<String> {
        self.leg(leg).and_then(Leg::replaces)
    }

    /// The leg with that Call-ID.
    pub fn find_leg_by_call_id(&self, call_id: &[u8]) -> Option<LegId> {
        self.find_leg(call_id, |_| true)
    }
}
