//! Torture messages: one of our own for each section of RFC 4475 and RFC 5118, and those of the RFCs themselves where
//! a checkout has them next to it.

use baton::wire::encode::{Forward, forward, response_to};
use baton::wire::frame::{Frame, Framer};
use baton::wire::{Framing, Index, Message, Name, Scheme, Writer, decode, peek, salvage};
use std::path::{Path, PathBuf};

/// One line of an EXPECT.tsv and its message.
struct Case {
    file: String,
    section: String,
    verdict: String,
    note: String,
    bytes: Vec<u8>,
}

fn cases(folder: &Path) -> Vec<Case> {
    let table = std::fs::read_to_string(folder.join("EXPECT.tsv")).expect("EXPECT.tsv is readable");
    let lines = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let mut columns = line.split('\t').map(str::to_owned);
            let mut column = || columns.next().unwrap_or_default();
            let (file, section, verdict, note) = (column(), column(), column(), column());
            let bytes = std::fs::read(folder.join(format!("{file}.dat"))).expect("the message is readable");
            Case { file, section, verdict, note, bytes }
        })
        .collect()
}

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture")
}

/// Every verdict that differs, as text.
fn differences(cases: &[Case]) -> Vec<String> {
    let mut index = Index::default();
    let mut wrong = Vec::new();
    for case in cases {
        let result = decode(&case.bytes, &mut index, Framing::Datagram).map(|message| use_all(&message));
        let as_told = match (case.verdict.as_str(), &result) {
            ("accept", Ok(())) | ("either", _) => true,
            ("reject", Err(fault)) => {
                let told: Option<u16> = case.note.get(..3).and_then(|digits| digits.parse().ok());
                case.note.contains(" or ") || told.is_none_or(|status| status == fault.status())
            }
            _ => false,
        };
        if !as_told {
            wrong.push(format!(
                "{} ({}): {} ({}), got {result:?}",
                case.file, case.section, case.verdict, case.note
            ));
        }
        if let (Err(fault), Some(message)) = (&result, salvage(&case.bytes, &index)) {
            answer_reads(&message, fault.status());
        }
    }
    wrong
}

/// An accepted message: its values read, and what is written from it reads again with the same values.
fn use_all(message: &Message<'_>) {
    let looked = peek::peek(message.bytes()).expect("an accepted message has a Call-ID");
    assert_eq!(looked.call_id, message.call_id());
    assert_eq!(looked.is_request, message.is_request());
    for header in message.all() {
        assert!(message.custom(header.raw_name).is_some(), "{}", header.raw_name.escape_ascii());
    }
    assert_eq!(message.via().branch, message.branch());
    if !message.is_request() {
        return;
    }
    message.uri().expect("the Request-URI of an accepted request reads");
    assert_eq!(message.from().tag(), message.from_tag());
    assert_eq!(message.to().tag(), message.to_tag());
    answer_reads(message, 200);
    let mut out = Vec::new();
    let own = Forward {
        uri: message.uri_bytes(),
        via: b"SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKown",
        contact: b"<sip:203.0.113.1>",
        max_forwards: 69,
    };
    forward(&mut out, message, &own);
    let mut index = Index::default();
    let again = decode(&out, &mut index, Framing::Stream).expect("what is forwarded reads");
    assert_eq!(again.method_text(), message.method_text());
    assert_eq!(again.call_id(), message.call_id());
    assert_eq!(again.cseq(), message.cseq());
    assert_eq!((again.from_tag(), again.to_tag()), (message.from_tag(), message.to_tag()));
    assert_eq!(again.body(), message.body());
    assert_eq!(again.branch(), Some(&b"z9hG4bKown"[..]));
    assert_eq!(again.values(Name::Via).count(), 1);
}

fn answer_reads(message: &Message<'_>, status: u16) {
    let mut out = Vec::new();
    let source = "198.51.100.77:4711".parse().expect("an address");
    response_to(&mut out, message, status, b"Because", Some(b"ours"), Some(source)).finish(None);
    let mut index = Index::default();
    match decode(&out, &mut index, Framing::Stream) {
        Ok(answer) => {
            assert_eq!(answer.status(), Some(status));
            assert_eq!(answer.call_id(), message.call_id());
            assert_eq!(answer.branch(), message.branch());
            assert_eq!(answer.values(Name::Via).count(), message.values(Name::Via).count());
            assert_eq!(answer.to_tag(), message.to_tag().or(Some(b"ours")));
        }
        // A number that the request had wrong goes back as it came.
        Err(fault) => assert_eq!(fault.reason(), "CSeq Out of Range"),
    }
}

#[test]
fn own_set_gets_its_verdicts() {
    let cases = cases(&own());
    assert!(cases.len() > 60, "one message for each section");
    let wrong = differences(&cases);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn published_set_gets_its_verdicts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/torture");
    if !folder.exists() {
        println!("SKIPPED: {} is not there; the own set was run", folder.display());
        return;
    }
    let wrong = differences(&cases(&folder));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The cases by name.
fn case<'a>(cases: &'a [Case], file: &str) -> &'a [u8] {
    &cases.iter().find(|case| case.file == file).expect("the case exists").bytes
}

#[test]
fn folds_are_white_space() {
    let cases = cases(&own());
    let mut index = Index::default();
    let message = decode(case(&cases, "valid/folded"), &mut index, Framing::Datagram).expect("accepted");
    assert_eq!(message.to_tag(), Some(&b"t9"[..]));
    assert_eq!(message.from_tag(), Some(&b"a1"[..]));
    assert_eq!(message.from().display_text().as_ref(), b"Ann \"the\" \\ Other");
    assert_eq!(message.via().port, Some(5061));
    assert_eq!(message.branch(), Some(&b"z9hG4bKfold"[..]));
    assert_eq!(message.values(Name::Via).count(), 3);
    assert_eq!(message.max_forwards(), Some(70));
    assert_eq!(message.contact().expect("it has one").param(b"a"), Some(Some(&b"b"[..])));
    assert!(message.has_sdp());
}

#[test]
fn what_the_element_needs_for_its_answer_is_there() {
    let cases = cases(&own());
    let mut index = Index::default();
    let mut read = |file: &str, check: &dyn Fn(Message<'_>)| {
        check(decode(case(&cases, file), &mut index, Framing::Datagram).expect("accepted"));
    };
    read("invalid/unknown-scheme", &|message| {
        assert_eq!(message.uri().expect("it reads").scheme, Scheme::Other(b"nobodyhas"));
    });
    read("invalid/unknown-extension", &|message| {
        let required: Vec<_> = message.values(Name::Require).collect();
        assert_eq!(required, [&b"nothingSupportsThis"[..], b"nothingSupportsThisEither"]);
    });
    read("invalid/unknown-type", &|message| assert!(!message.has_sdp()));
    read("invalid/no-hops-left", &|message| assert_eq!(message.max_forwards(), Some(0)));
    read("invalid/cookie-only", &|message| assert!(!message.via().has_cookie()));
    read("invalid/rfc2543", &|message| assert_eq!((message.branch(), message.from_tag()), (None, None)));
    read("invalid/contact-param", &|message| {
        let contact = message.contact().expect("it has one");
        assert_eq!((contact.param(b"unknownparam"), contact.uri.param(b"unknownparam")), (Some(None), None));
    });
    read("invalid/contact-uri-param", &|message| {
        let contact = message.contact().expect("it has one");
        assert_eq!((contact.param(b"unknownparam"), contact.uri.param(b"unknownparam")), (None, Some(None)));
    });
    for file in ["ipv6/received-brackets", "ipv6/received-bare"] {
        read(file, &|message| {
            assert_eq!(message.via().received(), Some("2001:db8::9:255".parse().expect("an address")));
        });
    }
    read("ipv6/port-inside", &|message| assert_eq!(message.uri().expect("it reads").port, None));
    read("ipv6/three-colons", &|message| {
        let host = message.uri().expect("it reads").host;
        assert_eq!(host.ip(), Some("2001:db8::192.0.2.1".parse().expect("an address")));
    });
    read("valid/two-in-one", &|message| assert!(message.body().is_empty()));
}

/// Every accepted message, with a Content-Length of its own, comes out of a stream whole however it is cut.
#[test]
fn a_stream_gives_the_same_messages() {
    let cases = cases(&own());
    let mut stream = Vec::new();
    let mut sent = Vec::new();
    for case in cases.iter().filter(|case| case.verdict == "accept" && !case.file.ends_with("two-in-one")) {
        let mut index = Index::default();
        let message = decode(&case.bytes, &mut index, Framing::Datagram).expect("accepted");
        if message.header(Name::ContentLength).is_some() {
            stream.extend_from_slice(&case.bytes);
            sent.push(case.bytes.clone());
        }
    }
    for piece in [1, 2, 3, 7, 100, 1460, stream.len()] {
        let mut framer = Framer::new();
        let mut received = Vec::new();
        for bytes in stream.chunks(piece) {
            framer.feed(bytes);
            while let Some(frame) = framer.poll().expect("the stream is well-formed") {
                match frame {
                    Frame::Message(message) => received.push(message.to_vec()),
                    Frame::Ping => panic!("nobody pinged"),
                }
            }
        }
        assert_eq!(received, sent, "in pieces of {piece}");
        assert!(framer.pending().is_empty());
    }
}

#[test]
fn a_writer_starts_from_nothing() {
    let mut out = b"left over".to_vec();
    let length = Writer::response(&mut out, 200, "OK").finish(None);
    assert_eq!(out, b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(length, out.len());
}
