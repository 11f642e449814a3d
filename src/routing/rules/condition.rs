//! `when`: a question about the variables of a call, in a subset of CEL (<https://cel.dev>) that cannot loop.
//!
//! Every variable is a string; one that is not defined, and a header that the caller's INVITE does not have, is `""`.
//! What is allowed is checked by type when the table is read: `==`, `!=`, `in [...]`, `&&`, `||`, `!`, `? :`,
//! `startsWith`, `endsWith`, `contains`, `size`, `int(...)` and comparisons of numbers. Nothing that repeats (macros) or
//! grows (`+`), no regular expressions. One thing can fail when it is asked, `int` of what is no number: the rule does
//! not match then, unless `&&` or `||` is decided without it.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::common::types::{CelBool, CelString};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::parser::Parser;
use cel::{Env, Value};

use crate::routing::template::{Variables, is_readable_header, is_variable_name};

/// The longest text, in bytes.
pub const MAX_TEXT: usize = 512;

/// The most operators, calls, names and literals.
const MAX_NODES: usize = 100;

/// How deep brackets may stand in each other.
const MAX_DEPTH: u16 = 24;

/// Of a value that comes from outside, so much is looked at, in bytes.
const MAX_VALUE: usize = 1024;

/// What `when` looks like, for messages.
pub const FORM: &str = "a condition like language == \"es\" && header[\"X-Tier\"] in [\"gold\", \"silver\"]";

/// A condition over the variables of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: Box<str>,
    /// Headers stand in it as names, `header.X-Foo`, which no variable can have.
    expression: Arc<IdedExpr>,
    names: Box<[Box<str>]>,
    words: Box<[Box<str>]>,
}

// No number with a fraction is in it, so that it is equal to itself.
impl Eq for Condition {}

/// Why a text is no [`Condition`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionError {
    /// Where it begins in the text, in bytes; `None`: the whole of it.
    pub at: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Text,
    Number,
    Truth,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Type::Text => "text",
            Type::Number => "a number",
            Type::Truth => "true or false",
        }
    }
}

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        if text.len() > MAX_TEXT {
            let message = format!("the condition is longer than {MAX_TEXT} bytes");
            return Err(ConditionError {
                at: None,
                message,
                help: Some("use more than one rule".to_owned()),
            });
        }
        let parser = Parser::new().max_recursion_depth(MAX_DEPTH).error_recovery_limit(1);
        let (mut expression, info) =
            parser.parse_with_source_info(text).map_err(|errors| syntax(text, &errors))?;
        let mut checker = Checker { info: &info, nodes: 0, names: Vec::new(), words: Vec::new() };
        let found = checker.check(&mut expression)?;
        if found != Type::Truth {
            let message = format!("the condition is {}, and not true or false", found.name());
            return Err(ConditionError {
                at: None,
                message,
                help: Some("compare it: language == \"es\"".to_owned()),
            });
        }
        let (names, words) = (checker.names.into(), checker.words.into());
        Ok(Self { text: text.into(), expression: Arc::new(expression), names, words })
    }

    /// Whether it is met. What cannot be told is not met.
    pub fn is_met(&self, variables: &dyn Variables) -> bool {
        let resolver = Resolver { variables };
        let mut context = cel::Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(&resolver);
        match Value::resolve_val(&self.expression, &context) {
            Ok(value) => value.downcast_ref::<CelBool>().is_some_and(|met| *met.inner()),
            Err(_) => false,
        }
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The variables that it names, headers not among them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Those of them that something is compared with, as `es` in `language == es`: words that may have lost their quotes.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|name| &**name)
    }
}

fn syntax(text: &str, errors: &cel::ParseErrors) -> ConditionError {
    let Some(first) = errors.errors.first() else {
        return ConditionError { at: None, message: "the condition cannot be read".to_owned(), help: None };
    };
    let (line, column) = first.pos;
    let offset = usize::try_from(line).ok().zip(usize::try_from(column).ok()).and_then(|(line, column)| {
        let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let line = text.get(before..)?;
        let within = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
        Some(before + within)
    });
    // What the parser says is for its makers, but for what it will not read at all.
    let message = match first.msg.contains("limit") {
        true => "the condition has too many brackets".to_owned(),
        false => "the condition cannot be read from here on".to_owned(),
    };
    let rest = offset.and_then(|at| text.get(at..)).unwrap_or_default();
    let help = match () {
        () if text.contains('$') => Some("variables stand without `$`".to_owned()),
        () if rest.starts_with('=') => Some("equal is `==`".to_owned()),
        () if rest.starts_with("and ") => Some("`and` is written `&&`".to_owned()),
        () if rest.starts_with("or ") => Some("`or` is written `||`".to_owned()),
        () if rest.starts_with("not ") => Some("`not` is written `!`, or `!=`".to_owned()),
        () => None,
    };
    ConditionError { at: offset, message, help }
}

/// Gives a type to every part, and refuses what has none.
struct Checker<'i> {
    info: &'i SourceInfo,
    nodes: usize,
    names: Vec<Box<str>>,
    words: Vec<Box<str>>,
}

type Checked = Result<Type, ConditionError>;

impl Checker<'_> {
    fn fail<T>(&self, at: &IdedExpr, message: impl Into<String>, help: &str) -> Result<T, ConditionError> {
        let offset = self.info.offset_for(at.id).and_then(|(start, _)| usize::try_from(start).ok());
        let help = (!help.is_empty()).then(|| help.to_owned());
        Err(ConditionError { at: offset, message: message.into(), help })
    }

    fn check(&mut self, part: &mut IdedExpr) -> Checked {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.fail(part, "the condition has too many parts", "use more than one rule");
        }
        if let Some(name) = header(&part.expr) {
            if !is_readable_header(&name) {
                return self.fail(part, format!("`{name}` is no header that can be read"), "");
            }
            part.expr = Expr::Ident(format!("{HEADER}{name}"));
            return Ok(Type::Text);
        }
        let id = part.id;
        match &mut part.expr {
            Expr::Ident(name) if name == "header" => {
                self.fail(part, "`header` is asked for one of its entries", "like header[\"X-Tier\"]")
            }
            Expr::Ident(name) if !is_variable_name(name) => {
                let message = format!("`{name}` is no name of a variable");
                self.fail(part, message, "")
            }
            Expr::Ident(name) => {
                self.names.push(name.as_str().into());
                Ok(Type::Text)
            }
            Expr::Literal(LiteralValue::String(_)) => Ok(Type::Text),
            Expr::Literal(LiteralValue::Int(_)) => Ok(Type::Number),
            Expr::Literal(LiteralValue::Boolean(_)) => Ok(Type::Truth),
            Expr::Literal(_) => self.fail(
                part,
                "only text, whole numbers, true and false can be written",
                "an undefined variable is \"\"",
            ),
            Expr::Call(call) => {
                let at = IdedExpr { id, expr: Expr::Unspecified };
                self.call(&at, call)
            }
            Expr::List(_) => {
                self.fail(part, "a list stands only after `in`", "like language in [\"es\", \"pt\"]")
            }
            Expr::Select(_) => self.fail(
                part,
                "`.` is for startsWith, endsWith, contains and size",
                "a header is header[\"X-Tier\"]; one that is not there is \"\"",
            ),
            Expr::Comprehension(_) => self.fail(part, "nothing that repeats can be used in a condition", ""),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.fail(part, "only text, numbers, true and false can be compared", "")
            }
        }
    }

    fn call(&mut self, at: &IdedExpr, call: &mut CallExpr) -> Checked {
        let name = call.func_name.clone();
        let mut operands: Vec<&mut IdedExpr> =
            call.target.as_deref_mut().into_iter().chain(&mut call.args).collect();
        match (name.as_str(), &mut operands[..]) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                self.expect(left, Type::Truth)?;
                self.expect(right, Type::Truth)
            }
            (operators::LOGICAL_NOT, [operand]) => self.expect(operand, Type::Truth),
            (operators::NEGATE, [operand]) => self.expect(operand, Type::Number),
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                self.alike(at, left, right)?;
                self.word(right);
                Ok(Type::Truth)
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [left, right],
            ) => {
                self.expect(left, Type::Number)?;
                self.expect(right, Type::Number)?;
                Ok(Type::Truth)
            }
            (operators::CONDITIONAL, [question, yes, no]) => {
                self.expect(question, Type::Truth)?;
                self.alike(at, yes, no)
            }
            (operators::IN, [what, list]) => self.within(what, list),
            ("startsWith" | "endsWith" | "contains", [whole, part]) => {
                self.expect(whole, Type::Text)?;
                self.expect(part, Type::Text)?;
                Ok(Type::Truth)
            }
            ("size", [text]) | ("int", [text]) => {
                self.expect(text, Type::Text)?;
                Ok(Type::Number)
            }
            (operators::ADD, _) => {
                self.fail(at, "`+` cannot be used in a condition", "compare the parts one by one")
            }
            (operators::INDEX, _) => self.fail(
                at,
                "only `header` has entries, and they are named by a text",
                "like header[\"X-Tier\"]",
            ),
            (other, _) => {
                // Operators are called `_*_`, `_[?_]`.
                self.fail(
                    at,
                    format!("`{}` cannot be used in a condition", other.trim_matches(['_', '@'])),
                    "what can be: == != in && || ! ? : < <= > >=, startsWith, endsWith, contains, size and int",
                )
            }
        }
    }

    fn expect(&mut self, part: &mut IdedExpr, wanted: Type) -> Checked {
        let found = self.check(part)?;
        if found == wanted {
            return Ok(found);
        }
        let help = match (wanted, found) {
            (Type::Number, Type::Text) => "a variable is text: int(duration) is its number",
            (Type::Truth, Type::Text) => "compare it: language == \"es\"; not empty is language != \"\"",
            _ => "",
        };
        self.fail(part, format!("this is {}, and should be {}", found.name(), wanted.name()), help)
    }

    fn alike(&mut self, at: &IdedExpr, left: &mut IdedExpr, right: &mut IdedExpr) -> Checked {
        let (left, right) = (self.check(left)?, self.check(right)?);
        if left == right {
            return Ok(left);
        }
        let help = match (left, right) {
            (Type::Text, Type::Number) | (Type::Number, Type::Text) => {
                "a variable is text: write \"1\" in quotes, or int(duration)"
            }
            (Type::Text, Type::Truth) | (Type::Truth, Type::Text) => {
                "a variable is text: write \"true\" in quotes"
            }
            _ => "",
        };
        self.fail(at, format!("one side is {}, the other is {}", left.name(), right.name()), help)
    }

    fn within(&mut self, what: &mut IdedExpr, list: &mut IdedExpr) -> Checked {
        let wanted = self.check(what)?;
        let Expr::List(entries) = &mut list.expr else {
            return self.fail(list, "after `in` stands a list", "like language in [\"es\", \"pt\"]");
        };
        for entry in &mut entries.elements {
            self.expect(entry, wanted)?;
            self.word(entry);
        }
        Ok(Type::Truth)
    }

    /// Notes a name that something is compared with.
    fn word(&mut self, part: &IdedExpr) {
        if let Expr::Ident(name) = &part.expr
            && !name.starts_with(HEADER)
        {
            self.words.push(name.as_str().into());
        }
    }
}

/// What stands before the name of a header once it was read: no variable has a dot.
const HEADER: &str = "header.";

/// The name in `header["X-Foo"]`.
fn header(part: &Expr) -> Option<String> {
    let Expr::Call(CallExpr { func_name, target: None, args }) = part else { return None };
    match (func_name.as_str(), &args[..]) {
        (
            operators::INDEX,
            [
                IdedExpr { expr: Expr::Ident(whose), .. },
                IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. },
            ],
        ) if whose == "header" => Some(name.inner().to_owned()),
        _ => None,
    }
}

/// Every name has a value; what comes from outside is looked at as far as [`MAX_VALUE`].
struct Resolver<'v> {
    variables: &'v dyn Variables,
}

impl VariableResolver for Resolver<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let found = match name.strip_prefix(HEADER) {
            Some(header) => self.variables.header(header),
            None => self.variables.variable(name),
        };
        Some(CowVal::owned(match found {
            Some(Cow::Borrowed(value)) => CelString::from(cut(value)),
            Some(Cow::Owned(value)) => CelString::from(cut(&value).to_owned()),
            None => CelString::from(""),
        }))
    }
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(MAX_VALUE);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Call;

    impl Variables for Call {
        fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
            match name {
                "language" => Some("es".into()),
                "duration" => Some("75".into()),
                "utterance" => Some("ñ".repeat(MAX_VALUE).into()),
                _ => None,
            }
        }

        fn header(&self, name: &str) -> Option<Cow<'_, str>> {
            name.eq_ignore_ascii_case("x-tier").then(|| "gold".into())
        }
    }

    #[track_caller]
    fn met(text: &str) -> bool {
        Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}")).is_met(&Call)
    }

    #[test]
    fn what_can_be_asked() {
        for text in [
            "true",
            "language == 'es'",
            "language != \"en\"",
            "language in ['pt', \"es\"]",
            "!(language in ['pt'])",
            "header[\"X-Tier\"] == \"gold\" && header['x-tier'].startsWith('go')",
            "header[\"X-None\"] == \"\" && nowhere == \"\"",
            "language.endsWith('s') && language.contains('e') && size(language) == 2 && language.size() < 3",
            "int(duration) >= 60",
            "int(duration) > -1 && int(duration) in [1, 75]",
            "(language == 'es' ? duration : nowhere) == '75'",
            "int(language) > 3 || language == 'es'",
            "size(utterance) <= 1024 && utterance.startsWith('ñ')",
        ] {
            assert!(met(text), "{text}");
        }
        for text in ["false", "language == 'ES'", "int(duration) > 75", "nowhere != ''"] {
            assert!(!met(text), "{text}");
        }
    }

    /// The one thing that can fail: `int` of what is no number. Then the condition is not met, whichever way it asks.
    #[test]
    fn what_cannot_be_told_is_not_met() {
        for text in [
            "int(language) > 3",
            "!(int(language) > 3)",
            "int(nowhere) == 0",
            "int('99999999999999999999') > 1",
        ] {
            assert!(!met(text), "{text}");
        }
    }

    #[test]
    fn names_for_the_lint() {
        let condition = Condition::parse("language == 'es' && header['X-A'] == tier").expect("a condition");
        assert_eq!(condition.names().collect::<Vec<_>>(), ["language", "tier"]);
        let condition =
            Condition::parse("'es' == es && language in [es, 'fr', header['X-A']] && int(a) == 5 && b != c")
                .expect("a condition");
        assert_eq!(condition.words().collect::<Vec<_>>(), ["es", "es", "c"]);
    }

    #[test]
    fn what_is_refused() {
        for (text, at, message) in [
            ("", None, "the condition cannot be read from here on"),
            ("language ==", Some(11), "the condition cannot be read from here on"),
            ("language = 'es'", Some(9), "the condition cannot be read from here on"),
            (
                "a == 'b' and c == 'd'",
                Some(9),
                "the condition cannot be read from here on; `and` is written `&&`",
            ),
            (
                "a == 'b' or c == 'd'",
                Some(9),
                "the condition cannot be read from here on; `or` is written `||`",
            ),
            ("$language == 'es'", Some(0), "the condition cannot be read from here on"),
            ("language", None, "the condition is text, and not true or false"),
            ("duration > 60", Some(0), "this is text, and should be a number"),
            ("language == 5", Some(9), "one side is text, the other is a number"),
            ("language && true", Some(0), "this is text, and should be true or false"),
            ("language + 'x' == 'esx'", Some(9), "`+` cannot be used in a condition"),
            ("int(duration) * 2 > 3", Some(14), "`*` cannot be used in a condition"),
            ("language.matches('e.*')", None, "`matches` cannot be used in a condition"),
            ("[1, 2].all(x, x > 0)", None, "nothing that repeats can be used in a condition"),
            ("has(header.tier)", None, "`.` is for startsWith"),
            ("header == ''", Some(0), "`header` is asked for one of its entries"),
            ("header[language] == ''", None, "only `header` has entries"),
            (
                "header['Proxy-Authorization'] == ''",
                None,
                "`Proxy-Authorization` is no header that can be read",
            ),
            ("header['X A'] == ''", None, "`X A` is no header that can be read"),
            ("language in 'es'", Some(12), "after `in` stands a list"),
            ("language == null", Some(12), "only text, whole numbers"),
            ("duration == 1.5", Some(12), "only text, whole numbers"),
            ("['es'] == ['es']", Some(0), "a list stands only after `in`"),
            ("{} == {}", None, "only text, numbers"),
        ] {
            let error = Condition::parse(text).expect_err(text);
            let told = format!("{}; {}", error.message, error.help.as_deref().unwrap_or_default());
            assert!(told.starts_with(message), "{text}: {error:?}");
            assert!(at.is_none() || error.at == at, "{text}: {error:?}");
        }
        let long = format!("language == '{}'", "x".repeat(MAX_TEXT));
        assert!(Condition::parse(&long).expect_err("too long").message.contains("longer"));
        let wide = vec!["a==b"; 40].join("||");
        assert_eq!(
            Condition::parse(&wide).expect_err("too wide").message,
            "the condition has too many parts"
        );
        let deep = format!("{}true{}", "(".repeat(200), ")".repeat(200));
        assert!(Condition::parse(&deep).is_err());
    }
}
