//! Any bytes as a stream: no panic, the same messages however the stream is cut, memory within the cap.

use baton::wire::caps::MAX_MESSAGE;
use baton::wire::frame::{Frame, Framer};

/// Feeds `bytes` whole and in pieces (their size taken from the bytes) and compares.
pub fn frame_body(bytes: &[u8]) {
    let piece = usize::from(bytes.first().copied().unwrap_or(0) % 97) + 1;
    let whole = cut(bytes, bytes.len().max(1));
    let pieces = cut(bytes, piece);
    assert_eq!(whole, pieces, "pieces of {piece} bytes");
}

/// The messages, the pings, and whether the stream broke.
fn cut(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, usize, bool) {
    let mut framer = Framer::new();
    let (mut messages, mut pings) = (Vec::new(), 0);
    for part in bytes.chunks(piece) {
        framer.feed(part);
        loop {
            match framer.poll() {
                Ok(Some(Frame::Message(message))) => messages.push(message.to_vec()),
                Ok(Some(Frame::Ping)) => pings += 1,
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(framer.poll(), Err(fault), "a fault stays");
                    return (messages, pings, true);
                }
            }
        }
        assert!(framer.pending().len() <= MAX_MESSAGE, "more is kept than any message may hold");
    }
    (messages, pings, false)
}
