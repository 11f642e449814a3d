//! A wire that loses one datagram: whoever sent it has to send it again.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A relay at an address of its own. Dropping it ends it.
pub struct Wire {
    lost: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// What comes to `at` goes on to `to`, and what comes from there goes back to whoever sent last; but the first datagram
    /// that begins with the first of `loses`, and contains the others, goes nowhere.
    pub fn lay(at: SocketAddr, to: SocketAddr, loses: &'static [&'static str]) -> Wire {
        let socket = UdpSocket::bind(at).unwrap_or_else(|error| panic!("{at}: {error}"));
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout can be set");
        let (lost, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (losing, ending) = (Arc::clone(&lost), Arc::clone(&over));
        let carry = move || {
            let (mut datagram, mut back) = ([0; 8192], None);
            while !ending.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut datagram) else { continue };
                let datagram = &datagram[..length];
                let way = if from == to { back } else { Some(to) };
                if from != to {
                    back = Some(from);
                }
                let text = String::from_utf8_lossy(datagram);
                let lost = text.starts_with(loses[0]) && loses.iter().all(|part| text.contains(part));
                if lost && !losing.swap(true, Ordering::Relaxed) {
                    continue;
                }
                if let Some(way) = way {
                    let _ = socket.send_to(datagram, way);
                }
            }
        };
        Wire { lost, over, thread: Some(thread::spawn(carry)) }
    }

    /// Asserts that there was something to lose.
    pub fn assert_lost(&self) {
        assert!(self.lost.load(Ordering::Relaxed), "nothing was lost");
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
