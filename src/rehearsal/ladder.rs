//! A tape as a ladder: a lifeline for each party, an arrow for each message, the telling headers under it.
//!
//! Pure text: who prints it says how wide the page is and whether it may be coloured. Called by `cli::demo`.

use super::tape::{Entry, Party};
use super::text::Text;

/// Columns before the first lifeline: the time.
const TIME: usize = 9;
/// What is left of the last lifeline: half its name.
const MARGIN: usize = 4;
/// The narrowest page on which arrows keep their labels.
const NARROWEST: usize = 64;
/// Wider than this, arrows only get longer.
const WIDEST: usize = 110;

/// What a ladder is drawn on.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    width: usize,
    colour: bool,
}

/// What a piece of text means; the page knows what that looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// As it is.
    Plain,
    /// Of less interest: lifelines, times, provisional answers.
    Faint,
    /// Titles and values to look at.
    Strong,
    /// A request.
    Request,
    /// It worked.
    Good,
    /// It did not.
    Bad,
    /// A header, a note.
    Remark,
}

impl Ink {
    /// The SGR parameters (ECMA-48); the terminal's own palette, so that they can be read on any background.
    fn sgr(self) -> &'static str {
        match self {
            Ink::Plain => "0",
            Ink::Faint => "2",
            Ink::Strong => "1",
            Ink::Request => "36",
            Ink::Good => "32",
            Ink::Bad => "31",
            Ink::Remark => "33",
        }
    }
}

impl Page {
    /// A page of that many columns (kept within what a ladder can use).
    pub fn new(width: usize, colour: bool) -> Page {
        Page { width: width.clamp(NARROWEST, WIDEST), colour }
    }

    /// Text in that ink.
    pub fn ink(&self, ink: Ink, text: &str) -> String {
        if self.colour && ink != Ink::Plain {
            format!("\u{1b}[{}m{text}\u{1b}[0m", ink.sgr())
        } else {
            text.to_owned()
        }
    }

    /// Text in lines that fit behind an indent.
    pub fn paragraph(&self, indent: usize, text: &str) -> String {
        let lines = wrap(text, self.width.saturating_sub(indent));
        lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect()
    }

    /// The whole ladder of a scene, with its heads; each line ends with a line feed. PBX, Baton and agent always stand
    /// there, the desk where it says something.
    pub fn ladder(&self, entries: &[Entry]) -> String {
        let desk = |entry: &Entry| matches!(entry, Entry::Message { from, to, .. } if [*from, *to].contains(&Party::Desk));
        let mut parties = vec![Party::Pbx, Party::Baton, Party::Agent];
        parties.extend(entries.iter().any(desk).then_some(Party::Desk));
        self.ladder_between(&parties, entries)
    }

    /// The ladder between these, from left to right; two at least.
    pub fn ladder_between(&self, parties: &[Party], entries: &[Entry]) -> String {
        let drawing = Drawing::new(self, parties);
        let mut out = drawing.heads();
        for entry in entries {
            let at = entry.at();
            let time = format!("{:>6}.{}", at.as_millis(), at.subsec_micros() / 100 % 10);
            match entry {
                Entry::Message { from, to, message, again, .. } => {
                    out += &drawing.arrow(&time, *from, *to, message, *again);
                    for remark in remarks(message) {
                        out += &drawing.remark(*from, *to, &remark);
                    }
                }
                Entry::Note { text, .. } => out += &drawing.note(&time, text),
            }
        }
        out
    }
}

/// A page with the lifelines of one tape.
struct Drawing<'a> {
    page: &'a Page,
    /// Who stands there, from left to right, in which column.
    lifelines: Vec<(Party, usize)>,
}

impl<'a> Drawing<'a> {
    fn new(page: &'a Page, parties: &[Party]) -> Drawing<'a> {
        let gap = (page.width - TIME - MARGIN) / (parties.len() - 1).max(1);
        let columns = (0..).map(|number| TIME + 1 + number * gap.min(WIDEST / 2));
        Drawing { page, lifelines: parties.iter().copied().zip(columns).collect() }
    }

    /// The column of that party.
    fn at(&self, party: Party) -> usize {
        self.lifelines.iter().find(|(own, _)| *own == party).map_or(TIME + 1, |(_, at)| *at)
    }

    /// The columns of the first lifeline and of the last.
    fn ends(&self) -> (usize, usize) {
        let last = self.lifelines.last().map_or(TIME + 1, |(_, at)| *at);
        (TIME + 1, last)
    }

    fn heads(&self) -> String {
        let mut line = Line::new(self.page.width);
        line.put(TIME - 4, "ms", Ink::Faint);
        for (party, at) in &self.lifelines {
            let name = party.as_str();
            line.put(at - name.len() / 2, name, Ink::Strong);
        }
        line.finish(self.page)
    }

    /// A line with nothing but the lifelines.
    fn blank(&self) -> Line {
        let mut line = Line::new(self.page.width);
        for (_, at) in &self.lifelines {
            line.put(*at, "│", Ink::Faint);
        }
        line
    }

    /// It goes through the lifelines between the two; its label stands before the first of them.
    fn arrow(&self, time: &str, from: Party, to: Party, message: &Text, again: bool) -> String {
        let (left, right) = (self.at(from).min(self.at(to)), self.at(from).max(self.at(to)));
        let between = || self.lifelines.iter().map(|(_, at)| *at).filter(|at| (left + 1..right).contains(at));
        let ink = ink_of(message);
        let again = if again { " (again)" } else { "" };
        let room = between().next().unwrap_or(right) - left - 6;
        let [long, short] = labels(message).map(|label| format!(" {label}{again} "));
        let label = if long.chars().count() <= room { long } else { shorten(&short, room) };
        let mut line = self.blank();
        line.put(0, time, Ink::Faint);
        line.put(left + 1, &"─".repeat(right - left - 1), ink);
        for at in between() {
            line.put(at, "┼", ink);
        }
        if self.at(from) < self.at(to) {
            line.put(right - 1, "▶", ink);
        } else {
            line.put(left + 1, "◀", ink);
        }
        line.put(left + 4, &label, ink);
        line.finish(self.page)
    }

    /// A header, beginning under its arrow. One that is too long there leans over the lifelines to the left.
    fn remark(&self, from: Party, to: Party, text: &str) -> String {
        let (first, last) = self.ends();
        let (at, end) = (self.at(from).min(self.at(to)) + 4, last - 1);
        let at = at.min(end.saturating_sub(text.chars().count())).max(first + 4);
        let mut line = self.blank();
        line.put(at, &shorten(text, end - at), Ink::Remark);
        line.finish(self.page)
    }

    fn note(&self, time: &str, text: &str) -> String {
        let (first, last) = self.ends();
        let mut out = String::new();
        for (number, part) in wrap(text, last - first - 6).iter().enumerate() {
            let mut line = self.blank();
            if number == 0 {
                line.put(0, time, Ink::Faint);
                line.put(first + 2, "◆", Ink::Strong);
            }
            line.put(first + 4, part, Ink::Strong);
            out += &line.finish(self.page);
        }
        out
    }
}

/// One line of cells.
struct Line(Vec<(char, Ink)>);

impl Line {
    fn new(width: usize) -> Line {
        Line(vec![(' ', Ink::Plain); width])
    }

    /// Writes over what stands there; what does not fit is cut.
    fn put(&mut self, at: usize, text: &str, ink: Ink) {
        for (cell, c) in self.0.iter_mut().skip(at).zip(text.chars()) {
            *cell = (if c.is_control() { '·' } else { c }, ink);
        }
    }

    fn finish(self, page: &Page) -> String {
        let used = self.0.iter().rposition(|(c, _)| *c != ' ').map_or(0, |last| last + 1);
        let mut out = String::new();
        for run in self.0[..used].chunk_by(|a, b| a.1 == b.1) {
            out += &page.ink(run[0].1, &run.iter().map(|(c, _)| *c).collect::<String>());
        }
        out + "\n"
    }
}

fn ink_of(message: &Text) -> Ink {
    match message.status() {
        None => Ink::Request,
        Some(100..200) => Ink::Faint,
        Some(200..300) => Ink::Good,
        Some(_) => Ink::Bad,
    }
}

/// What stands in the arrow, and what does where that is too long: the method, or the status with the method that it
/// answers; what a NOTIFY tells.
fn labels(message: &Text) -> [String; 2] {
    if let Some(status) = message.start.strip_prefix("SIP/2.0 ") {
        return [format!("{status} ({})", message.method()), status.to_owned()];
    }
    match message.method() {
        "NOTIFY" => {
            let told = message.body.trim().strip_prefix("SIP/2.0 ").unwrap_or("(no status)");
            [format!("NOTIFY {told}"), "NOTIFY".to_owned()]
        }
        method => [method.to_owned(), method.to_owned()],
    }
}

/// The headers of a request that tell something to a person: where to, why, and what the table added; whose media it
/// brings, where it changes that in a call that stands.
fn remarks(message: &Text) -> Vec<String> {
    if message.status().is_some() {
        return Vec::new();
    }
    let telling = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.starts_with("x-") || ["refer-to", "replaces", "reason", "user-to-user"].contains(&name.as_str())
    };
    let mut all: Vec<String> = message
        .headers
        .iter()
        .filter(|(name, _)| telling(name))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    match message.method() {
        "INFO" => all.extend(message.body.lines().next().map(str::to_owned)),
        // The peers write their names there.
        "INVITE" if message.tag("To").is_some() => {
            let name = message.body.lines().find_map(|line| line.strip_prefix("s="));
            all.extend(name.map(|name| format!("SDP of the {name}")));
        }
        _ => {}
    }
    all
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Lines of at most `width` characters, broken after a space or a comma where there is one.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive([' ', ',']) {
        let length = word.trim_end().chars().count();
        if used > 0 && used + length > width {
            lines.push(String::new());
            used = 0;
        }
        for c in word.chars() {
            if used >= width {
                if c == ' ' {
                    continue;
                }
                lines.push(String::new());
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
            used += 1;
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn message(from: Party, to: Party, message: Text) -> Entry {
        Entry::Message { at: Duration::from_micros(12_345), from, to, message, again: false }
    }

    fn tape() -> Vec<Entry> {
        let refer = Text::new("REFER sip:pbx@127.0.0.1 SIP/2.0")
            .with("Via", "SIP/2.0/UDP 127.0.0.1")
            .with("Refer-To", "<sip:+14155550123@127.0.0.1>")
            .with("X-Account", "4711");
        let refused = Text::new("SIP/2.0 403 Forbidden").with("CSeq", "2 REFER");
        let notify =
            Text::new("NOTIFY sip:agent@127.0.0.1 SIP/2.0").with_body("message/sipfrag", "SIP/2.0 200 OK");
        vec![
            Entry::Note { at: Duration::from_millis(3), text: "POST /v1/calls/c1/handoff".to_owned() },
            message(Party::Baton, Party::Pbx, refer),
            message(Party::Pbx, Party::Baton, refused),
            message(Party::Baton, Party::Agent, notify),
        ]
    }

    #[test]
    fn draws_arrows_in_the_direction_of_the_message() {
        let drawn = Page::new(64, false).ladder(&tape());
        let expected = "     ms  PBX                     Baton                    agent
     3.0  │ ◆ POST /v1/calls/c1/handoff                     │
    12.3  │◀── REFER ──────────────│                        │
          │   Refer-To: <sip:+14155550123@127.0.0.1>        │
          │   X-Account: 4711      │                        │
    12.3  │─── 403 Forbidden ─────▶│                        │
    12.3  │                        │─── NOTIFY 200 OK ─────▶│
";
        assert!(drawn == expected, "{drawn}");
        let wide = Page::new(80, false).ladder(&tape());
        assert!(wide.contains("│─── 403 Forbidden (REFER) ─────▶│"), "{wide}");
    }

    #[test]
    fn an_arrow_goes_through_the_lifelines_between_its_ends() {
        let reinvite = Text::new("INVITE sip:pbx@127.0.0.1 SIP/2.0")
            .with("To", "<sip:pbx@127.0.0.1>;tag=a")
            .with_body("application/sdp", "v=0\r\ns=desk\r\n");
        let invite = Text::new("INVITE sip:desk@127.0.0.1 SIP/2.0").with("Replaces", "a;to-tag=b;from-tag=c");
        let answer = Text::new("SIP/2.0 200 OK").with("CSeq", "1 INVITE");
        let drawn = Page::new(64, false).ladder(&[
            message(Party::Pbx, Party::Desk, invite),
            message(Party::Desk, Party::Baton, answer),
            message(Party::Baton, Party::Pbx, reinvite),
        ]);
        let expected = "     ms  PBX             Baton            agent            desk
    12.3  │─── INVITE ─────┼────────────────┼───────────────▶│
          │   Replaces: a;to-tag=b;from-tag=c                │
    12.3  │                │◀── 200 OK ─────┼────────────────│
    12.3  │◀── INVITE ─────│                │                │
          │   SDP of the desk               │                │
";
        assert!(drawn == expected, "{drawn}");
    }

    #[test]
    fn no_line_is_wider_than_the_page() {
        for width in [10, 64, 80, 110, 400] {
            let page = Page::new(width, false);
            let drawn = page.ladder(&tape());
            let widest = drawn.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(widest <= width.clamp(NARROWEST, WIDEST), "{widest} columns on a page of {width}");
        }
    }

    #[test]
    fn colours_only_when_told_and_never_lets_a_control_character_through() {
        assert!(!Page::new(80, false).ladder(&tape()).contains('\u{1b}'));
        assert!(Page::new(80, true).ladder(&tape()).contains("\u{1b}[31m"));
        let hostile = Text::new("BYE sip:a SIP/2.0").with("X-Evil", "\u{1b}[2J");
        assert!(
            !Page::new(80, false).ladder(&[message(Party::Pbx, Party::Baton, hostile)]).contains('\u{1b}')
        );
    }

    #[test]
    fn wraps_at_spaces_and_commas_and_breaks_what_has_none() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("{a,b,c}", 4), ["{a,", "b,c}"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("", 3), [""]);
    }
}
