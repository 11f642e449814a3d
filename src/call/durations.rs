//! Each duration that a call is judged by and that nobody can configure: value, unit and reason. What RFC 3261 names (T1,
//! timers A to K) stands in [`crate::sip`]'s `timing`; what a destination, trunk or agent sets stands in its table.

use std::time::Duration;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

// Requests that are relayed from one leg to the other.

/// For the answer to anything but an INVITE. Whoever asked waits for 64*T1, part of which may have passed on the way, and a
/// request that is never answered ends its dialog (RFC 3261 §12.2.1.2, RFC 4320 §1.2): a silent agent would cost the caller.
pub(crate) const RELAYED_ANSWER: Duration = s(20);
/// For the answer to a re-INVITE, which may take its time: somebody may be asked whether to take a video.
pub(crate) const RELAYED_REINVITE_ANSWER: Duration = s(30);
/// A session is not refreshed while a re-INVITE is under way. So much is left for that before it expires,
pub(crate) const LEFT_FOR_REFRESH: Duration = s(8);
/// and so much for an answer, however soon it does.
pub(crate) const RELAYED_ANSWER_AT_LEAST: Duration = s(6);

// A dialog in which another request is under way.

/// How soon a dialog that is busy is looked at again by a handoff.
pub(crate) const BUSY_DIALOG_POLL: Duration = ms(50);
/// The same where the two sides are to have each other's session, which is less urgent.
pub(crate) const SYNC_POLL: Duration = ms(200);
/// After what time a side is told again that was not reached.
pub(crate) const SYNC_RETRY: Duration = s(5);

// Is the caller's side still there?

/// From the NOTIFY of a failure to the question: a NOTIFY may overtake what it tells of.
pub(crate) const BEFORE_QUESTION: Duration = ms(500);
/// For the final answer to the question.
pub(crate) const QUESTION_ANSWER: Duration = s(4);
/// How long a BYE may still follow a 2xx of a caller's side that may have lost the caller: Asterisk sends both.
pub(crate) const BYE_AFTER_2XX: Duration = ms(500);
/// From an answer to the second question.
pub(crate) const SECOND_QUESTION: Duration = ms(1500);
/// How long other requests may keep the question waiting.
pub(crate) const QUESTION_DELAY_AT_MOST: Duration = s(15);
/// How long both legs must stand after the last failure before `returned` is said.
pub(crate) const BEFORE_RETURNED: Duration = ms(500);
/// How long it may take to find out whether one of them is gone.
pub(crate) const CHECK_BEFORE_RETURNED: Duration = s(4);

// Handoffs.

/// How long the agent leg stays after the caller's side hung up in the middle of a transfer that it had accepted.
pub(crate) const AGENT_AFTER_CALLERS_BYE: Duration = s(1);
/// How long the caller may be busy at a join, and how soon the re-INVITE that was taken back ends by itself: 64*T1.
pub(crate) const JOIN_ANSWER: Duration = s(32);
/// How long a target may ring that is called with a fresh offer: a 2xx that is not acknowledged is given up after 32 s
/// (RFC 3261 §13.3.1.4).
pub(crate) const FRESH_OFFER_RING: Duration = s(20);
/// How long the caller may take to make a fresh offer.
pub(crate) const FRESH_OFFER_ANSWER: Duration = s(10);
/// For the final response to a REFER that was passed on, and for the result after each NOTIFY of it.
pub(crate) const PASSED_REFER_RESULT: Duration = s(60);
/// How soon the network tells what became of a REFER that is taken back. It does so at once; this bounds it.
pub(crate) const RECALL_ANSWER: Duration = s(1);
/// How long the BYE to an agent waits for the answer to the last NOTIFY.
pub(crate) const BYE_AFTER_NOTIFY: Duration = ms(500);
/// From a 2xx NOTIFY to the BYE of the leg that was replaced, in either order.
pub(crate) const REPLACED_BYE: Duration = s(2);

// Calls.

/// A call's deadline is armed at most this far ahead, so that what ended calls leave behind is gone soon.
pub(crate) const DEADLINE_HORIZON: Duration = s(30);
/// How long before a drain ends callers are handed to their fallbacks, if the grace has twice that.
pub(crate) const FALLBACK_BEFORE_DRAIN_ENDS: Duration = s(10);
/// How soon a caller is looked at again who could not be handed over just then.
pub(crate) const FALLBACK_RETRY: Duration = s(1);

// Tests of destinations.

/// For the look-up of the name.
pub(crate) const TEST_LOOK_UP: Duration = s(10);
/// For the answer to the OPTIONS: many never give one.
pub(crate) const TEST_OPTIONS: Duration = s(3);
/// How long it may take to ring, at most; a destination whose own limit is shorter has that.
pub(crate) const TEST_RING: Duration = s(20);
/// For the end of the call that was begun.
pub(crate) const TEST_END: Duration = s(6);
/// The longest that a test can take, in all.
#[cfg(feature = "daemon")]
pub(crate) const TEST_LONGEST: Duration =
    TEST_LOOK_UP.saturating_add(TEST_OPTIONS).saturating_add(TEST_RING).saturating_add(TEST_END);

// The log.

/// A response is sent again for that long (RFC 3261 §17.2.1, Timer H): its copies within it are the same failure.
pub(crate) const SAME_FAILURE: Duration = s(32);
/// How long refusals are counted together.
pub(crate) const REFUSALS_WINDOW: Duration = s(1);
/// How long a source of dropped messages is counted before it has its next line.
pub(crate) const LINE_OF_SOURCE: Duration = s(60);
