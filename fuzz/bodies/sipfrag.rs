//! Any bytes as a sipfrag: no panic, and what is read is a status that reads again when written.

use baton::wire::sipfrag;

/// Reads `bytes` and writes what it read.
pub fn sipfrag_body(bytes: &[u8]) {
    let _ = sipfrag::is_sipfrag(bytes);
    let Some(found) = sipfrag::parse(bytes) else { return };
    assert!((100..700).contains(&found.status));
    assert!(!found.reason.iter().any(|byte| matches!(byte, b'\r' | b'\n')), "the reason is one line");
    let mut out = Vec::new();
    sipfrag::write(&mut out, found.status);
    assert_eq!(sipfrag::parse(&out).map(|again| again.status), Some(found.status));
}
