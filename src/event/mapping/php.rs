//! What PHP's `serialize` writes, as far as the fields of an object are looked for in it.
//!
//! A text in it has a length and no escapes, so no pattern finds a field for certain: what looks like one may be part of
//! somebody's name, or belong to another object within.

/// Objects within objects.
const DEEPEST: usize = 64;

enum Value<'a> {
    /// A text, or an integer in decimal.
    Text(&'a str),
    /// Of an object or an array, in their order.
    Fields(Vec<(&'a str, Value<'a>)>),
    Other,
}

/// The text or integer at a path of names, joined by dots. Nothing where the text is not the whole of one value, where
/// nothing stands there, or where two fields have one name: an object may have a private field of its parent's, too.
pub(super) fn field<'a>(text: &'a str, path: &str) -> Option<&'a str> {
    let mut reader = Reader { rest: text };
    let mut value = reader.value(0)?;
    reader.rest.is_empty().then_some(())?;
    for name in path.split('.') {
        let Value::Fields(fields) = value else {
            return None;
        };
        let mut named = fields.into_iter().filter(|(field, _)| *field == name);
        let (_, found) = named.next()?;
        named.next().is_none().then_some(())?;
        value = found;
    }
    match value {
        Value::Text(text) => Some(text),
        Value::Fields(_) | Value::Other => None,
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        let kind = self.take(2)?;
        Some(match kind {
            "N;" => Value::Other,
            "i:" => {
                let digits = self.until(";")?;
                digits.parse::<i64>().ok()?;
                Value::Text(digits)
            }
            "b:" | "d:" | "r:" | "R:" => {
                self.until(";")?;
                Value::Other
            }
            "s:" => {
                let text = self.text()?;
                self.expect(";")?;
                Value::Text(text)
            }
            "a:" => self.fields(depth)?,
            "O:" => {
                self.text()?;
                self.expect(":")?;
                self.fields(depth)?
            }
            "E:" => {
                self.text()?;
                self.expect(";")?;
                Value::Other
            }
            "C:" => {
                self.text()?;
                self.expect(":")?;
                let length = self.length()?;
                self.expect("{")?;
                self.take(length)?;
                self.expect("}")?;
                Value::Other
            }
            _ => return None,
        })
    }

    fn fields(&mut self, depth: usize) -> Option<Value<'a>> {
        (depth < DEEPEST).then_some(())?;
        let count = self.length()?;
        self.expect("{")?;
        let mut fields = Vec::new();
        for _ in 0..count {
            let Value::Text(name) = self.value(depth + 1)? else {
                return None;
            };
            // Before the name of one that is not public stands its class, or an asterisk, between NUL characters.
            let name = name.rsplit('\0').next().unwrap_or(name);
            fields.push((name, self.value(depth + 1)?));
        }
        self.expect("}")?;
        Some(Value::Fields(fields))
    }

    /// `5:"abcde"`.
    fn text(&mut self) -> Option<&'a str> {
        let length = self.length()?;
        self.expect("\"")?;
        let text = self.take(length)?;
        self.expect("\"")?;
        Some(text)
    }

    /// In bytes, or of fields.
    fn length(&mut self) -> Option<usize> {
        self.until(":")?.parse().ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn until(&mut self, end: &str) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(taken)
    }

    fn expect(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PHP 8.3 writes it.
    const JOB: &str = concat!(
        "O:20:\"App\\Jobs\\UserDeleted\":6:{",
        "s:5:\"actor\";O:9:\"App\\Actor\":1:{s:6:\"userId\";s:9:\"pii-admin\";}",
        "s:4:\"note\";s:27:\"x\";s:6:\"userId\";s:6:\"pii-no\";",
        "s:28:\"\0App\\Jobs\\UserDeleted\0userId\";s:5:\"pii-1\";",
        "s:7:\"\0*\0user\";O:45:\"Illuminate\\Contracts\\Database\\ModelIdentifier\":2:{s:5:\"class\";s:8:\"App\\User\";s:2:\"id\";i:6;}",
        "s:5:\"delay\";N;s:4:\"tags\";a:2:{i:0;b:1;i:1;d:0.5;}}",
    );

    #[test]
    fn a_field_is_that_of_the_object_itself_and_not_one_that_looks_like_it() {
        for (path, expected) in [
            ("userId", Some("pii-1")),
            ("actor.userId", Some("pii-admin")),
            ("user.id", Some("6")),
            ("id", None),
            ("user", None),
            ("tags.0", None),
            ("delay", None),
            ("", None),
        ] {
            assert_eq!(field(JOB, path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_broken_or_says_two_things_names_nobody() {
        for text in [
            JOB.trim_end_matches('}'),
            &format!("{JOB}x"),
            "",
            "s:1:\"a\";",
            "O:1:\"A\":1:{s:6:\"userId\";s:3:\"ab\";}",
            "O:1:\"A\":1:{s:6:\"userId\";s:1:\"é\";}",
            "O:1:\"A\":1:{s:6:\"userId\";i:x;}",
            "O:1:\"A\":9999999999:{s:6:\"userId\";i:1;}",
            "O:1:\"A\":2:{s:9:\"\0P\0userId\";i:1;s:9:\"\0A\0userId\";i:2;}",
            &format!("{}{}", "a:1:{i:0;".repeat(100_000), "}".repeat(100_000)),
        ] {
            assert_eq!(field(text, "userId"), None, "{text:.80}");
        }
    }
}
