//! How messages of ours are written: Via, Contact and the head of a request, and a request once more with something
//! changed. Not here: what goes end to end (`carry`), and where it is sent (`send`).

use crate::sip::dialog::{Dialog, listener_for};
use crate::sip::flow::{Flow, Listener, Transport};
use crate::sip::ident::Text;
use crate::wire::headers::ALLOW;
use crate::wire::{Message, Method, Name, Writer};

/// Max-Forwards of a request that begins with us (RFC 3261 §8.1.1.6).
pub(crate) const MAX_FORWARDS: u8 = 70;

/// What does not fit a dialog: it can only be answered with the peer's own address.
fn listener(listeners: &[Listener], flow: Flow) -> Option<&Listener> {
    listeners.get(usize::from(flow.listener))
}

/// Writes our Contact.
pub(super) fn write_contact(writer: &mut Writer<'_>, listeners: &[Listener], flow: Flow) {
    let Some(listener) = listener(listeners, flow) else { return };
    let mut line = writer.begin(Name::Contact);
    line.push("<sip:baton@").push(listener.advertised.as_bytes());
    if listener.transport == Transport::Tcp {
        line.push(";transport=").push(listener.transport.as_param());
    }
    line.push(">");
}

fn write_via(writer: &mut Writer<'_>, listeners: &[Listener], flow: Flow, branch: &str) {
    let advertised = listener(listeners, flow).map_or("invalid", |listener| &listener.advertised);
    let mut line = writer.begin(Name::Via);
    line.push("SIP/2.0/").push(flow.transport.as_via()).push(" ").push(advertised.as_bytes());
    line.push(";rport;branch=").push(branch);
}

/// Writes everything of a request up to what its kind adds. `via`: the flow that it goes by; `flow`: the leg's.
pub(super) fn write_head<'b>(
    buf: &'b mut Vec<u8>,
    stack: (&[Listener], &str),
    dialog: &Dialog,
    flows: (Flow, Flow),
    request: (Method, u8, u32),
    branch: &str,
) -> Writer<'b> {
    let ((listeners, product), (via, flow), (method, max_forwards, cseq)) = (stack, flows, request);
    let (addressing, parts) = (dialog.addressing(), dialog.parts());
    let mut writer = Writer::request(buf, method.as_str(), addressing.uri);
    write_via(&mut writer, listeners, via, branch);
    writer.begin(Name::MaxForwards).push_number(max_forwards.into());
    if !addressing.routes.is_empty() || addressing.last.is_some() {
        let mut line = writer.begin(Name::Route);
        line.push(addressing.routes);
        if let Some(last) = addressing.last {
            let comma = if addressing.routes.is_empty() { "" } else { ", " };
            line.push(comma).push("<").push(last).push(">");
        }
    }
    writer.begin(Name::From).push(parts.local).push(";tag=").push(parts.local_tag);
    let mut to = writer.begin(Name::To);
    to.push(parts.remote);
    if !parts.remote_tag.is_empty() {
        to.push(";tag=").push(parts.remote_tag);
    }
    drop(to);
    writer.header(Name::CallId, parts.call_id);
    writer.begin(Name::CSeq).push_number(cseq.into()).push(" ").push(method.as_str());
    if matches!(method, Method::Invite | Method::Update | Method::Refer | Method::Notify | Method::Options) {
        write_contact(&mut writer, listeners, flow);
    }
    if matches!(method, Method::Invite | Method::Update | Method::Options) {
        writer.header(Name::Allow, ALLOW);
    }
    writer.header(Name::UserAgent, product);
    writer
}

/// The flow of a request that is too long for a datagram.
pub(super) fn by_stream(flow: Flow, listeners: &[Listener]) -> Option<Flow> {
    let listener = listener_for(listeners, Transport::Tcp, flow.peer, flow.listener)?;
    Some(Flow { transport: Transport::Tcp, listener, peer: flow.peer, connection: 0 })
}

/// What differs when a request is sent again.
pub(crate) struct Again<'a> {
    pub(super) branch: Text,
    pub(super) cseq: u32,
    pub(super) via: Flow,
    pub(super) contact: Flow,
    /// Headers that stand instead of those of that name, or beside the others.
    pub(super) changes: &'a [(Name, &'a [u8])],
}

/// Gives the length in bytes.
pub(super) fn rewrite(
    buf: &mut Vec<u8>,
    request: &Message<'_>,
    listeners: &[Listener],
    again: &Again<'_>,
) -> usize {
    let mut writer = Writer::request(buf, request.method_text(), request.uri_bytes());
    write_via(&mut writer, listeners, again.via, &again.branch);
    for header in request.all() {
        match header.name {
            Name::Via | Name::ContentLength | Name::ContentType => {}
            name if again.changes.iter().any(|(changed, _)| *changed == name) => {}
            Name::CSeq => {
                writer.begin(Name::CSeq).push_number(again.cseq.into()).push(" ").push(request.method_text());
            }
            Name::Contact => write_contact(&mut writer, listeners, again.contact),
            _ => _ = writer.header_raw(header.raw_name, header.value),
        }
    }
    for (name, value) in again.changes {
        writer.header(*name, value);
    }
    writer.finish(request.content_type().map(|content_type| (content_type, request.body())))
}
