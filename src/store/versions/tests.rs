//! The list is true whatever happens in between: each test plays one order of writes, crashes and hands.

use super::*;
use crate::routing::table::hash;
use crate::sip::UnixMillis;
use tempfile::TempDir;

fn at(millis: i64) -> Stamp {
    Stamp(UnixMillis(millis))
}

struct Shelf {
    folder: TempDir,
    versions: Versions,
}

impl Shelf {
    fn new() -> Shelf {
        Shelf::in_folder(tempfile::tempdir().unwrap())
    }

    fn in_folder(folder: TempDir) -> Shelf {
        let versions = Versions::new(&StateDir::at(folder.path()));
        assert_eq!(versions.reopen(at(0)), Reopened::Now);
        Shelf { folder, versions }
    }

    /// As after a crash: nothing but the disk is left.
    fn again(self) -> Shelf {
        let Shelf { folder, versions } = self;
        drop(versions);
        Shelf::in_folder(folder)
    }

    fn accept(&self, text: &str) -> Accepted {
        self.accept_in("production", text)
    }

    fn accept_in(&self, environment: &str, text: &str) -> Accepted {
        let hash = hash(text);
        let found = Found { environment, text, hash: &hash };
        self.versions.accept(&[found], at(1)).unwrap().remove(0)
    }

    fn intend(&self, text: &str) -> Version {
        let draft = Draft {
            environment: "production".to_owned(),
            by: "alice".to_owned(),
            message: Some("because".to_owned()),
            origin: Origin::Promote { environment: "sandbox".to_owned(), version: 4 },
        };
        self.versions.intend(draft, text, at(2)).unwrap()
    }

    /// Numbers, by whom and texts, the newest first; every text is looked at.
    fn list(&self) -> Vec<(u64, String, String)> {
        let versions = self.versions.list("production", None, usize::MAX).unwrap();
        versions
            .into_iter()
            .map(|version| (version.number, version.by.clone(), self.versions.text(&version).unwrap()))
            .collect()
    }

    fn texts(&self) -> u64 {
        self.versions.with(|ledger| Ok(ledger.texts())).unwrap()
    }
}

fn row(number: u64, by: &str, text: &str) -> (u64, String, String) {
    (number, by.to_owned(), text.to_owned())
}

#[test]
fn a_text_keeps_its_number_and_another_one_is_the_next() {
    let it = Shelf::new();
    assert_eq!((it.accept("a").version.number, it.accept("a").is_new), (1, false));
    let it = it.again();
    assert_eq!((it.accept("a").version.number, it.accept("a").is_new), (1, false));
    // Also after it was edited while nobody was there to see it.
    let it = it.again();
    assert_eq!((it.accept("b").version.number, it.accept_in("sandbox", "b").version.number), (2, 1));
    // And an old text that comes back by hand is a new state.
    assert_eq!(it.accept("a").version.number, 3);
    assert_eq!(it.list(), [row(3, "file", "a"), row(2, "file", "b"), row(1, "file", "a")]);
    assert_eq!(it.texts(), 2, "each text once, whoever has it");
}

#[test]
fn pages_and_what_came_before() {
    let it = Shelf::new();
    for text in ["a", "b", "c", "d"] {
        it.accept(text);
    }
    let numbers = |below, limit| -> Vec<u64> {
        it.versions.list("production", below, limit).unwrap().iter().map(|v| v.number).collect()
    };
    assert_eq!((numbers(None, 3), numbers(Some(2), 3)), (vec![4, 3, 2], vec![1]));
    assert_eq!(it.versions.before("production", 3).unwrap().unwrap().number, 2);
    assert_eq!(it.versions.before("production", 1).unwrap(), None);
    assert_eq!(it.versions.find("production", 9).unwrap(), None);
    assert!(it.versions.list("prod", None, 9).unwrap().is_empty(), "an environment's name is no prefix");
}

#[test]
fn what_was_intended_is_listed_when_the_file_has_it() {
    let it = Shelf::new();
    it.accept("a");
    let intent = it.intend("b");
    assert_eq!(it.list().len(), 1, "not before");
    let accepted = it.accept("b");
    assert_eq!((accepted.version, accepted.is_new, accepted.dropped), (intent, true, None));
    assert_eq!(it.list(), [row(2, "alice", "b"), row(1, "file", "a")]);
    assert_eq!(it.versions.find("production", 2).unwrap().unwrap().message.as_deref(), Some("because"));
}

#[test]
fn a_crash_between_rename_and_finish_is_finished_with_its_message() {
    let it = Shelf::new();
    it.accept("a");
    it.intend("b");
    let it = it.again();
    let accepted = it.accept("b");
    assert!(accepted.is_new && accepted.version.message.as_deref() == Some("because"), "{accepted:?}");
    assert_eq!(it.list(), [row(2, "alice", "b"), row(1, "file", "a")]);
}

#[test]
fn a_crash_between_intent_and_rename_leaves_nothing() {
    let it = Shelf::new();
    it.accept("a");
    it.intend("b");
    let it = it.again();
    let accepted = it.accept("a");
    assert!(!accepted.is_new && accepted.dropped.is_some_and(|intent| intent.number == 2));
    assert_eq!((it.list(), it.texts()), (vec![row(1, "file", "a")], 1));
    assert_eq!(it.accept("b").version.by, "file", "and nothing of it comes back later");
}

#[test]
fn a_hand_in_that_gap_wins() {
    let it = Shelf::new();
    it.accept("a");
    it.intend("b");
    let it = it.again();
    let accepted = it.accept("c");
    assert_eq!((accepted.version.by.as_str(), accepted.version.number), ("file", 2));
    assert!(accepted.dropped.is_some());
    assert_eq!((it.list(), it.texts()), (vec![row(2, "file", "c"), row(1, "file", "a")], 2));
}

#[test]
fn what_is_withdrawn_leaves_nothing() {
    let it = Shelf::new();
    it.accept("a");
    it.intend("b");
    it.versions.withdraw("production").unwrap();
    assert_eq!((it.list().len(), it.texts()), (1, 1));
    it.intend("b");
    it.intend("c");
    assert_eq!(it.texts(), 2, "a second intent takes the place of the first");
    assert_eq!(it.accept("b").version.by, "file");
    it.intend("a");
    it.versions.withdraw("production").unwrap();
    assert_eq!(it.texts(), 2, "and a text that a version has stays");
}

#[test]
fn the_oldest_are_forgotten_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let kept = |versions, bytes| Kept { versions, bytes, least: 2 };
    let open = |kept| {
        let mut versions = Versions::new(&StateDir::at(folder.path()));
        versions.kept = kept;
        versions.reopen(at(0));
        versions
    };
    let accept = |versions: &Versions, text: &str| {
        let hash = hash(text);
        let found = Found { environment: "production", text, hash: &hash };
        versions.accept(&[found], at(1)).unwrap().remove(0).version.number
    };
    let listed = |versions: &Versions| -> Vec<u64> {
        versions.list("production", None, 99).unwrap().iter().map(|v| v.number).collect()
    };
    let versions = open(kept(3, 1000));
    for text in ["a", "b", "a", "c", "a"] {
        accept(&versions, text);
    }
    assert_eq!(listed(&versions), [5, 4, 3]);
    assert_eq!(versions.with(|ledger| Ok(ledger.texts())).unwrap(), 2, "b has nobody any more");
    drop(versions);
    // By bytes, but never below the least.
    let versions = open(kept(9, 10));
    accept(&versions, "0123456789");
    assert_eq!(listed(&versions), [6, 5], "a is 1 byte, and so it is 11");
    accept(&versions, "more than ten");
    assert_eq!(listed(&versions), [7, 6]);
}

#[test]
fn a_spoilt_database_is_kept_aside_and_no_number_is_given_twice() {
    for spoil in [
        (|bytes: &mut Vec<u8>| bytes.truncate(100)) as fn(&mut Vec<u8>),
        |bytes| bytes.fill(b'x'),
        |bytes| bytes.iter_mut().skip(4096).for_each(|byte| *byte ^= 0x55),
    ] {
        let it = Shelf::new();
        it.accept("a");
        it.accept("b");
        let Shelf { folder, versions } = it;
        drop(versions);
        let path = folder.path().join(DATABASE);
        let mut bytes = fs::read(&path).unwrap();
        spoil(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let versions = Versions::new(&StateDir::at(folder.path()));
        let reopened = versions.reopen(at(86_400_000));
        let Reopened::Anew { aside, .. } = reopened else {
            panic!("not found out: {reopened:?}");
        };
        assert_eq!(fs::read(&aside).unwrap(), bytes, "not a byte of it is touched");
        assert!(aside.ends_with("versions.redb.spoilt-19700102T000000000Z"), "{}", aside.display());
        let it = Shelf { folder, versions };
        assert_eq!(it.accept("b").version.number, 3);
    }
}

#[test]
fn a_second_process_is_told_so() {
    let it = Shelf::new();
    let other = Versions::new(&StateDir::at(it.folder.path()));
    let Reopened::No(unavailable) = other.reopen(at(0)) else { panic!("both have it") };
    assert!(unavailable.in_use && unavailable.to_string().contains("another process"), "{unavailable}");
    assert_eq!(other.list("production", None, 1).unwrap_err(), unavailable);
    drop(it.versions);
    assert_eq!((other.reopen(at(0)), other.reopen(at(0))), (Reopened::Now, Reopened::Already));
}

#[test]
fn what_cannot_be_opened_is_left_alone_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    fs::create_dir(&path).unwrap();
    let versions = Versions::new(&StateDir::at(folder.path()));
    assert!(matches!(versions.reopen(at(0)), Reopened::No(why) if !why.in_use));
    assert!(path.is_dir() && !versions.is_available());
    fs::remove_dir(&path).unwrap();
    assert_eq!(versions.reopen(at(0)), Reopened::Now);
}
