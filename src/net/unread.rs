//! How a shard learns that all that had arrived was read and handed to it, by whatever thread.
//!
//! A shard that may be late with its turn makes an [`Unread`] and gives a copy to everybody who reads for it. Each
//! holds it until what it can read now was read and handed over; the last copy that is dropped tells the shard. Whoever
//! ends drops its copy, so that nobody is waited for in vain.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Tells a shard that all that had arrived was read and handed to it. Whoever reads for it holds a copy.
#[derive(Clone)]
pub struct Unread(Arc<Last>);

struct Last(Box<dyn Fn() + Send + Sync>);

impl Unread {
    /// The last copy tells by `tell`.
    pub fn new(tell: impl Fn() + Send + Sync + 'static) -> Unread {
        Unread(Arc::new(Last(Box::new(tell))))
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unread({})", Arc::strong_count(&self.0))
    }
}

/// Where a task that reads finds what it was given.
#[derive(Debug, Default)]
pub struct Asked {
    waiting: Mutex<Vec<Unread>>,
    bell: Notify,
}

impl Asked {
    /// Gives it one.
    pub fn ask(&self, unread: Unread) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(unread);
        self.bell.notify_one();
    }

    /// What it was given since the last time; waits for the first. Loses nothing when it is dropped in between.
    pub async fn asked(&self) -> Vec<Unread> {
        loop {
            let waiting = self.take();
            if !waiting.is_empty() {
                return waiting;
            }
            self.bell.notified().await;
        }
    }

    /// What it was given since the last time.
    pub fn take(&self) -> Vec<Unread> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn the_last_copy_tells_once() {
        let told = Arc::<AtomicUsize>::default();
        let teller = Arc::clone(&told);
        let unread = Unread::new(move || {
            teller.fetch_add(1, Ordering::Relaxed);
        });
        let (first, second) = (Asked::default(), Asked::default());
        first.ask(unread.clone());
        second.ask(unread);
        let held = first.asked().await;
        drop(second);
        assert_eq!(told.load(Ordering::Relaxed), 0, "one is held");
        drop(held);
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }
}
