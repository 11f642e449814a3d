//! Events become log lines and records here, and nowhere else. Two threads: one writes lines to standard error (`log`),
//! one writes records (`keeper`), and neither knows of the other: a log that nobody reads costs no record, a slow disk no
//! line. Neither ever holds up a shard: what there is no room for is dropped and counted. Only the history takes note at
//! once, in its bounded memory.

use super::configuration::Log;
use super::keeper::Keeper;
use super::lines::line_of;
use super::log::{News, Writer};
use super::outlet::{Inlet, Outlet};
use super::systemd;
use crate::call::event::{Event, EventKind};
use crate::call::record::CallRecord;
use crate::http::history::History;
use crate::net::counts::Lost;
use crate::observe::line::{Level, Line, Sink};
use crate::shard::Events;
use crate::shard::clock::wall;
use crate::store::records::Records;
use std::sync::Arc;
use std::time::Duration;

/// Events and lines that may wait to be written.
const WAITING: usize = 16 * 1024;
/// Records that may wait to be written.
const RECORDS: usize = 16 * 1024;
/// At the end, what waits has this long to be written: a disk that is busy takes its time, a pipe that nobody reads
/// takes nothing.
const LAST_RECORDS: Duration = Duration::from_secs(5);
const LAST_LINES: Duration = Duration::from_secs(1);

/// The running telemetry.
pub struct Telemetry {
    lines: Outlet<News>,
    records: Outlet<Arc<CallRecord>>,
    way: Way,
}

/// What whoever tells something needs.
#[derive(Clone)]
struct Way {
    lines: Inlet<News>,
    records: Inlet<Arc<CallRecord>>,
    history: Arc<History>,
    level: Level,
    lost: Arc<Lost>,
}

impl Telemetry {
    /// Starts both threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        log: Log,
        history: Arc<History>,
        records: Records,
        lost: Arc<Lost>,
    ) -> std::io::Result<Telemetry> {
        let writer = Writer::new(log, systemd::logs_to_journal(), std::io::stderr(), Arc::clone(&lost));
        let lines = Outlet::start("telemetry", WAITING, move |queue| writer.run(queue))?;
        let sink = sink(lines.inlet(), log.level, Arc::clone(&lost));
        let keeper = Keeper { records, log: sink, lost: Arc::clone(&lost), failed: 0 };
        let records = Outlet::start("records", RECORDS, move |queue| keeper.run(queue))?;
        let (to_lines, to_records) = (lines.inlet(), records.inlet());
        let way = Way { lines: to_lines, records: to_records, history, level: log.level, lost };
        Ok(Telemetry { lines, records, way })
    }

    /// Where lines go.
    pub fn sink(&self) -> Sink {
        sink(self.way.lines.clone(), self.way.level, Arc::clone(&self.way.lost))
    }

    /// Where events go.
    pub fn events(&self) -> Events {
        let way = self.way.clone();
        Arc::new(move |event| way.tell(event))
    }

    /// Writes what waits, and ends, however slow whoever takes it is.
    pub fn finish(self) {
        let log = self.sink();
        if !self.records.end(LAST_RECORDS) {
            log(Line::error("records.left")
                .text("hint", "the disk does not answer; what waited for it is lost"));
        }
        // Where it does not end, nobody reads what it would say.
        let _ = self.lines.end(LAST_LINES);
    }
}

impl Way {
    /// The history takes note before the shard goes on: what its engine has forgotten can be read at once, whenever its
    /// line is written. It is a short lock, and only for what has ended.
    fn tell(&self, event: Event) {
        self.history.note(&event);
        if let EventKind::CallEnded(record) = &event.what
            && self.records.put(Arc::clone(record)).is_err()
        {
            self.lost.records.bump();
        }
        if let Err(News::Event(event)) = self.lines.put(News::Event(Box::new(event)))
            && line_of(&event).level >= self.level
        {
            self.lost.lines.bump();
        }
    }
}

fn sink(lines: Inlet<News>, level: Level, lost: Arc<Lost>) -> Sink {
    Arc::new(move |mut line: Line| {
        if line.level < level {
            return;
        }
        line.at.get_or_insert(wall().0);
        if lines.put(News::Line(Box::new(line))).is_err() {
            lost.lines.bump();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::event::EventKind;
    use crate::call::record::Stamp;
    use serde_json::json;

    #[test]
    fn an_ended_handoff_can_be_read_before_its_line_is_written() {
        let handoff = serde_json::from_value(json!({
            "id": "h-1a3-x", "call_id": "c-1a3-x", "environment": "production", "table_version": 1,
            "destination": "front-desk", "reason": null, "utterance": null, "state": "succeeded",
            "proof": "reported", "cause": null, "attempts": [],
            "explain": {"title": "", "cause": "", "next_step": ""},
            "created_at": "2026-01-02T03:04:05.678Z", "ended_at": "2026-01-02T03:04:06.678Z",
        }));
        let handoff = Arc::new(handoff.unwrap());
        // Nobody takes what is put in there.
        let lines = Outlet::start("test", 1, |_| {}).unwrap();
        let records = Outlet::start("test", 1, |_| {}).unwrap();
        let history = Arc::<History>::default();
        let way = Way {
            lines: lines.inlet(),
            records: records.inlet(),
            history: Arc::clone(&history),
            level: Level::Info,
            lost: Arc::default(),
        };
        assert!(lines.end(Duration::from_secs(20)) && records.end(Duration::from_secs(20)));
        let what = EventKind::HandoffEnded { handoff, caller_hurt: false };
        way.tell(Event { at: Stamp(crate::sip::UnixMillis(0)), what });
        assert_eq!(way.lost.lines.read(), 1);
        assert!(history.handoff("h-1a3-x").is_some());
    }
}
