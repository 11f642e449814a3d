//! The records: a thread that writes those of ended calls. It waits for no log, and no log for it. What cannot be written is
//! counted, and told once for a row of failures; the next record tries anew.

use super::log::WRITER_RESTS;
use crate::call::record::{CallRecord, Stamp};
use crate::net::counts::Lost;
use crate::observe::line::{Level, Line, Sink};
use crate::shard::clock::wall;
use crate::store::records::{Left, Records};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Records in one write.
const BATCH: usize = 256;
/// While no call ends the file is looked at this often: one that was deleted has its space back within this time.
const FILE_LOOKED_AT: Duration = Duration::from_secs(1);

/// Writes the records of ended calls, in a thread of its own.
pub(super) struct Keeper {
    pub(super) records: Records,
    pub(super) log: Sink,
    pub(super) lost: Arc<Lost>,
    /// Records that were not written in the present row of failures.
    pub(super) failed: u64,
}

impl Keeper {
    /// Writes until the end is told.
    pub(super) fn run(mut self, queue: &Receiver<Option<Arc<CallRecord>>>) {
        let mut batch = Vec::new();
        let mut ends = false;
        while !ends {
            match self.next(queue) {
                Some(Some(first)) => batch.push(first),
                Some(None) => return,
                None => continue,
            }
            while batch.len() < BATCH && !ends {
                match queue.try_recv() {
                    Ok(Some(record)) => batch.push(record),
                    Ok(None) => ends = true,
                    Err(_) => break,
                }
            }
            self.write(&batch);
            let full = batch.len() == BATCH;
            batch.clear();
            if !full && !ends {
                thread::sleep(WRITER_RESTS);
            }
        }
    }

    /// The next record, or the end; None: there was none while the file was to be looked at.
    fn next(&mut self, queue: &Receiver<Option<Arc<CallRecord>>>) -> Option<Option<Arc<CallRecord>>> {
        if !self.records.is_open() {
            return Some(queue.recv().ok().flatten());
        }
        match queue.recv_timeout(FILE_LOOKED_AT) {
            Ok(next) => Some(next),
            Err(RecvTimeoutError::Disconnected) => Some(None),
            Err(RecvTimeoutError::Timeout) => {
                self.records.look();
                self.tell_left();
                None
            }
        }
    }

    fn write(&mut self, batch: &[Arc<CallRecord>]) {
        let written = self.records.append(batch.iter().map(|record| &**record), Stamp(wall()));
        self.tell_left();
        let Err((failed, error)) = written else {
            if self.failed > 0 {
                (self.log)(Line::info("records.written_again").number("lost", self.failed));
            }
            self.failed = 0;
            return;
        };
        (0..failed).for_each(|_| self.lost.records_failed.bump());
        if self.failed == 0 {
            let call = batch.get(batch.len() - failed).map_or("", |record| record.call.id.as_str());
            let line = Line::warn("records.not_written").text("call", call);
            (self.log)(
                line.text("reason", error.to_string()).text("hint", "free the disk or the permission"),
            );
        }
        self.failed += failed as u64;
    }

    /// A file that is no longer where it was: moving it away is an everyday thing, deleting it is not.
    fn tell_left(&mut self) {
        let Some((file, left)) = self.records.take_left() else { return };
        let (level, reason) = match left {
            Left::Moved => (Level::Info, "moved"),
            Left::Deleted => (Level::Warn, "deleted"),
        };
        (self.log)(
            Line::new(level, "records.file_gone")
                .text("file", file.display().to_string())
                .text("reason", reason)
                .text("hint", "the next record is written into a new file of that name"),
        );
    }
}
