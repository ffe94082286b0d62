//! Globs over paths and names.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::limits;

/// A pattern for a whole text, by case: `*` is any run without `/`, `?` one character but `/`, `**` any run, and `**/` at the
/// start of a part no or more folders: `src/**/*.rs` matches `src/a.rs` and `src/a/b.rs`. A backslash takes the next
/// character as it is.
///
/// It is matched as an automaton whose states are the bits of a word, so that each character of a text costs the same
/// whatever the pattern.
#[derive(Clone, Debug)]
pub struct Glob {
    /// For each character that the pattern names, the places before it.
    literals: BTreeMap<char, u128>,
    /// The places before `?`, at `*`, at `**`, and before `**/`.
    one: u128,
    run: u128,
    any_run: u128,
    folders: u128,
    end: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGlob {
    #[error("has {0} characters, at most {most}", most = limits::FILTER_GLOB_CHARS)]
    Long(usize),
    #[error("ends with a backslash, which takes the next character as it is; write two for one")]
    Backslash,
}

impl Glob {
    pub fn matches(&self, text: &str) -> bool {
        let mut at = self.closed(1);
        for c in text.chars() {
            let same = self.literals.get(&c).copied().unwrap_or(0);
            let (one, run) = if c == '/' { (0, 0) } else { (self.one, self.run) };
            at = self.closed(((at & (same | one)) << 1) | (at & (run | self.any_run)));
            if at == 0 {
                return false;
            }
        }
        at & self.end != 0
    }

    /// With the places that are reached without a character: past a run, which may be empty, into folders and past them.
    fn closed(&self, mut at: u128) -> u128 {
        loop {
            let into = at & self.folders;
            let more = at | ((at & (self.run | self.any_run)) << 1) | (into << 1) | (into << 3);
            if more == at {
                return at;
            }
            at = more;
        }
    }
}

impl FromStr for Glob {
    type Err = InvalidGlob;

    fn from_str(pattern: &str) -> Result<Self, InvalidGlob> {
        let chars: Vec<char> = pattern.chars().collect();
        if chars.len() > limits::FILTER_GLOB_CHARS {
            return Err(InvalidGlob::Long(chars.len()));
        }
        let mut glob = Self { literals: BTreeMap::new(), one: 0, run: 0, any_run: 0, folders: 0, end: 0 };
        let (mut rest, mut starts_part, mut place) = (chars.as_slice(), true, 1_u128);
        while !rest.is_empty() {
            (rest, starts_part) = match rest {
                ['*', '*', '/', rest @ ..] if starts_part => {
                    // Three places: before the folders, within their names, before the slash at their end.
                    glob.folders |= place;
                    glob.any_run |= place << 1;
                    place <<= 2;
                    *glob.literals.entry('/').or_default() |= place;
                    (rest, true)
                }
                ['*', '*', rest @ ..] => {
                    glob.any_run |= place;
                    (rest, false)
                }
                ['*', rest @ ..] => {
                    glob.run |= place;
                    (rest, false)
                }
                ['?', rest @ ..] => {
                    glob.one |= place;
                    (rest, false)
                }
                ['\\'] => return Err(InvalidGlob::Backslash),
                ['\\', c, rest @ ..] | [c, rest @ ..] => {
                    *glob.literals.entry(*c).or_default() |= place;
                    (rest, *c == '/')
                }
                [] => break,
            };
            place <<= 1;
        }
        glob.end = place;
        Ok(glob)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(glob: &str, texts: &[(&str, bool)]) {
        let parsed: Glob = glob.parse().unwrap();
        for (text, expected) in texts {
            assert_eq!(parsed.matches(text), *expected, "{glob} {text}");
        }
    }

    #[test]
    fn rows() {
        check("main", &[("main", true), ("Main", false), ("main2", false), ("", false)]);
        check("release/*", &[("release/1.2", true), ("release/", true), ("release/1/2", false), ("release", false)]);
        check("v?.?", &[("v1.2", true), ("v1.", false), ("v1/2", false), ("vä.ß", true)]);
        check("src/**/*.rs", &[("src/a.rs", true), ("src/a/b.rs", true), ("src/a/b/c.rs", true), ("srca.rs", false)]);
        check("src/**/*.rs", &[("src/.rs", true), ("xsrc/a.rs", false), ("src/a.rs/b", false)]);
        check("**/x", &[("x", true), ("a/x", true), ("a/b/x", true), ("ax", false), ("/x", true)]);
        check("a/**/**/b", &[("a/b", true), ("a/x/b", true), ("a/x/y/z/b", true), ("a/xb", false)]);
        check("src/**", &[("src/", true), ("src/a/b", true), ("src", false)]);
        check("**", &[("", true), ("a/b", true)]);
        check("a**/b", &[("a/b", true), ("ax/y/b", true), ("ab", false)]);
        check("*", &[("", true), ("ab", true), ("a/b", false)]);
        check("**fix**", &[("a fix/for it", true), ("fi x", false)]);
        check(r"\*\?\\", &[(r"*?\", true), ("a?b", false)]);
        check("\\/**/x", &[("/x", true), ("/a/x", true)]);
        assert_eq!("a\\".parse::<Glob>().unwrap_err(), InvalidGlob::Backslash);
        assert!("ä".repeat(120).parse::<Glob>().unwrap().matches(&"ä".repeat(120)));
        assert!("**/".repeat(40).parse::<Glob>().unwrap().matches("a/"));
        assert_eq!("*".repeat(121).parse::<Glob>().unwrap_err(), InvalidGlob::Long(121));
    }

    /// By trying everything.
    fn naive(glob: &str, text: &str, starts_part: bool) -> bool {
        let rest_of = |n: usize| glob.get(n..).unwrap_or_default();
        let tails = || (0..=text.len()).map(|n| text.split_at(n));
        match glob.chars().next() {
            None => text.is_empty(),
            _ if starts_part && glob.starts_with("**/") => {
                let folders = |(head, _): &(&str, &str)| head.is_empty() || head.ends_with('/');
                tails().filter(folders).any(|(_, tail)| naive(rest_of(3), tail, true))
            }
            _ if glob.starts_with("**") => tails().any(|(_, tail)| naive(rest_of(2), tail, false)),
            Some('*') => {
                tails().filter(|(head, _)| !head.contains('/')).any(|(_, tail)| naive(rest_of(1), tail, false))
            }
            Some('?') => text.chars().next().is_some_and(|c| c != '/' && naive(rest_of(1), &text[1..], false)),
            Some(c) => text.starts_with(c) && naive(rest_of(1), &text[1..], c == '/'),
        }
    }

    proptest! {
        #[test]
        fn it_is_the_naive_one(glob in "[ab/*?]{0,9}", more in "(\\*\\*/|[ab]){0,4}", text in "[ab/]{0,9}") {
            let glob = format!("{glob}{more}");
            prop_assert_eq!(glob.parse::<Glob>().unwrap().matches(&text), naive(&glob, &text, true), "{}", glob);
        }

        #[test]
        fn any_text_is_a_glob_or_not_one(glob in any::<String>(), text in any::<String>()) {
            if let Ok(glob) = glob.parse::<Glob>() {
                glob.matches(&text);
            }
        }
    }
}
