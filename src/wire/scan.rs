//! The lines of a head, found in one pass: 64 bytes at a time become bit masks of line feeds and control characters.
//!
//! Not here: what a line means ([`super::decode()`]).

use wide::u8x16;

/// Bytes that are looked at together: one bit each in a mask.
const BLOCK: usize = 64;

/// One line of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Offset of its first byte.
    start: u32,
    /// Offset of the CR that ends it.
    end: u32,
}

impl Line {
    /// Offset of its first byte.
    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    /// Offset of the CR that ends it.
    pub(crate) fn end(self) -> usize {
        self.end as usize
    }
}

/// Why there is no further line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoLine {
    /// The bytes are at their end.
    Unended,
    /// A line feed without a carriage return ends no line: two readers would disagree.
    BareFeed,
}

/// The lines of `bytes`, each ended by CRLF.
pub(crate) struct Lines<'a> {
    bytes: &'a [u8],
    /// Offset of the block that the masks are of.
    block: usize,
    feeds: u64,
    /// 1 if the last byte of the block is a control character, in order only if a line feed follows.
    waits_for_feed: u64,
    /// Offset of the first byte of the line that is looked for.
    start: usize,
    odd: bool,
}

/// One bit for each byte of a block.
struct Masks {
    feeds: u64,
    /// Control characters, CR and LF too.
    controls: u64,
}

#[inline]
fn masks(block: &[u8; BLOCK]) -> Masks {
    let (mut feeds, mut controls) = (0, 0);
    for (lane, chunk) in block.as_chunks::<16>().0.iter().enumerate() {
        let bytes = u8x16::new(*chunk);
        let control = bytes.simd_lt(u8x16::splat(0x20)) | bytes.simd_eq(u8x16::splat(0x7f));
        let shift = lane * 16;
        feeds |= u64::from(bytes.simd_eq(u8x16::splat(b'\n')).to_bitmask()) << shift;
        controls |= u64::from(control.to_bitmask()) << shift;
    }
    Masks { feeds, controls }
}

impl<'a> Lines<'a> {
    /// The lines from `start` on.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], start: usize) -> Self {
        // The first look is at the block after this one that has not been.
        let block = start.wrapping_sub(BLOCK);
        Lines { bytes, block, feeds: 0, waits_for_feed: 0, start, odd: false }
    }

    /// True if what was gone through may hold a control character that is not part of a line end. A tab counts, and
    /// so does what stands in the 63 bytes after the last line.
    pub(crate) fn odd(&self) -> bool {
        self.odd
    }

    /// The next line.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<Line, NoLine> {
        while self.feeds == 0 {
            self.look()?;
        }
        let feed = self.block.wrapping_add(self.feeds.trailing_zeros() as usize);
        self.feeds &= self.feeds - 1;
        let start = std::mem::replace(&mut self.start, feed + 1);
        if feed == start || self.bytes[feed - 1] != b'\r' {
            return Err(NoLine::BareFeed);
        }
        Ok(Line { start: start as u32, end: feed as u32 - 1 })
    }

    /// Goes on to the next block.
    #[inline]
    fn look(&mut self) -> Result<(), NoLine> {
        self.block = self.block.wrapping_add(BLOCK);
        let rest = self.bytes.get(self.block..).filter(|rest| !rest.is_empty()).ok_or(NoLine::Unended)?;
        let Masks { feeds, controls } = match rest.first_chunk() {
            Some(block) => masks(block),
            None => {
                let mut block = [b' '; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                masks(&block)
            }
        };
        // `advance` sees to it that it is a CR that stands before each feed.
        let stray = controls & !(feeds | feeds >> 1);
        self.odd |= stray << 1 != 0 || self.waits_for_feed & !feeds & 1 != 0;
        self.waits_for_feed = stray >> (BLOCK - 1);
        self.feeds = feeds;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, one byte at a time.
    fn plainly(bytes: &[u8]) -> (Vec<(usize, usize)>, NoLine) {
        let (mut lines, mut start) = (Vec::new(), 0);
        while let Some(length) = bytes[start..].iter().position(|&byte| byte == b'\n') {
            let feed = start + length;
            if length == 0 || bytes[feed - 1] != b'\r' {
                return (lines, NoLine::BareFeed);
            }
            lines.push((start, feed - 1));
            start = feed + 1;
        }
        (lines, NoLine::Unended)
    }

    proptest! {
        #[test]
        fn blocks_give_what_single_bytes_give(
            pieces in proptest::collection::vec(
                prop_oneof![
                    3 => "[a-z :]{0,70}".prop_map(String::into_bytes),
                    3 => Just(b"\r\n".to_vec()),
                    1 => proptest::sample::select(vec![&b"\n"[..], b"\r", b"\t", b"\x7f", b"\0", b"\xff"])
                        .prop_map(<[u8]>::to_vec),
                ],
                0..20,
            )
        ) {
            let bytes = pieces.concat();
            let (expected, end) = plainly(&bytes);
            let mut lines = Lines::new(&bytes, 0);
            for (start, line_end) in expected {
                let line = lines.advance().expect("a line more");
                prop_assert_eq!((line.start(), line.end()), (start, line_end));
            }
            prop_assert_eq!(lines.advance(), Err(end));
            // Of the last byte it cannot be told what would have followed it.
            let stray = |at: usize| match bytes[at] {
                b'\r' => bytes.get(at + 1) != Some(&b'\n'),
                b'\n' => at == 0 || bytes[at - 1] != b'\r',
                byte => byte < 0x20 || byte == 0x7f,
            };
            if end == NoLine::Unended && (1..bytes.len()).any(|at| stray(at - 1)) {
                prop_assert!(lines.odd(), "it hides a control character");
            }
        }
    }
}
