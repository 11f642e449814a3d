//! What waits for a shard: messages that another thread has received, commands, and news of the network.
//!
//! Messages and commands are bounded; in the last quarter there is no room for new calls, so that calls which stand go
//! on under pressure. What the shard itself has asked for (resolutions, failures of its sends, closed flows) is always
//! taken: its number is bounded by what the shard has in flight.

use crate::call::command::{Command, Reply};
use crate::call::ticket::Ticket;
use crate::net::Unread;
use crate::routing::Tables;
use crate::sip::{Flow, Time};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

/// Messages that may wait.
const MESSAGES: usize = 4096;
/// Commands that may wait.
pub const COMMANDS: usize = 1024;

/// One thing for a shard.
#[derive(Debug)]
pub enum Item {
    /// A message that this shard owns.
    Message {
        /// Where it came from.
        flow: Flow,
        /// As received.
        bytes: Box<[u8]>,
    },
    /// A command and who waits for its reply.
    Command(Command, oneshot::Sender<Reply>),
    /// A transmit was not sent.
    SendFailed(u64),
    /// A transmit that asked to be told was sent.
    Sent(u64),
    /// A stream is gone.
    FlowClosed(u64, SocketAddr),
    /// Nobody listens at the other end of that flow.
    Refused(Flow),
    /// The answer to a question for an address.
    Located(Ticket, Vec<Flow>),
    /// Another shard waits until this one has read all that has arrived.
    Read(Unread),
    /// The others have read and handed over all that had arrived when this shard asked them, by this number.
    AllRead(u64),
    /// New tables; told when they are in force.
    Tables(Arc<Tables>, oneshot::Sender<()>),
    /// No new calls; the end of the grace, in true time.
    Drain(Time),
    /// The shard is to end after this turn.
    Stop,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    messages: usize,
    commands: usize,
}

/// One shard's queue.
#[derive(Debug, Default)]
pub struct Inbox {
    queue: Mutex<Queue>,
    /// The owner has looked, found nothing and is going to wait.
    sleeping: AtomicBool,
    bell: Notify,
}

impl Inbox {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that is done under this lock can leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a copy of a message, if there is room. Does not wake the owner: [`Inbox::kick`] does, once for many.
    pub fn push_message(&self, flow: Flow, bytes: &[u8]) -> bool {
        let mut queue = self.queue();
        let room = if queue.messages < MESSAGES / 4 * 3 {
            true
        } else {
            queue.messages < MESSAGES && !is_new_call(bytes)
        };
        if room {
            queue.messages += 1;
            queue.items.push_back(Item::Message { flow, bytes: bytes.into() });
        }
        room
    }

    /// Queues a command and wakes the owner; false: there is no room.
    pub fn push_command(&self, command: Command, reply: oneshot::Sender<Reply>) -> bool {
        let mut queue = self.queue();
        if queue.commands >= COMMANDS {
            return false;
        }
        queue.commands += 1;
        queue.items.push_back(Item::Command(command, reply));
        drop(queue);
        self.kick();
        true
    }

    /// Queues what must not be lost, and wakes the owner.
    pub fn push(&self, item: Item) {
        self.queue().items.push_back(item);
        self.kick();
    }

    /// Wakes the owner if it sleeps.
    pub fn kick(&self) {
        if self.sleeping.swap(false, Ordering::AcqRel) {
            self.bell.notify_one();
        }
    }

    /// Makes the owner turn once, whether there is something to do or not.
    pub fn ring(&self) {
        self.sleeping.store(false, Ordering::Release);
        self.bell.notify_one();
    }

    /// How many items wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue().items.len()
    }

    /// Takes up to `most` items, oldest first.
    pub fn take(&self, most: usize, into: &mut Vec<Item>) {
        let mut queue = self.queue();
        let count = most.min(queue.items.len());
        for _ in 0..count {
            let Some(item) = queue.items.pop_front() else { break };
            match item {
                Item::Message { .. } => queue.messages -= 1,
                Item::Command(..) => queue.commands -= 1,
                _ => {}
            }
            into.push(item);
        }
    }

    /// Says that the owner is about to wait. False: something has come, do not. After this the queue is only looked at
    /// again by [`Inbox::take`], and whoever pushes sees the flag: either the owner sees the item here, or the pusher
    /// sees the flag, because both go through the same lock in between.
    pub fn fall_asleep(&self) -> bool {
        self.sleeping.store(true, Ordering::Release);
        let empty = self.queue().items.is_empty();
        if !empty {
            self.sleeping.store(false, Ordering::Release);
        }
        empty
    }

    /// Says that the owner is awake: nobody needs to wake it.
    pub fn wake_up(&self) {
        self.sleeping.store(false, Ordering::Release);
    }

    /// Waits for a kick.
    pub async fn kicked(&self) {
        self.bell.notified().await;
    }
}

/// Whether the bytes begin an INVITE outside of a dialog: no tag in its To. A guess for the order of service only;
/// what a message is, the decoder says.
pub fn is_new_call(bytes: &[u8]) -> bool {
    if !bytes.starts_with(b"INVITE ") {
        return false;
    }
    let head = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes, |end| &bytes[..end]);
    let to = head.split(|byte| *byte == b'\n').skip(1).find(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(b"to") || name.eq_ignore_ascii_case(b"t")
    });
    to.is_some_and(|line| memchr::memmem::find(line, b"tag=").is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;

    fn flow() -> Flow {
        Flow {
            transport: Transport::Udp,
            listener: 0,
            peer: "192.0.2.1:5060".parse().unwrap(),
            connection: 0,
        }
    }

    const NEW: &[u8] = b"INVITE sip:a@b SIP/2.0\r\nFrom: <sip:x@y>;tag=1\r\nTo: <sip:a@b>\r\n\r\n";
    const INSIDE: &[u8] = b"INVITE sip:a@b SIP/2.0\r\nt: <sip:a@b>;tag=2\r\n\r\n";
    const BYE: &[u8] = b"BYE sip:a@b SIP/2.0\r\nTo: <sip:a@b>;tag=2\r\n\r\n";

    #[test]
    fn a_full_inbox_takes_calls_that_stand_longer_than_new_ones() {
        assert!(is_new_call(NEW) && !is_new_call(INSIDE) && !is_new_call(BYE));
        let inbox = Inbox::default();
        let taken = (0..2 * MESSAGES).filter(|_| inbox.push_message(flow(), NEW)).count();
        assert_eq!(taken, MESSAGES / 4 * 3);
        let taken = (0..2 * MESSAGES).filter(|_| inbox.push_message(flow(), BYE)).count();
        assert_eq!(taken, MESSAGES / 4);
        inbox.push(Item::FlowClosed(7, ([127, 0, 0, 1], 5060).into()));
        let mut items = Vec::new();
        inbox.take(usize::MAX, &mut items);
        assert_eq!(items.len(), MESSAGES + 1);
        assert!(inbox.push_message(flow(), NEW), "room again");
    }

    #[tokio::test]
    async fn a_kick_between_the_look_and_the_wait_is_not_lost() {
        let inbox = Inbox::default();
        assert!(inbox.fall_asleep());
        inbox.push(Item::SendFailed(1));
        tokio::time::timeout(std::time::Duration::from_secs(5), inbox.kicked()).await.expect("kicked");
        assert!(!inbox.fall_asleep(), "something is there");
    }
}
