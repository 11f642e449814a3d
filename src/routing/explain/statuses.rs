//! Every 4xx, 5xx and 6xx status of the IANA registry in plain words, and what whoever is on call does next. Text only;
//! [`super`] asks it.

use super::Entry;

const fn entry(status: u16, title: &'static str, cause: &'static str, hint: &'static str) -> Entry {
    Entry { status, title, cause, hint, of_invite: None }
}

impl Entry {
    /// What to do where an INVITE was answered so, and transfers have nothing to do with it.
    const fn of_invite(self, hint: &'static str) -> Self {
        Self { of_invite: Some(hint), ..self }
    }
}

/// By status.
pub(super) static STATUSES: &[Entry] = &[
    entry(
        400,
        "Bad Request",
        "The other side could not read the request.",
        "Compare a packet capture with what the other side logs; a header value or the Refer-To form is the usual reason (Asterisk answers 400 to a tel: URI).",
    )
    .of_invite("Compare a packet capture with what the other side logs; a header value is the usual reason."),
    entry(
        401,
        "Unauthorized",
        "The other side wants credentials, or did not accept the ones it got.",
        "Set or correct `auth` of the trunk; check that the realm is the trunk's.",
    ),
    entry(
        402,
        "Payment Required",
        "The carrier wants an account that pays.",
        "Ask the carrier about the account's balance.",
    ),
    entry(
        403,
        "Forbidden",
        "The other side understood and will not do it.",
        "Allow transfers for this trunk on the PBX or carrier (FreeSWITCH: the leg must be bridged; Twilio: enable call transfer), and check the caller's number if the carrier checks it.",
    )
    .of_invite("Check that the other side lets this trunk call that number, and the caller's number that it is shown."),
    entry(
        404,
        "Not Found",
        "The other side does not know the user or number.",
        "Check the destination's route against the dial plan; behind a proxy also check that it kept the route set.",
    ),
    entry(
        405,
        "Method Not Allowed",
        "The other side does not support this method here.",
        "Switch REFER on at the other side, or use method \"bye\" for this destination.",
    )
    .of_invite("Check that the address is one that takes calls."),
    entry(
        406,
        "Not Acceptable",
        "The other side has no answer that would be acceptable.",
        "Compare the Accept header in a packet capture with what the other side can send.",
    ),
    entry(
        407,
        "Proxy Authentication Required",
        "A proxy on the way wants credentials, or did not accept the ones it got.",
        "Set or correct `auth` of the trunk.",
    ),
    entry(
        408,
        "Request Timeout",
        "No answer came in time; `origin=local` means that Baton's own timer ended it.",
        "Check that the address is reachable and not behind a firewall; raise the timeout if the other side is only slow.",
    ),
    entry(
        409,
        "Conflict",
        "The other side sees a conflict with another request (RFC 2543).",
        "Try again; look into the other side's log if it stays.",
    ),
    entry(410, "Gone", "The user was there once and is no more.", "Replace the destination's route."),
    entry(
        412,
        "Conditional Request Failed",
        "A condition of the request did not hold.",
        "Look at the SIP-If-Match header in a packet capture.",
    ),
    entry(
        413,
        "Request Entity Too Large",
        "The body is larger than the other side takes.",
        "Look at the size of the SDP in a packet capture.",
    ),
    entry(
        414,
        "Request-URI Too Long",
        "The URI is longer than the other side takes.",
        "Put fewer or shorter headers into the Refer-To, or set header_placement = \"request\".",
    )
    .of_invite("Write a shorter route."),
    entry(
        415,
        "Unsupported Media Type",
        "The other side does not take this kind of body.",
        "Look at the Content-Type in a packet capture.",
    ),
    entry(
        416,
        "Unsupported URI Scheme",
        "The other side does not take this kind of URI.",
        "Write the route as a sip: URI.",
    ),
    entry(
        417,
        "Unknown Resource-Priority",
        "The other side does not know the priority that was asked for.",
        "Look at the Resource-Priority header in a packet capture.",
    ),
    entry(
        420,
        "Bad Extension",
        "An extension was required that the other side does not have.",
        "The Unsupported header of the answer names it.",
    ),
    entry(
        421,
        "Extension Required",
        "The other side needs an extension that was not offered.",
        "The Require header of the answer names it.",
    ),
    entry(
        422,
        "Session Interval Too Small",
        "The session timer is shorter than the other side allows.",
        "Look at the Min-SE header of the answer.",
    ),
    entry(
        423,
        "Interval Too Brief",
        "The expiry is shorter than the other side allows.",
        "Look at the Min-Expires header of the answer.",
    ),
    entry(
        424,
        "Bad Location Information",
        "The location in the request could not be used.",
        "Look at the Geolocation headers in a packet capture.",
    ),
    entry(
        425,
        "Bad Alert Message",
        "The alert in the request could not be used.",
        "Look at the body of the request in a packet capture.",
    ),
    entry(
        428,
        "Use Identity Header",
        "The other side wants a signed caller identity (STIR).",
        "Sign at the carrier's edge, or have the carrier exempt the trunk.",
    ),
    entry(
        429,
        "Provide Referrer Identity",
        "The other side wants to know who refers.",
        "Leave `referred_by` on for this trunk.",
    ),
    entry(430, "Flow Failed", "A proxy lost its connection to the user.", "The phone must register again."),
    entry(
        433,
        "Anonymity Disallowed",
        "The other side does not take anonymous calls.",
        "Show a caller number: set the destination's `caller_id`.",
    ),
    entry(
        436,
        "Bad Identity Info",
        "The certificate of the signed identity could not be fetched.",
        "Check the info parameter of the Identity header.",
    ),
    entry(
        437,
        "Unsupported Credential",
        "The signature's certificate is not accepted.",
        "Check with the carrier which certificates it accepts.",
    ),
    entry(
        438,
        "Invalid Identity Header",
        "The signed identity is not valid.",
        "Check the clock and the numbers that were signed.",
    ),
    entry(
        439,
        "First Hop Lacks Outbound Support",
        "The first proxy does not support SIP Outbound.",
        "Use another proxy.",
    ),
    entry(
        440,
        "Max-Breadth Exceeded",
        "A proxy would have forked further than allowed.",
        "Look for a forking loop in the proxies.",
    ),
    entry(
        469,
        "Bad Info Package",
        "The other side did not agree to this INFO package.",
        "Look at the Recv-Info headers in a packet capture.",
    ),
    entry(
        470,
        "Consent Needed",
        "The receiver has not agreed to be contacted.",
        "Get the consent that RFC 5360 describes.",
    ),
    entry(
        480,
        "Temporarily Unavailable",
        "The user is there but cannot take the call now: not registered, do not disturb, or no answer.",
        "Check that the phone is registered and that somebody is on duty; give the destination a next step in `on_failure`.",
    ),
    entry(
        481,
        "Call/Transaction Does Not Exist",
        "The other side no longer knows this call.",
        "Compare both logs: it ended or restarted, or a proxy sent the request to another node.",
    ),
    entry(
        482,
        "Loop Detected",
        "The request came back to where it had been.",
        "Look for a route that leads back to its own trunk.",
    ),
    entry(
        483,
        "Too Many Hops",
        "The request passed more proxies than allowed, most often in a loop.",
        "Look for a route that leads back to its own trunk.",
    ),
    entry(
        484,
        "Address Incomplete",
        "The number is too short to be dialled.",
        "Check the destination's route: country code and all digits.",
    ),
    entry(
        485,
        "Ambiguous",
        "The address names more than one user.",
        "Make the route more precise; the answer's Contact may list the choices.",
    ),
    entry(
        486,
        "Busy Here",
        "The target is on another call.",
        "Nothing is wrong; give the destination a next step for `busy`.",
    ),
    entry(
        487,
        "Request Terminated",
        "The call was cancelled before it was answered.",
        "Nothing is wrong if the caller hung up; else look at who sent the CANCEL in a packet capture.",
    ),
    entry(
        488,
        "Not Acceptable Here",
        "The target cannot use the media that was offered.",
        "Compare the codecs and SRTP of both ends in a packet capture.",
    ),
    entry(
        489,
        "Bad Event",
        "The other side does not know this event package.",
        "Look at the Event header in a packet capture.",
    ),
    entry(
        491,
        "Request Pending",
        "Both sides wanted to change the call in the same moment.",
        "It is tried again by itself; look into the other side's log if it stays.",
    ),
    entry(
        493,
        "Undecipherable",
        "The encrypted body could not be read.",
        "Look at the S/MIME settings of both ends.",
    ),
    entry(
        494,
        "Security Agreement Required",
        "The other side wants a security agreement first.",
        "Look at the Security-Server header of the answer.",
    ),
    entry(
        500,
        "Server Internal Error",
        "Something broke inside the other side.",
        "Look into the other side's log at this Call-ID.",
    ),
    entry(
        501,
        "Not Implemented",
        "The other side does not have this method at all.",
        "Use method \"bye\" for destinations on this trunk, or update the other side.",
    )
    .of_invite("Check that the address is one that takes calls."),
    entry(
        502,
        "Bad Gateway",
        "A gateway got a bad answer from behind.",
        "Ask the carrier, with the Call-ID and the time.",
    ),
    entry(
        503,
        "Service Unavailable",
        "The other side is overloaded, in maintenance, or cannot be reached; `origin=local` means that Baton could not send.",
        "Check that the other side is up and reachable; Retry-After says when to try again.",
    ),
    entry(
        504,
        "Server Time-out",
        "A server on the way got no answer from behind.",
        "Check the DNS and the next hop of the proxy.",
    ),
    entry(
        505,
        "Version Not Supported",
        "The other side does not speak SIP/2.0.",
        "Check that the address is a SIP server.",
    ),
    entry(
        513,
        "Message Too Large",
        "The message is larger than the other side takes.",
        "Send fewer headers, or use TCP.",
    ),
    entry(
        555,
        "Push Notification Service Not Supported",
        "The phone's push service is not supported.",
        "Check the push settings of the registrar.",
    ),
    entry(
        580,
        "Precondition Failure",
        "The resources that were required could not be reserved.",
        "Look at the precondition lines of the SDP.",
    ),
    entry(
        600,
        "Busy Everywhere",
        "The target is busy on all its devices.",
        "Nothing is wrong; give the destination a next step for `busy`.",
    ),
    entry(
        603,
        "Decline",
        "The target declined; as the answer to a REFER, the other side does not allow the transfer.",
        "If it answered the REFER: allow transfers for the trunk (Asterisk: allow_transfer=yes). Else nothing is wrong; give the destination a next step for `busy`.",
    )
    .of_invite("Nothing is wrong; give the destination a next step for `busy`."),
    entry(
        604,
        "Does Not Exist Anywhere",
        "The user or number does not exist at all.",
        "Check the destination's route.",
    ),
    entry(
        606,
        "Not Acceptable",
        "The target cannot use the session at all.",
        "Compare the codecs and SRTP of both ends in a packet capture.",
    ),
    entry(
        607,
        "Unwanted",
        "The called person marked the call as unwanted.",
        "Have the carrier check the reputation of the number that was shown.",
    ),
    entry(
        608,
        "Rejected",
        "An analytics engine on the way rejected the call.",
        "The answer's Call-Info says where to object; have the carrier check the reputation of the number.",
    ),
];
