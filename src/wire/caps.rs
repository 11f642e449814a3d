//! The limits on what a peer may send, each with its reason. Checked before anything is stored or allocated.

/// Longest message in bytes, head and body together: the largest UDP payload, and what a `u16` offset can address.
/// A stream could carry more, but no request that Baton serves needs it.
pub const MAX_MESSAGE: usize = 65_535;

/// Longest head (start line and headers) in bytes. The longest of RFC 4475 has under 4 kB; SBC chains reach 8 kB.
pub const MAX_HEAD: usize = 32 * 1024;

/// Most header lines in one message. RFC 4475's longest has 50; a carrier with a long Via chain stays under 80.
pub const MAX_HEADERS: usize = 128;

/// Longest header line in bytes, its folded parts included. Identity headers (RFC 8224) reach 2-3 kB.
pub const MAX_LINE: usize = 16 * 1024;

/// Longest header name in bytes: it is kept as one byte in the index.
pub const MAX_NAME: usize = 255;

/// Longest URI in bytes. A Refer-To with embedded headers is the longest that occurs; FreeSWITCH cuts at 1,024.
pub const MAX_URI: usize = 8 * 1024;

/// Most parameters of one header value: more is nobody's honest message, and every lookup walks them.
pub const MAX_PARAMS: usize = 64;

/// Largest CSeq number (RFC 3261 section 8.1.1.5: less than 2^31).
pub const MAX_CSEQ: u32 = 0x7fff_ffff;
