//! Messages on their way out: one arena of bytes and a queue of who goes where.
//!
//! The sockets drain it after each input. It allocates nothing for a message once it is warm, and gives back what
//! a burst made it take.

use super::flow::Flow;
use std::collections::VecDeque;
use std::ops::Range;

/// One message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Names it if it cannot be sent; 0 = nobody cares.
    pub id: u64,
    /// By a stream: whether it is to be told when it has left, and may be taken back until then.
    pub told: bool,
    /// Where it goes.
    pub flow: Flow,
    /// The whole message.
    pub bytes: &'a [u8],
}

/// Bit of a transmit id by a stream that asks to be told when the message has left, and allows it to be taken back until
/// then.
pub(crate) const TOLD: u64 = 1 << 60;

/// Id of a response that nobody is told of, in the log neither: one of many that turn requests away.
pub(crate) const QUIET: u64 = 1 << 57;

/// The arena is given back beyond this when it is drained.
const KEPT: usize = 256 * 1024;

#[derive(Debug)]
struct Entry {
    id: u64,
    flow: Flow,
    range: Range<usize>,
}

/// Queues the messages that wait to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    arena: Vec<u8>,
    /// Where one message is written before it is queued.
    draft: Vec<u8>,
    queue: VecDeque<Entry>,
}

impl Outbox {
    /// Queues what `write` leaves in the empty buffer that it gets (so a [`crate::wire::Writer`] may be made on it).
    /// Nothing left = nothing queued.
    pub fn write(&mut self, id: u64, flow: Flow, write: impl FnOnce(&mut Vec<u8>)) {
        let mut draft = std::mem::take(&mut self.draft);
        draft.clear();
        write(&mut draft);
        self.copy(id, flow, &draft);
        self.draft = draft;
    }

    /// Queues a copy of `bytes`; no bytes are no message.
    pub fn copy(&mut self, id: u64, flow: Flow, bytes: &[u8]) {
        self.reset_if_drained();
        let start = self.arena.len();
        if !bytes.is_empty() {
            self.arena.extend_from_slice(bytes);
            self.queue.push_back(Entry { id, flow, range: start..self.arena.len() });
        }
    }

    /// What waits under that id for a socket is not wanted any more. What goes by a stream is taken back by those who have
    /// it.
    pub fn drop_datagrams(&mut self, id: u64) {
        self.queue.retain(|entry| entry.id != id || entry.flow.transport.is_reliable());
    }

    /// The next one in order.
    pub fn poll(&mut self) -> Option<Transmit<'_>> {
        let entry = self.queue.pop_front()?;
        let told = entry.id & TOLD != 0;
        Some(Transmit { id: entry.id, told, flow: entry.flow, bytes: &self.arena[entry.range] })
    }

    /// The same, left where it is.
    pub fn peek(&self) -> Option<Transmit<'_>> {
        let Entry { id, flow, range } = self.queue.front()?;
        Some(Transmit { id: *id, told: id & TOLD != 0, flow: *flow, bytes: &self.arena[range.clone()] })
    }

    /// Messages waiting.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn reset_if_drained(&mut self) {
        if self.queue.is_empty() {
            self.arena.clear();
            self.arena.shrink_to(KEPT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;

    fn flow(port: u16) -> Flow {
        Flow { transport: Transport::Udp, listener: 0, peer: ([127, 0, 0, 1], port).into(), connection: 0 }
    }

    #[test]
    fn keeps_order_and_says_where() {
        let mut outbox = Outbox::default();
        outbox.copy(7, flow(1), b"first");
        outbox.write(0, flow(2), |buffer| {
            buffer.clear();
            buffer.extend_from_slice(b"second");
        });
        outbox.write(9, flow(3), |_| ());
        assert_eq!(outbox.len(), 2);
        assert_eq!(outbox.poll(), Some(Transmit { id: 7, told: false, flow: flow(1), bytes: b"first" }));
        assert_eq!(outbox.poll(), Some(Transmit { id: 0, told: false, flow: flow(2), bytes: b"second" }));
        assert_eq!(outbox.poll(), None);
    }

    #[test]
    fn datagrams_that_are_not_wanted_any_more_do_not_leave() {
        let mut outbox = Outbox::default();
        let stream = Flow { transport: Transport::Tcp, ..flow(1) };
        outbox.copy(7, flow(1), b"given up");
        outbox.copy(7, stream, b"taken back");
        outbox.copy(8, flow(1), b"another");
        outbox.drop_datagrams(7);
        assert_eq!(outbox.poll(), Some(Transmit { id: 7, told: false, flow: stream, bytes: b"taken back" }));
        assert_eq!(outbox.poll(), Some(Transmit { id: 8, told: false, flow: flow(1), bytes: b"another" }));
        assert_eq!(outbox.poll(), None);
    }

    #[test]
    fn is_bounded_by_what_waits() {
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            outbox.copy(1, flow(1), &[0; 1200]);
        }
        let peak = outbox.arena.capacity();
        while outbox.poll().is_some() {}
        outbox.copy(1, flow(1), b"small");
        assert!(peak > KEPT && outbox.arena.capacity() <= KEPT);
        while outbox.poll().is_some() {}
        let (warm, address) = (outbox.arena.capacity(), outbox.arena.as_ptr());
        for _ in 0..1000 {
            outbox.copy(1, flow(1), &[0; 1200]);
            assert!(outbox.poll().is_some());
        }
        assert_eq!((outbox.arena.capacity(), outbox.arena.as_ptr()), (warm, address));
    }
}
