//! Properties of reading and writing that hold for any input, and a comparison with an independent reader (`rsip`).

use baton::wire::encode::response_to;
use baton::wire::uri::{encode_embedded, encode_user, percent_decode};
use baton::wire::{Framing, Index, Method, Name, NameAddr, Uri, Via, Writer, decode, peek, sdp, sipfrag};
use proptest::prelude::*;

/// Text that likes to break lines, names and quotes.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        Just(b"\r\n ".to_vec()),
        Just(b"X-Evil: 1".to_vec()),
        Just(b"Route: <sip:evil.example;lr>".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"\\".to_vec()),
        Just(b">;?,".to_vec()),
        Just("\u{2028}é".as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..12),
        "[ -~]{0,16}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// A request whose one variable header is written by `write`.
fn request(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::request(&mut out, "REFER", "sip:pbx.example");
    writer
        .header(Name::Via, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
        .header(Name::From, "<sip:a@b.example>;tag=1")
        .header(Name::To, "<sip:c@d.example>")
        .header(Name::CallId, "one@two")
        .header(Name::CSeq, "1 REFER");
    write(&mut writer);
    writer.finish(Some((b"text/plain", b"body")));
    out
}

proptest! {
    #[test]
    fn a_hostile_value_stays_one_line(value in hostile(), quoted in hostile()) {
        let out = request(|writer| {
            writer.header_raw("X-Value", &value);
            writer.header_fmt(Name::Subject, format_args!("{}", String::from_utf8_lossy(&value)));
            writer.begin(Name::Reason).push("SIP;text=").push_quoted(&quoted);
        });
        let mut index = Index::default();
        let message = decode(&out, &mut index, Framing::Stream).expect("it reads");
        let names: Vec<_> = message.all().map(|header| String::from_utf8_lossy(header.raw_name).into_owned()).collect();
        prop_assert_eq!(names, [
            "Via", "From", "To", "Call-ID", "CSeq", "X-Value", "Subject", "Reason", "Content-Type", "Content-Length",
        ]);
        prop_assert_eq!(message.body(), b"body");
        prop_assert_eq!(message.values(Name::Reason).count(), 1, "no quote was left open");
    }

    #[test]
    fn a_clean_value_comes_back_as_it_was(value in "[!-~]([ -~]{0,80}[!-~])?") {
        let out = request(|writer| { writer.header_raw("X-Value", &value); });
        let mut index = Index::default();
        let message = decode(&out, &mut index, Framing::Stream).expect("it reads");
        prop_assert_eq!(message.custom(b"x-value"), Some(value.as_bytes()));
    }

    #[test]
    fn a_hostile_name_method_or_uri_adds_nothing(text in hostile()) {
        let out = request(|writer| { writer.header_raw(&text, "value"); });
        let lines = out.windows(2).filter(|pair| pair == b"\r\n").count();
        prop_assert!((9..=10).contains(&lines), "{} lines", lines);
        let mut out = Vec::new();
        Writer::request(&mut out, &text, &text).finish(None);
        prop_assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 3);
        prop_assert_eq!(out.split(|&byte| byte == b'\r').next().map(|line| {
            line.iter().filter(|&&byte| byte == b' ').count()
        }), Some(2));
        Writer::response(&mut out, 480, &text).finish(None);
        prop_assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 3);
    }

    #[test]
    fn an_embedded_header_adds_no_parameter_and_comes_back(value in hostile()) {
        let mut uri = b"sip:desk@pbx.example?X-Value=".to_vec();
        encode_embedded(&mut uri, &value);
        let mut refer_to = b"<".to_vec();
        refer_to.extend_from_slice(&uri);
        refer_to.push(b'>');
        let read = NameAddr::parse(&refer_to).expect("it reads");
        prop_assert_eq!(read.params, b"");
        let headers: Vec<_> = read.uri.each_header().collect();
        prop_assert_eq!(headers.len(), 1);
        prop_assert_eq!(percent_decode(headers[0].1).into_owned(), value);
    }

    #[test]
    fn an_encoded_user_comes_back(text in proptest::collection::vec(any::<u8>(), 1..40)) {
        let mut uri = b"sip:".to_vec();
        encode_user(&mut uri, &text);
        uri.extend_from_slice(b"@pbx.example;p=x");
        let read = Uri::parse(&uri).expect("it reads");
        prop_assert_eq!(read.user_text().into_owned(), text);
        prop_assert_eq!(read.param(b"P").flatten(), Some(&b"x"[..]));
        prop_assert_eq!(read.password, None);
    }

    #[test]
    fn nothing_panics(bytes in hostile()) {
        let mut index = Index::default();
        let _ = decode(&bytes, &mut index, Framing::Datagram).is_ok();
        let _ = (peek::peek(&bytes), sipfrag::parse(&bytes), sdp::Origin::find(&bytes), Name::parse(&bytes));
        let _ = (Uri::parse(&bytes).is_ok(), NameAddr::parse(&bytes).is_ok(), Via::parse(&bytes).is_ok());
        let mut session = b"v=0\r\no=- 1 2 IN IP4 0\r\n".to_vec();
        session.extend_from_slice(&bytes);
        prop_assert_eq!(sdp::Origin::find(&session).map(|origin| origin.number), Some(2));
    }

    #[test]
    fn an_answer_carries_the_source(port in 1u16.., octets in any::<[u8; 4]>(), rport in any::<bool>()) {
        let via = format!("SIP/2.0/UDP host.example:5062{};branch=z9hG4bK7;received=10.9.9.9", if rport { ";rport" } else { "" });
        let mut out = Vec::new();
        let mut writer = Writer::request(&mut out, "OPTIONS", "sip:pbx.example");
        writer.header(Name::Via, via).header(Name::Via, "SIP/2.0/UDP second.example");
        writer.header(Name::From, "<sip:a@b>;tag=1").header(Name::To, "<sip:c@d>");
        writer.header(Name::CallId, "x").header(Name::CSeq, "1 OPTIONS");
        writer.finish(None);
        let mut index = Index::default();
        let request = decode(&out, &mut index, Framing::Datagram).expect("it reads");
        let mut answer = Vec::new();
        response_to(&mut answer, &request, 200, b"OK", Some(b"t2"), Some((octets, port).into())).finish(None);
        let mut index = Index::default();
        let answer = decode(&answer, &mut index, Framing::Datagram).expect("it reads");
        prop_assert_eq!(answer.via().received(), Some(octets.into()));
        prop_assert_eq!(answer.via().rport(), rport.then_some(Some(port)));
        prop_assert_eq!(answer.via().port, Some(5062));
        prop_assert_eq!(answer.branch(), Some(&b"z9hG4bK7"[..]));
        prop_assert_eq!(answer.headers(Name::Via).last(), Some(&b"SIP/2.0/UDP second.example"[..]));
        prop_assert_eq!(answer.to_tag(), Some(&b"t2"[..]));
    }

    /// What rsip reads without loss (no folds, no compact names, no IPv6), both readers read alike.
    #[test]
    fn an_independent_reader_agrees(
        method in prop_oneof![Just(Method::Invite), Just(Method::Refer), Just(Method::Bye), Just(Method::Notify)],
        user in "[a-z0-9]{1,12}", host in "[a-z]{1,10}\\.example", port in proptest::option::of(1u16..),
        tag in "[a-zA-Z0-9]{1,16}", call_id in "[a-zA-Z0-9]{1,24}@[a-z]{1,8}", cseq in 0u32..0x7fff_ffff,
        branch in "[a-zA-Z0-9]{1,16}", hops in 0u8.., display in "[a-zA-Z ]{0,12}", body in "[ -~\r\n]{0,64}",
    ) {
        let address = port.map_or(format!("sip:{user}@{host}"), |port| format!("sip:{user}@{host}:{port}"));
        let mut out = Vec::new();
        let mut writer = Writer::request(&mut out, method.as_str(), &address);
        writer.header_fmt(Name::Via, format_args!("SIP/2.0/UDP {host}:5070;branch=z9hG4bK{branch}"));
        writer.header_fmt(Name::MaxForwards, format_args!("{hops}"));
        writer.header_fmt(Name::From, format_args!("\"{display}\" <{address}>;tag={tag}"));
        writer.header_fmt(Name::To, format_args!("<{address}>"));
        writer.header(Name::CallId, &call_id);
        writer.header_fmt(Name::CSeq, format_args!("{cseq} {}", method.as_str()));
        writer.finish(Some((b"text/plain", body.as_bytes())));

        let mut index = Index::default();
        let ours = decode(&out, &mut index, Framing::Stream).expect("it reads");
        let theirs = independent::read(&out).expect("rsip reads it");
        prop_assert_eq!(theirs, independent::Reading {
            method: ours.method(),
            uri: String::from_utf8_lossy(ours.uri_bytes()).into_owned(),
            branch: ours.branch().map(|text| String::from_utf8_lossy(text).into_owned()),
            from_tag: ours.from_tag().map(|text| String::from_utf8_lossy(text).into_owned()),
            to_tag: ours.to_tag().map(|text| String::from_utf8_lossy(text).into_owned()),
            call_id: String::from_utf8_lossy(ours.call_id()).into_owned(),
            cseq: (ours.cseq().number, ours.cseq().method),
            hops: ours.max_forwards(),
            body: ours.body().to_vec(),
        });
    }
}

#[test]
fn conversions_to_rsip_and_back() {
    use baton::wire::rsip_types::{from_method, from_status_code, to_method, to_status_code};
    let methods = ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY"];
    for name in methods.into_iter().chain(["SUBSCRIBE", "REGISTER", "MESSAGE", "PUBLISH"]) {
        let theirs = to_method(Method::parse(name.as_bytes())).expect(name);
        assert_eq!(theirs.to_string(), name);
        assert_eq!(from_method(theirs), Method::parse(name.as_bytes()));
    }
    assert_eq!(to_method(Method::Other), None);
    for status in 100..700 {
        assert_eq!(from_status_code(&to_status_code(status)), status);
    }
}

/// The reading of `rsip`, through the one module that knows it.
mod independent {
    use baton::wire::Method;
    use baton::wire::rsip_types::from_method;
    use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};

    #[derive(Debug, PartialEq)]
    pub(crate) struct Reading {
        pub(crate) method: Method,
        pub(crate) uri: String,
        pub(crate) branch: Option<String>,
        pub(crate) from_tag: Option<String>,
        pub(crate) to_tag: Option<String>,
        pub(crate) call_id: String,
        pub(crate) cseq: (u32, Method),
        pub(crate) hops: Option<u8>,
        pub(crate) body: Vec<u8>,
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Reading, rsip::Error> {
        let request = rsip::Request::try_from(bytes)?;
        let cseq = request.cseq_header()?.typed()?;
        let hops = request.max_forwards_header()?.num()?;
        Ok(Reading {
            method: from_method(request.method),
            uri: request.uri.to_string(),
            branch: request.via_header()?.typed()?.branch().map(ToString::to_string),
            from_tag: request.from_header()?.tag()?.map(|tag| tag.to_string()),
            to_tag: request.to_header()?.tag()?.map(|tag| tag.to_string()),
            call_id: request.call_id_header()?.value().to_owned(),
            cseq: (cseq.seq, from_method(cseq.method)),
            hops: u8::try_from(hops).ok(),
            body: request.body.clone(),
        })
    }
}
