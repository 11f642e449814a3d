//! One JSON line for each ended call, in `records/YYYY-MM-DD.jsonl` by the UTC day on which it ended.

use super::{StateDir, StoreError};
use crate::call::record::{CallRecord, Stamp};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Appends records. One writer for the process.
#[derive(Debug)]
pub struct Records {
    folder: PathBuf,
    /// The file of the latest day.
    open: Option<Open>,
    left: Option<(PathBuf, Left)>,
}

#[derive(Debug)]
struct Open {
    day: String,
    path: PathBuf,
    file: File,
    /// Device and inode.
    place: (u64, u64),
}

/// What became of an open file that is no longer under its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It has another name now.
    Moved,
    /// It has none.
    Deleted,
}

impl Records {
    /// Below `state`; the folder is created where it is not there yet.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn open(state: &StateDir) -> Result<Records, StoreError> {
        let folder = state.path().join("records");
        fs::create_dir_all(&folder).map_err(StoreError::at(&folder, "cannot be created"))?;
        Ok(Records { folder, open: None, left: None })
    }

    /// Appends records in their order. `now` is the day of a record that names no end.
    ///
    /// # Errors
    /// A file cannot be opened or written: how many of the records, counted from the last, were not written, and why.
    /// The next call tries anew.
    pub fn append<'a>(
        &mut self,
        records: impl ExactSizeIterator<Item = &'a CallRecord>,
        now: Stamp,
    ) -> Result<(), (usize, StoreError)> {
        let mut left = records.len();
        let (mut day, mut lines, mut waiting) = (String::new(), Vec::new(), 0);
        for record in records {
            let mut of = record.call.ended_at.unwrap_or(now).to_string();
            of.truncate(10);
            if of != day {
                self.write(&day, &lines).map_err(|error| (left, error))?;
                left -= std::mem::take(&mut waiting);
                lines.clear();
                day = of;
            }
            let at =
                |error: serde_json::Error| StoreError::at(&self.folder, "cannot be serialised")(error.into());
            serde_json::to_writer(&mut lines, record).map_err(|error| (left, at(error)))?;
            lines.push(b'\n');
            waiting += 1;
        }
        self.write(&day, &lines).map_err(|error| (left, error))
    }

    /// One write of whole lines: a reader never sees half a line of a process that goes on.
    fn write(&mut self, day: &str, lines: &[u8]) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        // A record may end on the day before the last one's; the file follows.
        self.look();
        let path = self.folder.join(format!("{day}.jsonl"));
        let mut open = match self.open.take() {
            Some(open) if open.day == day => open,
            _ => self.open_day(day, &path).map_err(StoreError::at(&path, "cannot be opened"))?,
        };
        open.file.write_all(lines).map_err(StoreError::at(&path, "cannot be written"))?;
        self.open = Some(open);
        Ok(())
    }

    /// Whether a file is open, which may go.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Closes the file if it is no longer under its path: what is written into it would be found by nobody, and its space
    /// is not given back while it is open. One stat(2); done before each write, and for the owner to do now and then.
    pub fn look(&mut self) {
        let Some(open) = &self.open else { return };
        if fs::metadata(&open.path).is_ok_and(|found| (found.dev(), found.ino()) == open.place) {
            return;
        }
        // Where its own name is gone and cannot be asked for, it has others.
        let left = match open.file.metadata() {
            Ok(own) if own.nlink() == 0 => Left::Deleted,
            Ok(_) | Err(_) => Left::Moved,
        };
        self.left = Some((open.path.clone(), left));
        self.open = None;
    }

    /// The latest file that was found gone since this was asked, and what became of it.
    pub fn take_left(&mut self) -> Option<(PathBuf, Left)> {
        self.left.take()
    }

    /// Opens a day's file for appending. A full disk or a crash may have left half a line at its end; it is ended, so that
    /// it spoils no record but its own.
    fn open_day(&self, day: &str, path: &Path) -> io::Result<Open> {
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true).mode(0o600);
        let mut file = match options.open(path) {
            // The folder was moved away with all that was in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.folder)?;
                options.open(path)?
            }
            opened => opened?,
        };
        let found = file.metadata()?;
        let mut last = [b'\n'];
        if found.len() > 0 {
            file.read_exact_at(&mut last, found.len() - 1)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        Ok(Open { day: day.to_owned(), path: path.to_owned(), file, place: (found.dev(), found.ino()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::{CallState, CallView};
    use crate::sip::UnixMillis;
    use std::collections::BTreeMap;

    fn record(id: &str, ended_at: Option<i64>) -> CallRecord {
        let call = CallView {
            id: id.to_owned(),
            state: CallState::Ended,
            environment: "production".to_owned(),
            agent: None,
            trunk: "pbx".to_owned(),
            caller_id: None,
            called_number: "100".to_owned(),
            variables: BTreeMap::new(),
            started_at: Stamp(UnixMillis(0)),
            answered_at: None,
            ended_at: ended_at.map(|at| Stamp(UnixMillis(at))),
            ended_by: None,
            legs: Vec::new(),
            handoffs: Vec::new(),
        };
        CallRecord { call, handoffs: Vec::new() }
    }

    #[test]
    fn a_record_stands_under_the_day_of_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut records = Records::open(&StateDir::at(folder.path())).unwrap();
        let day = 86_400_000;
        let now = Stamp(UnixMillis(2 * day));
        let all = [("a", Some(day - 1)), ("b", Some(day)), ("c", Some(day - 2)), ("d", None)];
        let all = all.map(|(id, at)| record(id, at));
        records.append(all.iter().take(1), now).unwrap();
        records.append(all.iter().skip(1), now).unwrap();
        let ids = |file: &str| -> Vec<String> {
            let text = fs::read_to_string(folder.path().join("records").join(file)).unwrap();
            let read = |line: &str| serde_json::from_str::<CallRecord>(line).unwrap().call.id;
            text.lines().map(read).collect()
        };
        assert_eq!(ids("1970-01-01.jsonl"), ["a", "c"]);
        assert_eq!(ids("1970-01-02.jsonl"), ["b"]);
        assert_eq!(ids("1970-01-03.jsonl"), ["d"]);
    }

    #[test]
    fn half_a_line_spoils_no_other_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut records = Records::open(&StateDir::at(folder.path())).unwrap();
        let file = folder.path().join("records/1970-01-01.jsonl");
        fs::write(&file, "{\"call\":{\"id\":\"cut of").unwrap();
        let now = Stamp(UnixMillis(0));
        records.append([record("a", Some(1)), record("b", Some(2))].iter(), now).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let read = |line: &str| serde_json::from_str::<CallRecord>(line).ok().map(|record| record.call.id);
        let ids: Vec<Option<String>> = text.lines().map(read).collect();
        assert_eq!(ids, [None, Some("a".to_owned()), Some("b".to_owned())]);
    }

    #[test]
    fn a_full_disk_is_told_and_the_next_record_tries_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut records = Records::open(&StateDir::at(folder.path())).unwrap();
        let file = folder.path().join("records/1970-01-01.jsonl");
        // Whatever is written to it finds the disk full.
        std::os::unix::fs::symlink("/dev/full", &file).unwrap();
        let now = Stamp(UnixMillis(0));
        let (lost, error) = records.append([record("a", Some(1))].iter(), now).unwrap_err();
        assert_eq!((lost, error.error.kind()), (1, io::ErrorKind::StorageFull), "{error}");
        fs::remove_file(&file).unwrap();
        records.append([record("b", Some(2))].iter(), now).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
    }

    #[test]
    fn a_file_that_was_moved_or_deleted_gets_no_record_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut records = Records::open(&StateDir::at(folder.path())).unwrap();
        let file = folder.path().join("records/1970-01-01.jsonl");
        let now = Stamp(UnixMillis(0));
        let mut append = |id: &str| {
            records.append([record(id, Some(1))].iter(), now).unwrap();
            records.take_left().map(|(path, left)| (path == file, left))
        };
        let lines = |file: &Path| fs::read_to_string(file).unwrap().lines().count();
        assert_eq!((append("a"), append("b")), (None, None));
        let old = folder.path().join("records/1970-01-01.jsonl.1");
        fs::rename(&file, &old).unwrap();
        assert_eq!(append("c"), Some((true, Left::Moved)));
        assert_eq!((lines(&old), lines(&file)), (2, 1));
        fs::remove_file(&file).unwrap();
        assert_eq!((append("d"), append("e")), (Some((true, Left::Deleted)), None));
        assert_eq!(lines(&file), 2);
        // Another one has taken its place.
        fs::remove_file(&file).unwrap();
        fs::write(&file, "{}\n").unwrap();
        assert_eq!((append("f"), lines(&file)), (Some((true, Left::Deleted)), 2));
        fs::rename(folder.path().join("records"), folder.path().join("away")).unwrap();
        assert_eq!((append("g"), lines(&file)), (Some((true, Left::Moved)), 1));
    }

    #[test]
    fn a_file_that_is_gone_is_not_held_open_until_the_next_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut records = Records::open(&StateDir::at(folder.path())).unwrap();
        records.append([record("a", Some(1))].iter(), Stamp(UnixMillis(0))).unwrap();
        records.look();
        assert!(records.is_open() && records.take_left().is_none());
        fs::remove_file(folder.path().join("records/1970-01-01.jsonl")).unwrap();
        records.look();
        assert!(!records.is_open() && records.take_left().is_some_and(|(_, left)| left == Left::Deleted));
    }
}
