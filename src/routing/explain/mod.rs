//! What a status means: the one table of causes, titles and hints. The handoff asks it for the cause, the log for
//! the hint, the API and `baton explain` for all of it.

mod statuses;

use std::fmt;

use super::profile::Receiver;
use crate::observe::words::words;
use crate::sip::leg::reason_info::ReasonInfo;
use serde::{Deserialize, Serialize};

use statuses::STATUSES;

words! {
    /// Why an attempt did not succeed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Cause, name {
        /// The receiver does not want to do it.
        Refused = "refused",
        /// The target is busy or declined.
        Busy = "busy",
        /// The target did not answer in time.
        NoAnswer = "no_answer",
        /// The target or the way to it does not exist or does not work.
        Unreachable = "unreachable",
        /// Anything else.
        Failed = "failed",
        /// A REFER was accepted or unanswered and nothing tells the result.
        Unknown = "unknown",
        /// The receiver took the caller out of our dialog, and lost them.
        LostByReceiver = "lost_by_receiver",
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a status was seen: 603 to a REFER refuses the transfer, 603 in its NOTIFY declines the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// The final response to a REFER.
    ReferResponse,
    /// The sipfrag of a final NOTIFY.
    Notify,
    /// The final response to an INVITE.
    InviteResponse,
    /// The final response to the BYE of a hand-back.
    ByeResponse,
}

/// The cause that a final status means. `None` for statuses below 300 and for numbers that are no SIP status.
pub fn cause(status: u16, seen: Where) -> Option<Cause> {
    Some(match (status, seen) {
        (0..=299 | 700.., _) => return None,
        // Whoever says that has heard nothing of who was asked, and a REFER cannot be cancelled (RFC 4320 §4.2).
        (408 | 504, Where::ReferResponse) => Cause::Unknown,
        (486 | 600, _) | (603, Where::Notify | Where::InviteResponse) => Cause::Busy,
        (408 | 480 | 487, _) => Cause::NoAnswer,
        (404 | 410 | 484 | 604 | 502..=504, _) => Cause::Unreachable,
        (603, Where::ReferResponse | Where::ByeResponse) | (400..=499 | 501, _) => Cause::Refused,
        (300..=399 | 500 | 505..=699, _) => Cause::Failed,
    })
}

/// The same by all that the response says. A gateway's 480 is many things, and its Reason tells which; a 500 with
/// Retry-After is a service that is not there just now (RFC 3261 §21.5.1).
pub fn cause_by(status: u16, seen: Where, remark: ReasonInfo) -> Option<Cause> {
    let plain = cause(status, seen)?;
    let meant = remark
        .q850
        .and_then(status_of_q850)
        .or(remark.sip)
        .or((status == 500 && remark.retry_after).then_some(503));
    // Silence stays silence, whatever is said of it, and an answer is none.
    let told = meant.filter(|_| plain != Cause::Unknown).and_then(|meant| cause(meant, seen));
    Some(told.filter(|told| *told != Cause::Unknown).unwrap_or(plain))
}

/// The cause that the final response to an INVITE means, from a receiver that may turn causes round.
pub fn cause_of_invite(status: u16, remark: ReasonInfo, receiver: Receiver) -> Option<Cause> {
    match remark.q850 {
        Some(q850) if receiver.is_unanswered(status, q850) => Some(Cause::NoAnswer),
        _ => cause_by(status, Where::InviteResponse, remark),
    }
}

/// The status that a cause of the telephone network means (RFC 3398 §7.2.4.1), where it says how the target is.
fn status_of_q850(cause: u16) -> Option<u16> {
    Some(match cause {
        // No such number, no way there.
        1..=3 => 404,
        // Busy.
        17 => 486,
        // Nobody responds, nobody answers, switched off.
        18..=20 => 480,
        // Declined (Asterisk sends 403 with it).
        21 => 603,
        22 => 410,
        28 => 484,
        // Out of order, no channel, a failure on the way.
        27 | 34 | 38 | 41 | 42 | 44 | 47 | 58 => 503,
        102 => 504,
        _ => return None,
    })
}

/// A status in plain words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// 400 to 699.
    pub status: u16,
    /// Its registered name.
    pub title: &'static str,
    /// What it means, in a sentence.
    pub cause: &'static str,
    /// What to do about it.
    pub hint: &'static str,
    /// The same where that has to do with transfers and an INVITE was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_invite: Option<&'static str>,
}

impl Entry {
    /// What to do about it, by what was answered so.
    pub fn hint_for(&self, seen: Where) -> &'static str {
        match (seen, self.of_invite) {
            (Where::InviteResponse, Some(hint)) => hint,
            (Where::ByeResponse, Some(_)) => "Look into the other side's log at this Call-ID.",
            (_, _) => self.hint,
        }
    }
}

/// What a final status means. Statuses that are not registered are explained by their class (RFC 3261 §8.1.3.2).
pub fn status(status: u16) -> Entry {
    if let Ok(index) = STATUSES.binary_search_by_key(&status, |entry| entry.status) {
        return STATUSES[index];
    }
    let (title, cause, hint) = match status {
        100..=199 => ("Provisional", "The request is being worked on.", "Wait for the final status."),
        200..=299 => ("Success", "The request was accepted.", "Nothing to do."),
        300..=399 => (
            "Redirection",
            "The other side says that somebody else is to be asked, and none of those whom it named could be: Baton follows five redirections to an INVITE, to hosts of the trunks and routes of the table, and none to a REFER.",
            "Put the address of the answer's Contact into the route, or allow it by the agent's `may_route`.",
        ),
        400..=499 => (
            "Request Failure",
            "The other side refuses the request in this form, with a status that is not registered.",
            "Look into the other side's log and documentation for this status.",
        ),
        500..=599 => (
            "Server Failure",
            "The other side failed, with a status that is not registered.",
            "Look into the other side's log at this Call-ID.",
        ),
        600..=699 => (
            "Global Failure",
            "The target cannot be had anywhere, with a status that is not registered.",
            "Look into the other side's log and documentation for this status.",
        ),
        _ => ("No SIP status", "SIP has statuses from 100 to 699.", "Check the number."),
    };
    Entry { status, title, cause, hint, of_invite: None }
}

/// Why the 200 of that receiver's NOTIFY proves nothing, and what would.
pub fn unproven(receiver: Receiver) -> String {
    let who = receiver.title().unwrap_or("This receiver");
    format!("{who} says 200 before anybody answers: {}", blind(receiver))
}

/// What a blind REFER to that receiver is worth, and what to use in its place.
pub fn blind(receiver: Receiver) -> String {
    let at = receiver.title().map_or_else(|| "here".to_owned(), |title| format!("on {title}"));
    format!("blind REFER {at} cannot be known to have worked: use `invite` or `attended`")
}

/// What to do about an attempt that ended with `cause`; the status decides where there is one, and it means that. `seen`: what
/// was answered last.
pub fn hint(cause: Cause, told: Option<u16>, seen: Where) -> &'static str {
    match (cause, told) {
        (Cause::Unknown, Some(408 | 504)) => {
            "Nobody has answered the REFER, and a REFER cannot be taken back: ask the target whether the caller arrived; check the way to the receiver, and what a proxy on it logs."
        }
        (Cause::Unknown, _) => {
            "Ask the target whether the caller arrived; check that the receiver sends NOTIFY for a REFER."
        }
        (Cause::LostByReceiver, _) => {
            "The receiver takes the caller before it knows whether the target answers, and hangs them up if it does not (Asterisk does so; a caller who hangs up while the target rings looks the same): use `invite` or `attended`, which keep the caller with the agent until then."
        }
        (_, Some(told)) if self::cause(told, seen) == Some(cause) => status(told).hint_for(seen),
        (Cause::NoAnswer, _) => "Nobody answered in time: check who is on duty, or raise `timeouts.ring`.",
        (Cause::Unreachable, _) => {
            "Check the name, the address and the network on the way to the destination."
        }
        (Cause::Busy, _) => "Nothing is wrong; give the destination a next step for `busy`.",
        (Cause::Refused, _) if seen == Where::InviteResponse => {
            "Check that the other side lets this trunk call that number."
        }
        (Cause::Refused, _) => "Allow transfers for this trunk on the other side.",
        (Cause::Failed, _) => "Look at the log for this call, and at the other side's at this Call-ID.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_those_of_the_contract() {
        use Cause as C;
        use Where::{InviteResponse as I, Notify as N, ReferResponse as R};
        for (status, seen, expected) in [
            (486, R, C::Busy),
            (600, N, C::Busy),
            (603, N, C::Busy),
            (603, I, C::Busy),
            (603, R, C::Refused),
            (408, N, C::NoAnswer),
            (408, I, C::NoAnswer),
            (408, R, C::Unknown),
            (504, R, C::Unknown),
            (408, Where::ByeResponse, C::NoAnswer),
            (504, Where::ByeResponse, C::Unreachable),
            (603, Where::ByeResponse, C::Refused),
            (480, I, C::NoAnswer),
            (487, R, C::NoAnswer),
            (404, R, C::Unreachable),
            (410, N, C::Unreachable),
            (484, I, C::Unreachable),
            (604, N, C::Unreachable),
            (502, N, C::Unreachable),
            (503, R, C::Unreachable),
            (504, I, C::Unreachable),
            (403, R, C::Refused),
            (405, R, C::Refused),
            (420, N, C::Refused),
            (501, I, C::Refused),
            (302, I, C::Failed),
            (500, N, C::Failed),
            (505, R, C::Failed),
            (606, I, C::Failed),
            (699, I, C::Failed),
        ] {
            assert_eq!(cause(status, seen), Some(expected), "{status} {seen:?}");
        }
        for status in [0, 100, 200, 202, 299, 700, u16::MAX] {
            assert_eq!(cause(status, R), None, "{status}");
        }
    }

    #[test]
    fn a_reason_says_more_than_the_status() {
        use Cause as C;
        use Where::{InviteResponse as I, Notify as N, ReferResponse as R};
        let q850 = |cause| ReasonInfo { q850: Some(cause), ..ReasonInfo::default() };
        let sip = |cause| ReasonInfo { sip: Some(cause), ..ReasonInfo::default() };
        let later = ReasonInfo { retry_after: true, ..ReasonInfo::default() };
        for (status, seen, remark, expected) in [
            (480, I, q850(17), C::Busy),
            (500, N, q850(19), C::NoAnswer),
            (480, I, q850(1), C::Unreachable),
            (480, I, q850(34), C::Unreachable),
            (503, R, q850(20), C::NoAnswer),
            // Normal clearing says nothing of the target.
            (486, I, q850(16), C::Busy),
            (603, I, q850(16), C::Busy),
            // Declined, whatever the status.
            (403, I, q850(21), C::Busy),
            (403, N, q850(21), C::Busy),
            (403, R, q850(21), C::Refused),
            (603, I, q850(21), C::Busy),
            (500, I, sip(486), C::Busy),
            (603, R, sip(603), C::Refused),
            (487, I, sip(200), C::NoAnswer),
            (500, I, later, C::Unreachable),
            (480, I, later, C::NoAnswer),
            (500, I, ReasonInfo::default(), C::Failed),
            // A proxy's silence is no more than that, and a refusal is no silence.
            (408, R, q850(17), C::Unknown),
            (504, R, sip(486), C::Unknown),
            (500, R, q850(102), C::Failed),
        ] {
            assert_eq!(cause_by(status, seen, remark), Some(expected), "{status} {seen:?} {remark:?}");
        }
        assert_eq!(cause_by(200, I, q850(17)), None);
    }

    /// PBXes translate the causes of the telephone network to statuses of their own choice.
    #[test]
    fn a_cause_of_the_telephone_network_is_the_same_with_every_status() {
        for (q850, expected) in [
            (17, Cause::Busy),
            (18, Cause::NoAnswer),
            (19, Cause::NoAnswer),
            (20, Cause::NoAnswer),
            (21, Cause::Busy),
            (27, Cause::Unreachable),
            (34, Cause::Unreachable),
            (38, Cause::Unreachable),
            (41, Cause::Unreachable),
            (42, Cause::Unreachable),
        ] {
            let remark = ReasonInfo { q850: Some(q850), ..ReasonInfo::default() };
            for status in [403, 404, 408, 480, 486, 487, 500, 503, 600, 603] {
                let found = cause_by(status, Where::InviteResponse, remark);
                assert_eq!(found, Some(expected), "{status} with Q.850 cause {q850}");
            }
        }
    }

    #[test]
    fn a_hint_knows_what_was_answered() {
        let transfers =
            |text: &str| ["ransfer", "REFER", "Refer-To", "\"bye\""].iter().any(|word| text.contains(word));
        for entry in STATUSES {
            for seen in [Where::InviteResponse, Where::ByeResponse] {
                let hint = entry.hint_for(seen);
                assert!(!transfers(hint), "{} {seen:?}: {hint}", entry.status);
            }
        }
        assert!(transfers(hint(Cause::Refused, Some(403), Where::ReferResponse)));
        assert!(!transfers(hint(Cause::Refused, None, Where::InviteResponse)));
    }

    #[test]
    fn every_failure_of_the_registry_is_explained() {
        // https://www.iana.org/assignments/sip-parameters, response codes; 409 is RFC 2543's.
        let registry: [u16; 62] = [
            400, 401, 402, 403, 404, 405, 406, 407, 408, 410, 412, 413, 414, 415, 416, 417, 420, 421, 422,
            423, 424, 425, 428, 429, 430, 433, 436, 437, 438, 439, 440, 469, 470, 480, 481, 482, 483, 484,
            485, 486, 487, 488, 489, 491, 493, 494, 500, 501, 502, 503, 504, 505, 513, 555, 580, 600, 603,
            604, 606, 607, 608, 409,
        ];
        for code in registry {
            assert!(STATUSES.iter().any(|entry| entry.status == code), "{code}");
            assert_eq!(status(code).status, code);
        }
        for pair in STATUSES.windows(2) {
            assert!(pair[0].status < pair[1].status, "{} is out of order", pair[1].status);
        }
        for entry in STATUSES {
            assert!(registry.contains(&entry.status), "{} is not registered", entry.status);
            for text in [entry.cause, entry.hint].into_iter().chain(entry.of_invite) {
                assert!(text.ends_with('.'), "{}: {text}", entry.status);
            }
        }
    }

    #[test]
    fn any_number_can_be_asked() {
        for code in 0..=u16::MAX {
            assert!(!status(code).hint.is_empty());
        }
        assert_eq!(status(499).title, "Request Failure");
        assert!(hint(Cause::Refused, Some(403), Where::ReferResponse).contains("FreeSWITCH"));
        assert!(hint(Cause::NoAnswer, None, Where::InviteResponse).contains("ring"));
    }
}
