//! How a proxy changes what passes: Via on the way, Record-Route, Route taken off.

use super::super::common::message::Message;
use super::super::common::peer::reply_text;
use super::super::whereabouts::PROXY;
use std::net::SocketAddr;

/// A branch of the proxy's names the house that it goes to, and the branch that it continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Branch {
    pub(super) house: usize,
    pub(super) of: String,
}

const COOKIE: &str = "z9hG4bK";

impl Branch {
    pub(super) fn write(house: usize, of: &str) -> String {
        format!("{COOKIE}{house}px{of}")
    }

    pub(super) fn read(text: &str) -> Option<Branch> {
        let (house, of) = text.strip_prefix(COOKIE)?.split_once("px")?;
        Some(Branch { house: house.parse().ok()?, of: of.to_owned() })
    }
}

fn via(door: SocketAddr, branch: &str) -> String {
    format!("Via: SIP/2.0/UDP {door};branch={branch}\r\n")
}

fn record_route(door: SocketAddr) -> String {
    format!("Record-Route: <sip:{door};lr>\r\n")
}

/// Puts `more` behind the first line.
fn behind_first_line(text: &str, more: &str) -> String {
    match text.split_once("\r\n") {
        Some((first, rest)) => format!("{first}\r\n{more}{rest}"),
        None => text.to_owned(),
    }
}

/// A request of Baton as the house gets it.
pub(super) fn downward(text: &str, house: usize, branch: &str, door: SocketAddr) -> String {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let lines: Vec<&str> = head.split("\r\n").filter(|line| !line.starts_with("Route:")).collect();
    let text = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
    behind_first_line(&text, &via(door, &Branch::write(house, branch)))
}

/// A request of the house as Baton gets it.
pub(super) fn upward(m: &Message, house: usize, door: SocketAddr) -> String {
    let mut more = via(door, &Branch::write(house, m.branch()));
    if m.method() == "INVITE" {
        more.push_str(&record_route(door));
    }
    behind_first_line(&m.text, &more)
}

/// A response without the proxy's own Via.
pub(super) fn without_first_via(text: &str) -> String {
    let Some(start) = text.find("\r\nVia:").or_else(|| text.find("\r\nv:")) else { return text.to_owned() };
    let line = &text[start + 2..];
    let end = line.find("\r\n").map_or(text.len(), |end| start + 2 + end);
    let value = &text[start + 2..end];
    match value.split_once(',') {
        // Several in one line.
        Some((_, rest)) => format!("{}\r\nVia: {}{}", &text[..start], rest.trim_start(), &text[end..]),
        None => format!("{}{}", &text[..start], &text[end..]),
    }
}

/// A response of the house as Baton gets it. The house has copied the Record-Route of an INVITE.
pub(super) fn answer_upward(m: &Message, invite: bool, door: SocketAddr) -> String {
    let text = without_first_via(&m.text);
    if invite && (101..300).contains(&m.status()) {
        behind_first_line(&text, &record_route(door))
    } else {
        text
    }
}

/// A response of the proxy's own.
pub(super) fn own_answer(request: &Message, status: u16) -> String {
    reply_text(request, status, "proxy", &[("Server", PROXY)], "")
}
