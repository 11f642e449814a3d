//! The log: a thread that writes lines to standard error. Where that takes nothing, because it is a pipe that nobody
//! reads, or takes no more, because its reader is gone or its disk is full, lines are lost and counted, and nothing else;
//! one line says how many, once lines can be written again.

use super::configuration::Log;
use super::lines::line_of;
use super::systemd;
use crate::call::event::Event;
use crate::net::counts::Lost;
use crate::observe::line::Line;
use crate::shard::clock::wall;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

/// After each write a thread rests for this long, so that under load one wake-up and one write serve many events: a
/// shard that speaks to a thread which sleeps by its own will has nobody to wake. The first event after silence is
/// written at once.
pub(super) const WRITER_RESTS: Duration = Duration::from_millis(10);
/// Bytes in one write, about.
const BATCH: usize = 256 * 1024;
/// Lost lines are told of when all that waits is written, or after so long without having come to that.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// Between two tries, where standard error was opened so that a write does not wait.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// What may become a line.
pub(super) enum News {
    Event(Box<Event>),
    Line(Box<Line>),
}

/// Writes the log's lines to standard error, in a thread of its own.
pub(super) struct Writer<W> {
    log: Log,
    /// Standard error is the journal, which takes a priority from the beginning of a line (sd-daemon(3)).
    journal: bool,
    out: W,
    lost: Arc<Lost>,
    /// How many lost lines were told of, and when.
    told: (u64, Instant),
    /// The latest line was written in part.
    is_cut: bool,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(log: Log, journal: bool, out: W, lost: Arc<Lost>) -> Writer<W> {
        let told = (lost.lines.read(), Instant::now());
        Writer { log, journal, out, lost, told, is_cut: false }
    }

    /// Writes until the end is told.
    pub(super) fn run(mut self, queue: &Receiver<Option<News>>) {
        let mut text = String::new();
        while let Ok(first) = queue.recv() {
            // What waits is written at once, as far as it is there.
            let mut next = Some(first);
            let mut ends = false;
            while let Some(news) = next {
                match news {
                    Some(News::Event(event)) => self.line(&line_of(&event), &mut text),
                    Some(News::Line(line)) => self.line(&line, &mut text),
                    None => ends = true,
                }
                next = if text.len() < BATCH { queue.try_recv().ok() } else { None };
            }
            let full = text.len() >= BATCH;
            let lost = self.lost.lines.read();
            let tells = lost > self.told.0 && (!full || self.told.1.elapsed() > TELL_AGAIN);
            if tells {
                self.line(&lost_lines(lost - self.told.0), &mut text);
            }
            if self.write(&text) && tells {
                self.told = (lost, Instant::now());
            }
            text.clear();
            if ends {
                return;
            }
            if !full {
                thread::sleep(WRITER_RESTS);
            }
        }
    }

    fn line(&self, line: &Line, text: &mut String) {
        if line.level >= self.log.level {
            if self.journal {
                text.push_str(systemd::priority(line.level));
            }
            line.render_into(text, wall().0, self.log.style);
            text.push('\n');
        }
    }

    /// Writes whole lines; false: some of them could not be, and were counted.
    fn write(&mut self, text: &str) -> bool {
        // What comes next is not to be read as the rest of half a line.
        if self.is_cut && !self.put(b"\n").is_empty() {
            self.count(text.as_bytes());
            return false;
        }
        self.is_cut = false;
        let left = self.put(text.as_bytes());
        self.count(left);
        let written = &text.as_bytes()[..text.len() - left.len()];
        self.is_cut = !left.is_empty() && written.last().is_some_and(|last| *last != b'\n');
        left.is_empty()
    }

    fn count(&self, lines: &[u8]) {
        (0..lines.iter().filter(|byte| **byte == b'\n').count()).for_each(|_| self.lost.lines.bump());
    }

    /// Writes bytes for as long as they are taken, and waits where they are not; gives what an error has left.
    fn put<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut left = bytes;
        while !left.is_empty() {
            match self.out.write(left) {
                Ok(0) => return left,
                Ok(length) => left = &left[length..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(TRY_AGAIN),
                // Its reader is gone, its disk is full.
                Err(_) => return left,
            }
        }
        left
    }
}

fn lost_lines(count: u64) -> Line {
    Line::warn("log.lines_lost").number("lines", count).text(
        "hint",
        "whatever reads standard error had stopped, or its disk was full; calls and records went on",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, and then has no room until it is given some.
    #[derive(Default)]
    struct Disk {
        text: Vec<u8>,
        room: usize,
        is_slow: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if std::mem::take(&mut self.is_slow) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let length = bytes.len().min(self.room);
            self.room -= length;
            self.text.extend_from_slice(&bytes[..length]);
            if length == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(length) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_was_full_has_whole_lines_afterwards() {
        let lost = Arc::<Lost>::default();
        let mut writer = Writer::new(Log::default(), false, Disk::default(), Arc::clone(&lost));
        writer.out.room = 7;
        assert!(!writer.write("one\ntwo two\nthree\n"));
        assert_eq!(lost.lines.read(), 2, "one is there, half of another, and the third is not");
        assert!(!writer.write("four\n"));
        assert_eq!(lost.lines.read(), 3);
        (writer.out.room, writer.out.is_slow) = (100, true);
        assert!(writer.write("five\n"), "a write that would have to wait is tried again");
        assert_eq!(String::from_utf8_lossy(&writer.out.text), "one\ntwo\nfive\n");
        assert_eq!(lost.lines.read(), 3);
    }
}
