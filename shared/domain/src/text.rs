//! Text that must fit a line or a row.

use std::error::Error;
use std::fmt;

/// An error with its causes, on one line. Logs need it: a JSON log keeps only the outermost message of an error.
pub fn chain<'a>(err: &'a (dyn Error + 'static)) -> impl fmt::Display + 'a {
    fmt::from_fn(move |f| {
        write!(f, "{err}")?;
        let mut cause = err.source();
        while let Some(err) = cause {
            write!(f, ": {err}")?;
            cause = err.source();
        }
        Ok(())
    })
}

/// What [`is_name`] wants, for people.
pub const NAME: &str = "at most 100 characters, no control characters, no spaces around it";

/// Whether people can tell it by its looks, and a key of a row can hold it: the name of an environment or an automation.
pub fn is_name(text: &str) -> bool {
    let spaced = text.trim() != text || text.is_empty();
    !spaced && !text.chars().any(char::is_control) && text.chars().count() <= 100
}

/// The first `chars` characters, with an ellipsis where some are missing.
pub fn shorten(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

/// One line: control characters, line ends among them, become spaces, and runs of white space one space.
pub fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The first `bytes` of a value spelled as JSON, at most, and how long all of it is. It holds no more than that at a time.
pub fn json_head(value: &serde_json::Value, bytes: usize) -> (String, usize) {
    struct Head {
        kept: Vec<u8>,
        room: usize,
        written: usize,
    }
    impl std::io::Write for Head {
        fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
            let kept = part.len().min(self.room - self.kept.len());
            self.kept.extend_from_slice(&part[..kept]);
            self.written += part.len();
            Ok(part.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut head = Head { kept: Vec::new(), room: bytes, written: 0 };
    // Neither can a value fail to be spelled, nor this writer.
    let _ = serde_json::to_writer(&mut head, value);
    let mut kept = String::from_utf8_lossy(&head.kept).into_owned();
    // The cut may have gone through a character.
    while head.written > bytes && kept.ends_with(char::REPLACEMENT_CHARACTER) {
        kept.pop();
    }
    (kept, head.written)
}

/// Bytes as text for an event or a row: invalid UTF-8 becomes U+FFFD and NUL is dropped, which some stores refuse.
pub fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "")
}

/// The last `lines` non-empty lines, at most `chars` characters: how a task that ended sums itself up.
pub fn last_lines(text: &str, lines: usize, chars: usize) -> String {
    let mut last: Vec<&str> =
        text.lines().rev().map(str::trim_end).filter(|line| !line.is_empty()).take(lines).collect();
    last.reverse();
    let joined = last.join("\n");
    let excess = joined.chars().count().saturating_sub(chars);
    joined.chars().skip(excess).collect()
}

/// Letters to add, to drop or to change, after Levenshtein, where that are no more than `most`.
pub fn distance(a: &str, b: &str, most: usize) -> Option<usize> {
    let b: Vec<char> = b.chars().collect();
    // At least as many as one is longer than the other: what is far too long is not looked through.
    if a.chars().take(b.len() + most + 1).count().abs_diff(b.len()) > most {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    Some(row[b.len()]).filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_to_be_changed_are_counted_up_to_a_bound() {
        let check = |a: &str, b: &str, expected| {
            assert_eq!((distance(a, b, 3), distance(b, a, 3)), (expected, expected), "{a} {b}");
        };
        check("", "", Some(0));
        check("auth", "auth", Some(0));
        check("auht", "auth", Some(2));
        check("promt", "prompt", Some(1));
        check("äöü", "aöü", Some(1));
        check("abc", "xyz", Some(3));
        check("abcd", "wxyz", None);
        check("name", &"name".repeat(100_000), None);
    }

    #[test]
    fn text_is_cut_at_characters_not_bytes() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äö…");
        assert_eq!(one_line("a\n\tb\u{1b}[0m  c"), "a b [0m c");
        assert_eq!(printable(b"a\0b\xffc"), "ab\u{fffd}c");
        assert_eq!(last_lines("one\n\ntwo\nthree\n", 2, 100), "two\nthree");
        assert_eq!(last_lines("abcdef", 3, 3), "def");
        let value = serde_json::json!({"a": "äöü"});
        assert_eq!(json_head(&value, 100), (r#"{"a":"äöü"}"#.to_owned(), 14));
        assert_eq!(json_head(&value, 7), (r#"{"a":""#.to_owned(), 14));
        assert_eq!(json_head(&value, 0), (String::new(), 14));
    }
}
