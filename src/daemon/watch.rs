//! Notices that a file of the configuration has changed. Folders are watched, not files, because editors and
//! deployments replace files by renaming; what happened is then told by looking at the files themselves. Where the
//! system has no watch to give, looking now and then does alone.

use crate::observe::line::{Line, Sink};
use crate::store::replace::Print;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

/// After the last event there must be this much quiet: a file is often written in several steps.
const QUIET: Duration = Duration::from_millis(150);
/// But no longer than this in all.
const AT_MOST: Duration = Duration::from_secs(2);
/// Without any event the files are looked at this often (network file systems send none).
const LOOKED_AT_ANYWAY: Duration = Duration::from_secs(5);

/// Files and how they looked; `None`: they were not there.
pub(super) type Seen = Vec<(PathBuf, Option<Print>)>;

/// Watches the files of one configuration.
pub(super) struct FileWatch {
    watcher: Option<RecommendedWatcher>,
    events: mpsc::Receiver<()>,
    folders: BTreeSet<PathBuf>,
    files: Seen,
    /// When something happened in a folder that was not looked at since: [`FileWatch::changed`] may be dropped and called
    /// again all the time, and the wait for quiet is not to begin anew by that.
    stirred: Option<Instant>,
    look: Interval,
    log: Sink,
}

impl FileWatch {
    /// `seen`: the files as they were before they were read, so that no change is missed.
    pub(super) fn new(seen: Seen, log: Sink) -> FileWatch {
        // One place: an event that is already waiting stands for all that follow.
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Whoever reads a file has not changed it. What went wrong may have been a change.
            if event.is_ok_and(|event| event.kind.is_access()) {
                return;
            }
            let _ = sender.try_send(());
        });
        let watcher = watcher
            .inspect_err(|error| log(Line::warn("config.not_watched").text("reason", error.to_string())))
            .ok();
        let files = seen.iter().map(|(file, _)| file.clone()).collect();
        let mut look = interval(LOOKED_AT_ANYWAY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let folders = BTreeSet::new();
        let mut watch = FileWatch { watcher, events, folders, files: seen, stirred: None, look, log };
        watch.follow(files);
        watch
    }

    /// The files are going to be read as they are now, whatever the reason: that is no change any more.
    pub(super) fn seen(&mut self) {
        for (file, before) in &mut self.files {
            *before = Print::of(file);
        }
    }

    /// This file was replaced by the daemon itself, and looks so since: no change that anybody has to be told of. Where it
    /// is the file of more than one environment, the others have to be.
    pub(super) fn replaced(&mut self, file: &Path, print: Print) {
        let mut of_it: Vec<_> = self.files.iter_mut().filter(|(other, _)| other == file).collect();
        if let [(_, before)] = of_it.as_mut_slice() {
            *before = Some(print);
        }
    }

    /// Watches these files from now on. They are compared with what they were when they were last seen, so that a change
    /// while they were being read is not missed; one that is new here counts as changed, for the same reason.
    pub(super) fn follow(&mut self, files: Vec<PathBuf>) {
        let folders: BTreeSet<PathBuf> = files.iter().map(|file| folder_of(file)).collect();
        if let Some(watcher) = &mut self.watcher {
            for gone in self.folders.difference(&folders) {
                // It may have been removed, and its watch with it.
                let _ = watcher.unwatch(gone);
            }
            for new in folders.difference(&self.folders) {
                if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                    (self.log)(
                        Line::warn("config.not_watched")
                            .text("folder", new.display().to_string())
                            .text("reason", error.to_string()),
                    );
                }
            }
        }
        self.folders = folders;
        let before = std::mem::take(&mut self.files);
        for file in files {
            let print = before.iter().find(|(other, _)| *other == file).and_then(|(_, print)| *print);
            self.files.push((file, print));
        }
    }

    /// Resolves when a file is no longer what it was. Nothing is lost if this future is dropped.
    pub(super) async fn changed(&mut self) {
        loop {
            if let Some(since) = self.stirred {
                self.settle(since + AT_MOST).await;
                self.stirred = None;
            } else {
                tokio::select! {
                    // A watcher that could not be made has dropped its end; then looking is all there is.
                    Some(()) = self.events.recv() => {
                        self.stirred = Some(Instant::now());
                        continue;
                    }
                    _ = self.look.tick() => {}
                }
            }
            let mut differs = false;
            for (file, before) in &mut self.files {
                let now = Print::of(file);
                differs |= now != *before;
                *before = now;
            }
            if differs {
                return;
            }
        }
    }

    /// Waits for quiet, at most until `end`.
    async fn settle(&mut self, end: Instant) {
        while Instant::now() < end {
            if timeout(QUIET, self.events.recv()).await.is_err() {
                return;
            }
        }
    }
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The files as they are now.
pub(super) fn look(files: Vec<PathBuf>) -> Seen {
    files.into_iter().map(|file| (file.clone(), Print::of(&file))).collect()
}
