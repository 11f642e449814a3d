//! Replaces a file as a whole: whoever reads it, and whoever finds it after a crash, has the old text or the new one.
//!
//! In two steps. [`Replacement::prepare`] writes the new text beside the file and has it on disk; what can go wrong goes
//! wrong here: no permission, no space. [`Replacement::carry_out`] renames it over the old one. In between the caller may
//! note what it is about to do. Where the path is a link, the file that it leads to is replaced and the link stays.
//!
//! Mode, owner and group are those of the old file. What else a file may have (access lists, extended attributes, hard
//! links) does not go over to the new one. In the process's own folder a file that somebody else has put there is replaced,
//! too, and becomes the process's: under systemd's `DynamicUser` nobody else can write there but root, who cannot name
//! its owner before it runs.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Mode of a file that was not there before, less the process's mask: a table holds no secret.
const NEW: u32 = 0o644;
/// The owner may write.
const OWNER_WRITES: u32 = 0o200;
/// The bits of a mode that can be set.
const MODE: u32 = 0o7777;

/// Why a file was not replaced. It stands as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// This process may not replace it, and no second attempt helps.
    #[error("{} cannot be replaced: {reason}", .path.display())]
    ReadOnly {
        /// The file, links followed.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Somebody else has changed it since it was looked at.
    #[error("{} has been changed by somebody else in the meantime", .0.display())]
    Changed(PathBuf),
    /// Anything else: no space.
    #[error("{} cannot be written: {error}", .path.display())]
    Failed {
        /// The file, links followed.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl ReplaceError {
    fn of(path: &Path, error: io::Error) -> ReplaceError {
        let path = path.to_owned();
        let reason = match error.kind() {
            ErrorKind::PermissionDenied => {
                "permission denied; the daemon's user must be allowed to write it and its folder, as it is in state.dir"
            }
            ErrorKind::ReadOnlyFilesystem => {
                "its file system is mounted read-only; a service of systemd may write to its state.dir: put it there"
            }
            // A single file that is mounted into a container.
            ErrorKind::ResourceBusy => "it is a mount point; mount its folder instead",
            _ => return ReplaceError::Failed { path, error },
        };
        ReplaceError::ReadOnly { path, reason: reason.to_owned() }
    }
}

/// What tells one state of a file from another, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Print {
    /// Of the file that `path` leads to; `None`: there is none.
    pub fn of(path: &Path) -> Option<Print> {
        fs::metadata(path).ok().map(|meta| Print::from(&meta))
    }
}

impl From<&Metadata> for Print {
    fn from(meta: &Metadata) -> Print {
        Print {
            device: meta.dev(),
            inode: meta.ino(),
            length: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

/// A new text that stands beside its file, on disk. Dropped, it is removed again.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    target: PathBuf,
    beside: PathBuf,
    print: Print,
    done: bool,
}

impl Replacement {
    /// Writes `text` beside the file at `path`. `own` is the process's own folder.
    ///
    /// # Errors
    /// It is not allowed, or there is no room.
    pub fn prepare(path: &Path, text: &str, own: &Path) -> Result<Replacement, ReplaceError> {
        let target = target_of(path).map_err(|error| ReplaceError::of(path, error))?;
        let fail = |error| ReplaceError::of(&target, error);
        let old = match fs::metadata(&target) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(fail(error)),
        };
        let is_left_to_us = old.as_ref().is_some_and(|old| is_left_to_us(old, &target, own));
        // Whoever took the right to write from the file meant it, though a rename would not need it.
        if old.is_some() && !is_left_to_us {
            OpenOptions::new().write(true).open(&target).map_err(fail)?;
        }
        let beside = beside(&target);
        remove(&beside).map_err(fail)?;
        let created = OpenOptions::new().write(true).create_new(true).mode(NEW).open(&beside);
        let mut file = created.map_err(fail)?;
        // From here on it is removed again whatever happens.
        let print = Print::from(&file.metadata().map_err(fail)?);
        let mut replacement =
            Replacement { path: path.to_owned(), target: target.clone(), beside, print, done: false };
        file.write_all(text.as_bytes()).map_err(fail)?;
        if let Some(old) = old {
            let owner = keep_owner(&file, &old, &target);
            if !is_left_to_us {
                owner?;
            }
            let mode = fs::Permissions::from_mode(old.mode() & MODE);
            file.set_permissions(mode).map_err(|error| ReplaceError::ReadOnly {
                path: target.clone(),
                reason: format!("its mode cannot be kept: {error}"),
            })?;
        }
        file.sync_all().map_err(fail)?;
        replacement.print = Print::from(&file.metadata().map_err(fail)?);
        Ok(replacement)
    }

    /// Puts the new text in the file's place, on disk when this returns. `seen` is how the file looked when its old text
    /// was read ([`Print::of`]): one that looks otherwise now is left alone. Gives how the new file looks.
    ///
    /// # Errors
    /// It was changed meanwhile, or it is not allowed.
    pub fn carry_out(mut self, seen: Option<Print>) -> Result<Print, ReplaceError> {
        if Print::of(&self.path) != seen {
            return Err(ReplaceError::Changed(self.target.clone()));
        }
        fs::rename(&self.beside, &self.target).map_err(|error| ReplaceError::of(&self.target, error))?;
        self.done = true;
        // The rename has happened; some file systems cannot be asked to have it on disk.
        let _ = self.target.parent().map(|folder| File::open(folder).and_then(|folder| folder.sync_all()));
        Ok(self.print)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.done {
            // What is left is removed before the next attempt.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// Whether that file lies in the process's own folder, belongs to somebody else, and is not closed to its own owner either.
fn is_left_to_us(file: &Metadata, target: &Path, own: &Path) -> bool {
    let Ok(own) = fs::canonicalize(own) else { return false };
    let is_others = fs::metadata(&own).is_ok_and(|own| own.uid() != file.uid());
    is_others && target.starts_with(&own) && file.mode() & OWNER_WRITES != 0
}

/// Removes what a crash has left beside the file at `path`.
pub fn clean_up(path: &Path) {
    if let Ok(target) = target_of(path) {
        // One that cannot be removed is in nobody's way.
        let _ = remove(&beside(&target));
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The file that a path leads to through links, also where it is not there.
fn target_of(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_owned();
    // As many links as the kernel follows.
    for _ in 0..40 {
        match fs::canonicalize(&at) {
            Ok(target) => return Ok(target),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        match fs::read_link(&at) {
            // A link is read from the folder that it stands in.
            Ok(next) => at = at.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(at),
        }
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "too many links"))
}

/// The new text's place until it is renamed: the same folder, so that a rename can put it in the file's place.
fn beside(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".new");
    target.with_file_name(name)
}

/// Gives `file` the owner and group of `old`.
fn keep_owner(file: &File, old: &Metadata, target: &Path) -> Result<(), ReplaceError> {
    let new = file.metadata().map_err(|error| ReplaceError::of(target, error))?;
    let owner = (new.uid() != old.uid()).then_some(old.uid());
    let group = (new.gid() != old.gid()).then_some(old.gid());
    if owner.is_none() && group.is_none() {
        return Ok(());
    }
    fchown(file, owner, group).map_err(|_| ReplaceError::ReadOnly {
        path: target.to_owned(),
        reason: format!(
            "it belongs to user {} and group {}, which the daemon's user cannot give to a new file; make that user its owner",
            old.uid(),
            old.gid()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn replace(path: &Path, text: &str) -> Result<Print, ReplaceError> {
        prepare(path, text)?.carry_out(Print::of(path))
    }

    fn prepare(path: &Path, text: &str) -> Result<Replacement, ReplaceError> {
        Replacement::prepare(path, text, Path::new("/nowhere"))
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn mode_and_link_stay_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("table.toml"), folder.path().join("link.toml"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("table.toml", &link).unwrap();
        let print = replace(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().mode() & MODE, 0o640);
        assert_eq!(Print::of(&link), Some(print));
        assert_eq!(names(folder.path()), ["link.toml", "table.toml"]);
    }

    #[test]
    fn a_file_that_is_not_there_is_made_also_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (below, link) = (folder.path().join("below"), folder.path().join("link.toml"));
        fs::create_dir(&below).unwrap();
        symlink("below/table.toml", &link).unwrap();
        replace(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(below.join("table.toml")).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        symlink("loop.toml", folder.path().join("loop.toml")).unwrap();
        assert!(matches!(replace(&folder.path().join("loop.toml"), "x"), Err(ReplaceError::Failed { .. })));
    }

    #[test]
    fn what_a_crash_left_is_overwritten_and_what_was_not_carried_out_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("table.toml");
        fs::write(&file, "old").unwrap();
        fs::write(beside(&file), "half of it").unwrap();
        drop(prepare(&file, "new").unwrap());
        assert_eq!(names(folder.path()), ["table.toml"]);
        fs::write(beside(&file), "half of it").unwrap();
        clean_up(&file);
        assert_eq!(names(folder.path()), ["table.toml"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    }

    #[test]
    fn what_somebody_else_has_written_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("table.toml");
        fs::write(&file, "old").unwrap();
        let seen = Print::of(&file);
        let replacement = prepare(&file, "new").unwrap();
        fs::write(&file, "by hand, just now").unwrap();
        assert!(matches!(replacement.carry_out(seen), Err(ReplaceError::Changed(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "by hand, just now");
        assert_eq!(names(folder.path()), ["table.toml"]);
    }

    #[test]
    fn a_full_disk_is_told_and_the_old_text_stays() {
        // Whatever is written to it finds the disk full; it is no file that could be renamed away.
        let full = Path::new("/dev/full");
        if fs::metadata(full).is_err() {
            return;
        }
        let error = OpenOptions::new().write(true).open(full).unwrap().write_all(b"x").unwrap_err();
        let told = ReplaceError::of(Path::new("/etc/table.toml"), error);
        assert!(
            matches!(&told, ReplaceError::Failed { error, .. } if error.kind() == ErrorKind::StorageFull)
        );
        assert!(told.to_string().starts_with("/etc/table.toml cannot be written: "), "{told}");
    }
}
