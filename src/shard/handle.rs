//! All shards, seen from the rest of the process: commands to the one that owns a call, news of the network to the one
//! that asked, tables and the end to all.

use super::inbox::{Inbox, Item};
use super::pulse::{Pulse, Standstills};
use crate::call::command::{Command, Reply};
use crate::call::counters::Counters;
use crate::call::durations::TEST_LONGEST;
use crate::call::record::CallView;
use crate::call::test_call;
use crate::call::ticket::Ticket;
use crate::net::counts::Counts;
use crate::net::{Deliver, Unread, patience};
use crate::routing::Tables;
use crate::sip::ident::{self, SlotKey};
use crate::sip::{Flow, Time};
use crate::wire::peek::peek;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A shard answers within one turn; one that does not is stuck.
const SHARD_ANSWERS: Duration = Duration::from_secs(5);
/// Calls on one page of a list.
pub const PAGE: usize = 100;

/// A shard could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Too many commands wait.
    #[error("too many commands are waiting; try again in a moment")]
    Busy,
    /// It has ended, or does not turn any more.
    #[error("the engine does not answer")]
    Silent,
}

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which shard is listed, counted from 0.
    pub shard: usize,
    /// The last id that was shown of it.
    pub after: Option<String>,
}

/// The inboxes and pulses of all shards.
#[derive(Debug)]
pub struct Shards {
    inboxes: Vec<Arc<Inbox>>,
    pulses: Vec<Arc<Pulse>>,
    standstills: Standstills,
    key: SlotKey,
    counts: Arc<Counts>,
}

impl Shards {
    /// `count` shards that are not started yet: what is sent to them waits.
    pub fn new(count: usize, key: SlotKey, counts: Arc<Counts>) -> Arc<Shards> {
        Arc::new(Shards {
            inboxes: (0..count.max(1)).map(|_| Arc::default()).collect(),
            pulses: (0..count.max(1)).map(|_| Arc::default()).collect(),
            standstills: Standstills::default(),
            key,
            counts,
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.inboxes.len()
    }

    /// The shard that owns what has this id: a Call-ID, a call id or a handoff id.
    pub fn owner(&self, id: &[u8]) -> usize {
        usize::from(ident::slot(&self.key, id)) % self.inboxes.len()
    }

    /// The shard that owns a message; `None`: no message can be recognised, and the first shard refuses it.
    pub fn owner_of_message(&self, bytes: &[u8]) -> Option<usize> {
        if self.inboxes.len() == 1 {
            return Some(0);
        }
        peek(bytes).map(|peeked| self.owner(peeked.call_id))
    }

    pub(super) fn inbox(&self, shard: usize) -> &Arc<Inbox> {
        &self.inboxes[shard]
    }

    /// The pulse of each shard.
    pub fn pulses(&self) -> &[Arc<Pulse>] {
        &self.pulses
    }

    /// How often the process stood still.
    pub fn standstills(&self) -> &Standstills {
        &self.standstills
    }

    /// Makes every shard turn and looks again after `within`: the first whose loop has not turned. What a watchdog asks. A
    /// time in which the whole process stood still does not count.
    pub async fn stuck(&self, within: Duration) -> Option<usize> {
        let before: Vec<u64> = self.pulses.iter().map(|pulse| pulse.turns()).collect();
        self.inboxes.iter().for_each(|inbox| inbox.ring());
        patience::within(within, std::future::pending::<()>()).await;
        self.pulses.iter().zip(&before).position(|(pulse, before)| pulse.turns() == *before)
    }

    /// Calls that live now.
    pub fn live_calls(&self) -> usize {
        self.pulses.iter().map(|pulse| pulse.live_calls()).sum()
    }

    /// Asks the shard that owns what the command is about.
    ///
    /// # Errors
    /// The shard could not be asked. What the engine refuses is a [`Reply::Refused`].
    pub async fn command(&self, command: Command) -> Result<Reply, Unavailable> {
        let id = match &command {
            Command::Handoff { call, .. }
            | Command::HangUp { call }
            | Command::SetVariables { call, .. }
            | Command::ShowCall { call } => call,
            Command::CancelHandoff { handoff }
            | Command::CompleteHandoff { handoff }
            | Command::ShowHandoff { handoff } => handoff,
            Command::Test { environment, destination, .. } => {
                let shard = self.owner(test_call::name(environment, destination).as_bytes());
                return self.ask_within(shard, command, TEST_LONGEST + SHARD_ANSWERS).await;
            }
            Command::List { .. } | Command::Count => return self.ask(0, command).await,
        };
        let shard = self.owner(id.as_bytes());
        self.ask(shard, command).await
    }

    async fn ask(&self, shard: usize, command: Command) -> Result<Reply, Unavailable> {
        self.ask_within(shard, command, SHARD_ANSWERS).await
    }

    async fn ask_within(
        &self,
        shard: usize,
        command: Command,
        within: Duration,
    ) -> Result<Reply, Unavailable> {
        let (sender, receiver) = oneshot::channel();
        if !self.inboxes[shard].push_command(command, sender) {
            return Err(Unavailable::Busy);
        }
        match patience::within(within, receiver).await {
            Some(Ok(reply)) => Ok(reply),
            Some(Err(_)) | None => Err(Unavailable::Silent),
        }
    }

    /// The counters of all shards, summed.
    ///
    /// # Errors
    /// A shard could not be asked.
    pub async fn counters(&self) -> Result<Counters, Unavailable> {
        let mut sum = Counters::default();
        for shard in 0..self.count() {
            if let Reply::Counters(counters) = self.ask(shard, Command::Count).await? {
                sum.add(&counters);
            }
        }
        Ok(sum)
    }

    /// A page of live calls, shard by shard, and where the next page begins.
    ///
    /// # Errors
    /// A shard could not be asked.
    pub async fn list(
        &self,
        from: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<CallView>, Option<Cursor>), Unavailable> {
        let limit = limit.clamp(1, PAGE);
        let mut found = Vec::new();
        let Cursor { mut shard, mut after } = from.unwrap_or(Cursor { shard: 0, after: None });
        while shard < self.count() {
            let wanted = limit - found.len();
            let reply = self.ask(shard, Command::List { after: after.take(), limit: wanted }).await?;
            let Reply::Calls(page) = reply else { return Err(Unavailable::Silent) };
            let full = page.len() >= wanted;
            found.extend(page);
            if full {
                after = found.last().map(|call| call.id.clone());
                return Ok((found, Some(Cursor { shard, after })));
            }
            shard += 1;
        }
        Ok((found, None))
    }

    /// Gives every shard new tables and waits until all of them decide by them.
    ///
    /// # Errors
    /// A shard did not answer; it takes them as soon as it turns again.
    pub async fn adopt(&self, tables: &Arc<Tables>) -> Result<(), Unavailable> {
        let mut waiting = Vec::with_capacity(self.count());
        for inbox in &self.inboxes {
            let (sender, receiver) = oneshot::channel();
            inbox.push(Item::Tables(Arc::clone(tables), sender));
            waiting.push(receiver);
        }
        for receiver in waiting {
            match patience::within(SHARD_ANSWERS, receiver).await {
                Some(Ok(())) => {}
                Some(Err(_)) | None => return Err(Unavailable::Silent),
            }
        }
        Ok(())
    }

    /// No new calls from now on; what lives at `by`, in true time, is closed. A second call can only shorten the grace.
    pub fn drain(&self, by: Time) {
        self.inboxes.iter().for_each(|inbox| inbox.push(Item::Drain(by)));
    }

    /// Ends every shard's thread after its next turn.
    pub fn stop(&self) {
        self.inboxes.iter().for_each(|inbox| inbox.push(Item::Stop));
    }
}

impl Deliver for Shards {
    fn message(&self, flow: Flow, bytes: &[u8]) -> bool {
        let inbox = &self.inboxes[self.owner_of_message(bytes).unwrap_or(0)];
        let taken = inbox.push_message(flow, bytes);
        inbox.kick();
        taken
    }

    fn send_failed(&self, shard: u16, id: u64) {
        if let Some(inbox) = self.inboxes.get(usize::from(shard)) {
            inbox.push(Item::SendFailed(id));
        }
    }

    fn sent(&self, shard: u16, id: u64) {
        if let Some(inbox) = self.inboxes.get(usize::from(shard)) {
            inbox.push(Item::Sent(id));
        }
    }

    fn flow_closed(&self, connection: u64, peer: SocketAddr) {
        self.inboxes.iter().for_each(|inbox| inbox.push(Item::FlowClosed(connection, peer)));
    }

    fn refused(&self, flow: Flow) {
        self.inboxes.iter().for_each(|inbox| inbox.push(Item::Refused(flow)));
    }

    fn resolved(&self, shard: u16, query: u64, flows: Vec<Flow>) {
        if let Some(inbox) = self.inboxes.get(usize::from(shard)) {
            inbox.push(Item::Located(Ticket(query), flows));
        }
    }
}

impl Shards {
    /// Whether a shard other than this one has datagrams to read that may be for this one.
    pub(super) fn is_other_behind(&self, shard: usize) -> bool {
        self.pulses.iter().enumerate().any(|(other, pulse)| other != shard && pulse.is_behind())
    }

    /// Gives a copy to all shards but this one.
    pub(super) fn read_all(&self, shard: usize, unread: &Unread) {
        for (_, inbox) in self.inboxes.iter().enumerate().filter(|(other, _)| *other != shard) {
            inbox.push(Item::Read(unread.clone()));
        }
    }

    /// Hands a datagram to its owner without waking it; false: dropped for want of room, and counted.
    pub(super) fn hand_over(&self, shard: usize, flow: Flow, bytes: &[u8]) -> bool {
        let taken = self.inboxes[shard].push_message(flow, bytes);
        if !taken {
            self.counts.queue_dropped.bump();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a shard's loop does when there is nothing to do: wait for the bell, turn, wait.
    async fn turns(shards: Arc<Shards>, shard: usize) {
        loop {
            shards.inbox(shard).kicked().await;
            shards.pulses[shard].turned(0);
        }
    }

    #[tokio::test]
    async fn a_loop_that_does_not_turn_is_found() {
        let shards = Shards::new(2, SlotKey([7; 16]), Arc::default());
        // Long enough for a busy machine; a loop that turns does so within microseconds.
        let within = Duration::from_millis(200);
        let first = tokio::spawn(turns(Arc::clone(&shards), 0));
        assert_eq!(shards.stuck(within).await, Some(1), "the second was never started");
        let second = tokio::spawn(turns(Arc::clone(&shards), 1));
        assert_eq!(shards.stuck(within).await, None, "an idle loop turns when it is rung");
        first.abort();
        assert_eq!(shards.stuck(within).await, Some(0), "it turned before, and does not any more");
        second.abort();
    }

    #[tokio::test]
    async fn a_shard_that_has_ended_answers_nobody() {
        let shards = Shards::new(1, SlotKey([7; 16]), Arc::default());
        let (sender, receiver) = oneshot::channel();
        assert!(shards.inbox(0).push_command(Command::Count, sender));
        let mut items = Vec::new();
        shards.inbox(0).take(usize::MAX, &mut items);
        drop(items);
        assert!(receiver.await.is_err(), "whoever waits learns that there is no reply");
    }

    #[test]
    fn commands_are_bounded() {
        let shards = Shards::new(1, SlotKey([7; 16]), Arc::default());
        let mut waiting = Vec::new();
        let taken = (0..2 * super::super::inbox::COMMANDS).filter(|_| {
            let (sender, receiver) = oneshot::channel();
            waiting.push(receiver);
            shards.inbox(0).push_command(Command::Count, sender)
        });
        assert_eq!(taken.count(), super::super::inbox::COMMANDS);
    }
}
