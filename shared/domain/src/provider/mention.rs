//! Whether a text in Markdown speaks to somebody: `@name`, in prose.
//!
//! What providers do not notify anybody of starts nothing either: fenced code, code spans, quoted lines (`>`) and HTML
//! comments, which is what templates of issues are full of. An indented block counts as prose, as in a list it is; the
//! lines that follow a quote without its mark count too.

use std::collections::HashMap;
use std::mem;

/// Whether `text` mentions `name`, which may be written with its `@`, in any case of its letters. Reads the text once.
///
/// What stands before must end a word, and what stands after must not make another name, an address or a path of it:
/// neither `x@oz`, `/@oz` nor `@ozzy`, `@oz-bot`, `@oz.dev`, `@oz/team`. Full stops, colons and brackets may follow.
pub fn mentions(text: &str, name: &str) -> bool {
    let name = name.strip_prefix('@').unwrap_or(name);
    if name.is_empty() {
        return false;
    }
    let prose = prose(text);
    prose.match_indices('@').any(|(at, _)| {
        let after = &prose[at + 1..];
        let is_name = after.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name));
        is_name && begins_word(&prose[..at]) && ends_name(&after[name.len()..])
    })
}

fn begins_word(before: &str) -> bool {
    !before.ends_with(|c: char| c.is_alphanumeric() || "_-.+/@\\%".contains(c))
}

fn ends_name(after: &str) -> bool {
    let rest = match after.chars().next() {
        Some('-') => after.trim_start_matches('-'),
        Some('.' | '/' | '@') => &after[1..],
        _ => after,
    };
    !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// What is left of a text without what nobody says.
fn prose(text: &str) -> String {
    let (mut prose, mut paragraph) = (String::new(), String::new());
    let (mut fenced, mut commented) = (None, false);
    for line in text.lines() {
        if let Some((mark, length)) = fenced {
            if closes(line, mark, length) {
                fenced = None;
            }
            continue;
        }
        let mut line = line;
        if !commented && line.trim_start().starts_with("<!--") {
            (commented, line) = (true, &line.trim_start()[2..]);
        }
        if commented {
            let Some((_, rest)) = line.split_once("-->") else { continue };
            (commented, line) = (false, rest);
        }
        let content = content(line);
        fenced = fence(content);
        if fenced.is_some() || content.starts_with('>') || content.is_empty() {
            prose.push_str(&spoken(&mem::take(&mut paragraph)));
            prose.push('\n');
        } else {
            paragraph.push_str(line);
            paragraph.push('\n');
        }
    }
    prose.push_str(&spoken(&paragraph));
    prose
}

/// The line without its indentation and marks of a list, after which a quote or a fence may begin.
fn content(line: &str) -> &str {
    let mut line = line.trim();
    loop {
        let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let rest = if number.len() < line.len() {
            number.strip_prefix(['.', ')'])
        } else {
            line.strip_prefix(['-', '*', '+'])
        };
        match rest.and_then(|rest| rest.strip_prefix([' ', '\t'])) {
            Some(rest) => line = rest.trim_start(),
            None => return line,
        }
    }
}

/// The mark of a fence that begins here, and how many there are of it.
fn fence(content: &str) -> Option<(char, usize)> {
    let mark = content.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let info = content.trim_start_matches(mark);
    let length = content.len() - info.len();
    // Otherwise it is a code span.
    let is_block = length >= 3 && !(mark == '`' && info.contains('`'));
    is_block.then_some((mark, length))
}

fn closes(line: &str, mark: char, length: usize) -> bool {
    let line = line.trim();
    line.len() >= length && line.trim_start_matches(mark).is_empty()
}

/// A paragraph without its code spans and comments. A code span ends at the next run of as many backticks as it began
/// with; a run without another like it is text.
fn spoken(paragraph: &str) -> String {
    let runs = runs_of_backticks(paragraph);
    let mut of_length: HashMap<usize, Vec<usize>> = HashMap::new();
    for (start, length) in &runs {
        of_length.entry(*length).or_default().push(*start);
    }
    let closing = |from: usize, length: usize| {
        let starts = of_length.get(&length)?;
        starts.get(starts.partition_point(|start| *start < from)).map(|start| start + length)
    };
    let (mut spoken, mut at, mut run, mut comments) = (String::new(), 0, 0, true);
    while let Some(found) = paragraph[at..].find(['`', '<']).map(|found| at + found) {
        spoken.push_str(&paragraph[at..found]);
        let rest = &paragraph[found..];
        if rest.starts_with('<') {
            let end = if comments && rest.starts_with("<!--") { rest[2..].find("-->") } else { None };
            // Nothing past here ends a comment, so that nobody looks again.
            comments &= end.is_some() || !rest.starts_with("<!--");
            at = end.map_or(found + 1, |end| found + 2 + end + 3);
            spoken.push(' ');
            continue;
        }
        while runs.get(run).is_some_and(|(start, length)| start + length <= found) {
            run += 1;
        }
        let end = runs.get(run).map_or(found + 1, |(start, length)| start + length);
        let escaped = paragraph[..found].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
        let length = end - found - usize::from(escaped);
        at = if length == 0 { end } else { closing(end, length).unwrap_or(end) };
        spoken.push(' ');
    }
    spoken.push_str(&paragraph[at..]);
    spoken
}

fn runs_of_backticks(text: &str) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, _) in text.match_indices('`') {
        match runs.last_mut() {
            Some((start, length)) if *start + *length == at => *length += 1,
            _ => runs.push((at, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(mentions(text, "@oz"), expected, "{text}");
    }

    #[test]
    fn a_name_is_a_whole_word() {
        for text in
            ["@oz", "@OZ fix", "hey @oz, fix", "(@oz)", "@oz.", "@oz: fix", "@oz's", "**@oz**", "ä @oz", "@oz[bot]"]
        {
            check(text, true);
        }
        for text in ["@oz...", "@oz- do", "@oz?", "@ozzy and @oz", "a@b @oz", "@oz\r\n", "<@oz>", "_ @oz_ @oz"] {
            check(text, true);
        }
        for text in ["", "oz", "@", "@o", "@ozzy", "@oz-bot", "@oz--bot", "@oz_bot", "@oz1", "@ozä", "@@oz"] {
            check(text, false);
        }
        for text in
            ["me@oz", "me.@oz", "a+@oz", "me@oz.dev", "@oz.dev", "@oz/team", "@oz@host", "host/@oz", "\\@oz", "@ oz"]
        {
            check(text, false);
        }
        assert!(mentions("@oz-bot", "oz-bot"));
        assert!(!mentions("@", "@") && !mentions("@", ""));
    }

    #[test]
    fn what_nobody_says_is_not_heard() {
        for text in ["`@oz`", "``a ` @oz``", "a `b\n@oz c`", "```\n@oz\n```", "~~~~md\n@oz\n~~~\n@oz\n~~~~", "```\n@oz"]
        {
            check(text, false);
        }
        for text in ["> @oz", "  > > @oz", "- > @oz", "- ```\n  @oz\n  ```", "1. ~~~\n@oz\n~~~", "```@oz```"] {
            check(text, false);
        }
        for text in ["<!-- @oz -->", "<!--\n\n@oz\n-->", "a <!-- @oz --> b", "<!-- @oz", "<!-- `--> `@oz`"] {
            check(text, false);
        }
    }

    #[test]
    fn what_is_said_beside_it_is() {
        for text in
            ["`a` @oz", "`` @oz", "a ` @oz", "\\`@oz\\`", "```\na\n```\n@oz", "> a\n\n@oz", "> a\n@oz", "`a\\` @oz`"]
        {
            check(text, true);
        }
        for text in [
            "<!-- a --> @oz",
            "a <!-- @oz",
            "<!-- a\nb --> @oz",
            "- @oz",
            "    @oz",
            "`a\n\n@oz`",
            "a < b @oz",
            "<!--> @oz",
        ] {
            check(text, true);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[`~<>!\\-@oz \n\\\\a.äß*1]{0,120}") {
            let _ = mentions(&text, "@oz");
            prop_assert!(prose(&text).len() <= 2 * text.len() + 1);
        }

        /// A paragraph of its own is heard after any text without an open fence or comment; in code and quotes it is not.
        #[test]
        fn a_paragraph_of_its_own_is_heard(before in "([a-z .\n]`?){0,40}", after in "[ ,:!\n][a-z\n]{0,20}") {
            let heard = format!("{before}\n\n@Oz{after}");
            let coded = format!("{before}\n\n```\n@Oz{after}\n```\n");
            let quoted = format!("{before}\n\n> @Oz\n");
            prop_assert!(mentions(&heard, "oz"));
            prop_assert!(!mentions(&coded, "oz"));
            prop_assert!(!mentions(&quoted, "oz"));
        }
    }

    #[test]
    fn hostile_texts_take_no_longer_than_others() {
        let different: String = (1..400).flat_map(|length| ["`".repeat(length), " ".to_owned()]).collect();
        let many =
            ["<!-- ".repeat(20_000), "` `` ".repeat(20_000), "- ".repeat(50_000), "\\`".repeat(50_000), different];
        for text in many {
            let _ = mentions(&text, "@oz");
        }
    }
}
