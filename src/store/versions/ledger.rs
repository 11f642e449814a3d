//! The versions as they stand in the database: which tables it has, and the transactions over them. Every change is one
//! transaction, on disk when it returns. Knows neither files of destinations nor who asks: that is [`super::Versions`].

use super::numbers;
use super::{Accepted, Draft, Found, Origin, Version};
use crate::call::record::Stamp;
use crate::routing::table;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The form of what is stored; a ledger of another one is left alone.
const FORMAT: u64 = 1;
const FORMAT_KEY: &str = "format";
/// Facts about the ledger itself.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
/// Texts by their hash: two versions of one text have it once.
const TEXTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("texts");
/// Versions by environment and number, as JSON.
const VERSIONS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("versions");
/// By environment, the version that is going to be: its file is about to be replaced. As JSON.
const INTENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("intents");
/// By environment, the last number that was given.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

/// What the database keeps in memory at most, in bytes: it is read now and then, by people.
const CACHE: usize = 4 << 20;

/// How much is kept of each environment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// So many versions at most.
    pub(super) versions: usize,
    /// And their texts have no more bytes than this,
    pub(super) bytes: u64,
    /// but so many versions at least.
    pub(super) least: usize,
}

/// Why the ledger could not be read or written.
#[derive(Debug)]
pub(super) enum Fault {
    /// Another process has it open.
    InUse,
    /// What stands in it cannot be right.
    Spoilt(String),
    /// One text is not what it was; all else can be read.
    Lost(String),
    /// Anything else: no permission, no space.
    Failed(String),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Fault {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Fault::InUse,
            redb::Error::Corrupted(why) => Fault::Spoilt(why),
            // What was cut off, and what is something else.
            redb::Error::Io(error)
                if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) =>
            {
                Fault::Spoilt(error.to_string())
            }
            redb::Error::Io(error) => Fault::Failed(error.to_string()),
            other => Fault::Failed(other.to_string()),
        }
    }
}

/// The tables of the database of versions, and the transactions over them.
pub(super) struct Ledger {
    database: Database,
    /// Where the numbers stand a second time.
    numbers: PathBuf,
    kept: Kept,
}

impl Ledger {
    /// Opens the ledger; a new one where there is none. Everything in it is checked once, so that a spoilt one is found
    /// now and not when it is needed.
    pub(super) fn open(path: &Path, numbers: &Path, kept: Kept) -> Result<Ledger, Fault> {
        // For its owner only, like all of the state.
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        drop(file.map_err(|error| Fault::Failed(error.to_string()))?);
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = builder.create(path)?;
        let ledger = Ledger { database, numbers: numbers.to_owned(), kept };
        ledger.prepare()?;
        ledger.check()?;
        Ok(ledger)
    }

    /// Makes the tables of a new ledger. A number that was given once is never given again, also where this ledger has
    /// come in the place of one that was lost.
    fn prepare(&self) -> Result<(), Fault> {
        let write = self.begin()?;
        {
            let mut about = write.open_table(ABOUT)?;
            let format = about.get(FORMAT_KEY)?.map(|format| format.value());
            match format {
                None => {
                    about.insert(FORMAT_KEY, FORMAT)?;
                }
                Some(FORMAT) => {}
                Some(other) => {
                    return Err(Fault::Failed(format!(
                        "was written by another version of Baton, in form {other}"
                    )));
                }
            }
            write.open_table(TEXTS)?;
            write.open_table(VERSIONS)?;
            write.open_table(INTENTS)?;
            let mut given = write.open_table(NUMBERS)?;
            for (environment, number) in numbers::read(&self.numbers) {
                let known = given.get(environment.as_str())?.map_or(0, |known| known.value());
                if number > known {
                    given.insert(environment.as_str(), number)?;
                }
            }
        }
        write.commit()?;
        Ok(())
    }

    /// Every version can be read, and its text is there.
    fn check(&self) -> Result<(), Fault> {
        let read = self.database.begin_read()?;
        let texts = read.open_table(TEXTS)?;
        for row in read.open_table(VERSIONS)?.iter()? {
            let (key, value) = row?;
            let version = decode(value.value())?;
            if version.number != key.value().1 || texts.get(version.hash.as_str())?.is_none() {
                return Err(Fault::Spoilt(format!("version {} has no text", version.number)));
            }
        }
        for row in read.open_table(INTENTS)?.iter()? {
            decode(row?.1.value())?;
        }
        Ok(())
    }

    /// A transaction whose commit needs no luck with what a crash leaves of the last write.
    fn begin(&self) -> Result<WriteTransaction, Fault> {
        let mut write = self.database.begin_write()?;
        write.set_two_phase_commit(true);
        Ok(write)
    }

    /// Up to `limit` versions, the newest first, all with a number below `below`.
    pub(super) fn list(
        &self,
        environment: &str,
        below: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Version>, Fault> {
        let read = self.database.begin_read()?;
        let versions = read.open_table(VERSIONS)?;
        let end =
            below.map_or(Bound::Included((environment, u64::MAX)), |n| Bound::Excluded((environment, n)));
        let rows = versions.range::<(&str, u64)>((Bound::Included((environment, 0)), end))?;
        rows.rev().take(limit).map(|row| decode(row?.1.value())).collect()
    }

    /// The version of that number.
    pub(super) fn find(&self, environment: &str, number: u64) -> Result<Option<Version>, Fault> {
        let read = self.database.begin_read()?;
        let versions = read.open_table(VERSIONS)?;
        versions.get((environment, number))?.map(|row| decode(row.value())).transpose()
    }

    /// The text that has this hash, looked at again.
    pub(super) fn text(&self, hash: &str) -> Result<String, Fault> {
        let read = self.database.begin_read()?;
        let texts = read.open_table(TEXTS)?;
        let stored = texts.get(hash)?.map(|text| text.value().to_vec());
        let text = stored.and_then(|bytes| String::from_utf8(bytes).ok());
        text.filter(|text| &*table::hash(text) == hash)
            .ok_or_else(|| Fault::Lost(format!("the text with the hash {hash} is not what it was")))
    }

    /// Notes that the file of this environment is going to be replaced by `text`: the next number, and what is said of it.
    /// It counts from the moment when [`Ledger::accept`] finds the text in the file.
    pub(super) fn intend(&self, draft: Draft, text: &str, at: Stamp) -> Result<Version, Fault> {
        let write = self.begin()?;
        let version;
        {
            let mut intents = write.open_table(INTENTS)?;
            let given = write.open_table(NUMBERS)?.get(draft.environment.as_str())?.map_or(0, |n| n.value());
            let Draft { environment, by, message, origin } = draft;
            let hash = table::hash(text).to_string();
            let bytes = text.len() as u64;
            version = Version { number: given + 1, at, by, message, origin, hash, bytes };
            let before = intents.insert(environment.as_str(), encode(&version)?.as_slice())?;
            let before = before.map(|row| decode(row.value())).transpose()?;
            write.open_table(TEXTS)?.insert(version.hash.as_str(), text.as_bytes())?;
            drop(intents);
            if let Some(before) = before {
                forget_texts(&write, BTreeSet::from([before.hash]))?;
            }
        }
        write.commit()?;
        Ok(version)
    }

    /// Takes back what was intended for an environment.
    pub(super) fn withdraw(&self, environment: &str) -> Result<(), Fault> {
        let write = self.begin()?;
        let intent = take_intent(&write, environment)?;
        if let Some(intent) = intent {
            forget_texts(&write, BTreeSet::from([intent.hash]))?;
        }
        write.commit()?;
        Ok(())
    }

    /// These texts stand in the files now: which versions are they? The latest ones, what was intended, or new ones.
    pub(super) fn accept(&self, found: &[Found<'_>], at: Stamp) -> Result<Vec<Accepted>, Fault> {
        if let Some(known) = self.all_known(found)? {
            return Ok(known);
        }
        let write = self.begin()?;
        let accepted =
            found.iter().map(|found| self.accept_one(&write, found, at)).collect::<Result<_, _>>()?;
        // The numbers are taken before anybody can see them: where this ledger is lost, the next one goes on behind them.
        let given: Result<BTreeMap<String, u64>, Fault> =
            write.open_table(NUMBERS)?.iter()?.map(|row| row_of_numbers(row?)).collect();
        numbers::write(&self.numbers, &given?).map_err(|error| Fault::Failed(error.to_string()))?;
        write.commit()?;
        Ok(accepted)
    }

    /// What is accepted where nothing has to be written.
    fn all_known(&self, found: &[Found<'_>]) -> Result<Option<Vec<Accepted>>, Fault> {
        let read = self.database.begin_read()?;
        let (versions, intents) = (read.open_table(VERSIONS)?, read.open_table(INTENTS)?);
        let mut known = Vec::with_capacity(found.len());
        for found in found {
            match latest(&versions, found.environment)? {
                Some(version) if version.hash == found.hash && intents.get(found.environment)?.is_none() => {
                    known.push(Accepted { version, is_new: false, dropped: None });
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(known))
    }

    fn accept_one(&self, write: &WriteTransaction, found: &Found<'_>, at: Stamp) -> Result<Accepted, Fault> {
        let Found { environment, text, hash } = *found;
        let intent = take_intent(write, environment)?;
        let latest = latest(&write.open_table(VERSIONS)?, environment)?;
        let given = write.open_table(NUMBERS)?.get(environment)?.map_or(0, |n| n.value());
        let accepted = match (latest, intent) {
            (Some(version), dropped) if version.hash == hash => Accepted { version, is_new: false, dropped },
            (_, Some(intent)) if intent.hash == hash => {
                Accepted { version: intent, is_new: true, dropped: None }
            }
            (_, dropped) => {
                let version = Version {
                    number: given + 1,
                    at,
                    by: super::BY_FILE.to_owned(),
                    message: None,
                    origin: Origin::File,
                    hash: hash.to_owned(),
                    bytes: text.len() as u64,
                };
                write.open_table(TEXTS)?.insert(hash, text.as_bytes())?;
                Accepted { version, is_new: true, dropped }
            }
        };
        if accepted.is_new {
            let Version { number, .. } = accepted.version;
            write
                .open_table(VERSIONS)?
                .insert((environment, number), encode(&accepted.version)?.as_slice())?;
            write.open_table(NUMBERS)?.insert(environment, number.max(given))?;
        }
        let mut unused = self.forget_oldest(write, environment)?;
        unused.extend(accepted.dropped.iter().map(|intent| intent.hash.clone()));
        forget_texts(write, unused)?;
        Ok(accepted)
    }

    /// Removes the oldest versions beyond what is kept; gives the hashes of their texts.
    fn forget_oldest(&self, write: &WriteTransaction, environment: &str) -> Result<BTreeSet<String>, Fault> {
        let mut versions = write.open_table(VERSIONS)?;
        let rows = versions
            .range((environment, 0)..=(environment, u64::MAX))?
            .map(|row| decode(row?.1.value()))
            .collect::<Result<Vec<_>, _>>()?;
        let mut holders: BTreeMap<&str, usize> = BTreeMap::new();
        rows.iter().for_each(|version| *holders.entry(&version.hash).or_default() += 1);
        let mut bytes: u64 = 0;
        let mut counted = BTreeSet::new();
        for version in rows.iter().filter(|version| counted.insert(&version.hash)) {
            bytes += version.bytes;
        }
        let mut unused = BTreeSet::new();
        let mut left = rows.len();
        for version in &rows {
            let many = left > self.kept.versions || (bytes > self.kept.bytes && left > self.kept.least);
            if !many {
                break;
            }
            versions.remove((environment, version.number))?;
            left -= 1;
            let others = holders.get_mut(version.hash.as_str());
            if let Some(others) = others {
                *others -= 1;
                if *others == 0 {
                    bytes -= version.bytes;
                    unused.insert(version.hash.clone());
                }
            }
        }
        Ok(unused)
    }
}

fn row_of_numbers(
    (environment, number): (redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, u64>),
) -> Result<(String, u64), Fault> {
    Ok((environment.value().to_owned(), number.value()))
}

/// Removes the texts that no version and no intent of any environment has any more.
fn forget_texts(write: &WriteTransaction, mut hashes: BTreeSet<String>) -> Result<(), Fault> {
    if hashes.is_empty() {
        return Ok(());
    }
    for row in write.open_table(VERSIONS)?.iter()? {
        hashes.remove(&decode(row?.1.value())?.hash);
    }
    for row in write.open_table(INTENTS)?.iter()? {
        hashes.remove(&decode(row?.1.value())?.hash);
    }
    let mut texts = write.open_table(TEXTS)?;
    for hash in hashes {
        texts.remove(hash.as_str())?;
    }
    Ok(())
}

fn take_intent(write: &WriteTransaction, environment: &str) -> Result<Option<Version>, Fault> {
    let mut intents = write.open_table(INTENTS)?;
    // An intent that cannot be read is none.
    Ok(intents.remove(environment)?.and_then(|row| decode(row.value()).ok()))
}

fn latest(
    versions: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    environment: &str,
) -> Result<Option<Version>, Fault> {
    let mut rows = versions.range((environment, 0)..=(environment, u64::MAX))?;
    rows.next_back().map(|row| decode(row?.1.value())).transpose()
}

fn encode(version: &Version) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(version).map_err(|error| Fault::Failed(error.to_string()))
}

fn decode(bytes: &[u8]) -> Result<Version, Fault> {
    serde_json::from_slice(bytes).map_err(|error| Fault::Spoilt(format!("a version cannot be read: {error}")))
}

#[cfg(test)]
impl Ledger {
    /// How many texts are stored.
    pub(super) fn texts(&self) -> u64 {
        use redb::ReadableTableMetadata;
        self.database.begin_read().unwrap().open_table(TEXTS).unwrap().len().unwrap()
    }
}
