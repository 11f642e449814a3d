//! A thread that writes what others put into its bounded queue, to something that may not take it: a pipe that nobody
//! reads, a disk that does not answer. Whoever puts something in never waits, and the end of the process waits only for so
//! long: a thread that is stuck in the kernel is then left behind, and ends with the process.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// The end is awaited in slices: one in which the process stood still costs no more than others. In each a thread whose
/// queue was full is told again that it is to end.
const END_SLICE: Duration = Duration::from_millis(10);

/// A queue with a thread that empties it. What its thread gets from its queue is `None` at the end.
pub(super) struct Outlet<T> {
    inlet: Inlet<T>,
    /// Hangs up when the thread has ended.
    ended: Receiver<()>,
}

/// The way into the queue.
pub(super) struct Inlet<T>(SyncSender<Option<T>>);

impl<T> Clone for Inlet<T> {
    fn clone(&self) -> Inlet<T> {
        Inlet(self.0.clone())
    }
}

impl<T> Inlet<T> {
    /// Never waits; `Err`: there is no room, or nobody any more who would write it.
    pub(super) fn put(&self, what: T) -> Result<(), T> {
        match self.0.try_send(Some(what)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) => back.map_or(Ok(()), Err),
        }
    }
}

impl<T: Send + 'static> Outlet<T> {
    /// Starts the thread; `room`: how much may wait.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        name: &str,
        room: usize,
        write: impl FnOnce(&Receiver<Option<T>>) + Send + 'static,
    ) -> io::Result<Outlet<T>> {
        let (sender, receiver) = sync_channel(room);
        let (alive, ended) = channel::<()>();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Dropped when the thread ends, however it does, and after its queue.
            let _alive = alive;
            let queue = receiver;
            write(&queue);
        })?;
        Ok(Outlet { inlet: Inlet(sender), ended })
    }

    pub(super) fn inlet(&self) -> Inlet<T> {
        self.inlet.clone()
    }

    /// Has what waits written, and the thread end; false: it has not within that time.
    pub(super) fn end(self, within: Duration) -> bool {
        let mut is_told = false;
        let mut left = within;
        while !left.is_zero() {
            is_told = is_told || !matches!(self.inlet.0.try_send(None), Err(TrySendError::Full(_)));
            if self.ended.recv_timeout(END_SLICE) != Err(RecvTimeoutError::Timeout) {
                return true;
            }
            left = left.saturating_sub(END_SLICE);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_written_before_the_end() {
        let (out, written) = channel();
        let outlet = Outlet::start("test", 8, move |queue| {
            while let Ok(Some(number)) = queue.recv() {
                out.send(number).unwrap();
            }
        });
        let outlet = outlet.unwrap();
        let inlet = outlet.inlet();
        (0..5).for_each(|number| inlet.put(number).unwrap());
        assert!(outlet.end(Duration::from_secs(20)));
        assert_eq!(written.iter().collect::<Vec<i32>>(), [0, 1, 2, 3, 4]);
        assert_eq!(inlet.put(5), Err(5));
    }

    #[test]
    fn a_thread_that_is_stuck_is_left_behind() {
        let (let_go, stuck) = channel::<()>();
        let outlet = Outlet::start("test", 1, move |_| {
            let _ = stuck.recv();
        });
        let outlet = outlet.unwrap();
        let inlet = outlet.inlet();
        inlet.put(1).unwrap();
        assert_eq!(inlet.put(2), Err(2), "there is room for one");
        assert!(!outlet.end(Duration::from_millis(20)));
        drop(let_go);
    }
}
