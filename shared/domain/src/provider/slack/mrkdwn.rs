//! Slack's text, "mrkdwn": what is a mention, and what people read. `&`, `<` and `>` that somebody typed come as `&amp;`,
//! `&lt;` and `&gt;`, so that a `<` is always the beginning of a mark: `<@U1>`, `<#C1|name>`, `<!here>`,
//! `<https://…|label>`. Source: docs.slack.dev, "Formatting message text".

/// The ids of the users that a text mentions.
pub(super) fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    text.split('<').skip(1).filter_map(|mark| user(mark.split_once('>')?.0))
}

/// What follows the mentions of us that a text begins with, and the comma or colon after them.
pub(super) fn after_mentions(text: &str, is_us: impl Fn(&str) -> bool) -> &str {
    let mut text = text.trim_start();
    while let Some((mark, rest)) = text.strip_prefix('<').and_then(|text| text.split_once('>'))
        && user(mark).is_some_and(&is_us)
    {
        text = rest.trim_start_matches(|c: char| c.is_whitespace() || ",:".contains(c));
    }
    text
}

/// What stands before the mentions of us that a text ends with.
pub(super) fn before_mentions(text: &str, is_us: impl Fn(&str) -> bool) -> &str {
    let mut text = text.trim_end();
    while let Some((rest, mark)) = text.strip_suffix('>').and_then(|text| text.rsplit_once('<'))
        && user(mark).is_some_and(&is_us)
    {
        text = rest.trim_end();
    }
    text
}

/// The id in a mark without its brackets, if it is a mention: `@U1`, `@U1|ann`.
fn user(mark: &str) -> Option<&str> {
    mark.strip_prefix('@')?.split('|').next()
}

/// The text as people read it. Names that Slack leaves out are ids; a link that says something else than where it leads says
/// both. Reads the text once.
pub(super) fn decoded(text: &str) -> String {
    let (mut decoded, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('<') {
        unescape(before, &mut decoded);
        rest = after;
        match after.find(['<', '>']) {
            Some(end) if after[end..].starts_with('>') => {
                mark(&after[..end], &mut decoded);
                rest = &after[end + 1..];
            }
            _ => decoded.push('<'),
        }
    }
    unescape(rest, &mut decoded);
    decoded
}

fn mark(mark: &str, decoded: &mut String) {
    let (target, label) = mark.split_once('|').unwrap_or((mark, ""));
    let named = |sign: char, name: &str, decoded: &mut String| {
        decoded.push(sign);
        let label = label.strip_prefix(sign).unwrap_or(label);
        unescape(if label.is_empty() { name } else { label }, decoded);
    };
    match target.chars().next() {
        Some(sign @ ('@' | '#')) => named(sign, &target[1..], decoded),
        Some('!') => match target[1..].split_once('^') {
            Some(("date", _)) if !label.is_empty() => unescape(label, decoded),
            Some(("subteam", id)) => named('@', id, decoded),
            _ => named('@', &target[1..], decoded),
        },
        _ if label.is_empty() || label == bare(target) => {
            unescape(if label.is_empty() { target } else { label }, decoded)
        }
        _ => {
            unescape(label, decoded);
            decoded.push_str(" (");
            unescape(target, decoded);
            decoded.push(')');
        }
    }
}

/// An address as people type it, which Slack makes a link of with what was typed as its label.
fn bare(address: &str) -> &str {
    let schemes = ["https://", "http://", "mailto:", "tel:"];
    schemes.iter().find_map(|scheme| address.strip_prefix(scheme)).unwrap_or(address)
}

fn unescape(text: &str, decoded: &mut String) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        decoded.push_str(before);
        let escapes = [("amp;", '&'), ("lt;", '<'), ("gt;", '>')];
        let found = escapes.iter().find_map(|(name, means)| Some((after.strip_prefix(name)?, *means)));
        let (after, means) = found.unwrap_or((after, '&'));
        decoded.push(means);
        rest = after;
    }
    decoded.push_str(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(decoded(text), expected);
    }

    #[test]
    fn marks_are_what_people_read() {
        check("a &amp;&lt;b&gt; &amp;amp; &amp;lt; & &copy; &", "a &<b> &amp; &lt; & &copy; &");
        check("<@U1> <@U1|ann> <@W1>", "@U1 @ann @W1");
        check("<#C1> <#C1|> <#C1|general>", "#C1 #C1 #general");
        check("<!here> <!channel|channel> <!everyone>", "@here @channel @everyone");
        check("<!subteam^S1> <!subteam^S1|@devs> <!subteam^S1|devs>", "@S1 @devs @devs");
        check("<!date^1392734382^{date}|Feb 18, 2014>", "Feb 18, 2014");
        check("<https://a.b/c?d=1&amp;e=2>", "https://a.b/c?d=1&e=2");
        check("<https://a.b/c|the page>", "the page (https://a.b/c)");
        check("<http://a.b|a.b> <mailto:me@a.b|me@a.b>", "a.b me@a.b");
        check("<https://a.b|>", "https://a.b");
        check("1 < 2 <@U1> < <@U2 <", "1 < 2 @U1 < <@U2 <");
        check("<> <|> a>b", "  a>b");
        check("", "");
    }

    #[test]
    fn mentions_of_us_are_left_out_where_they_address_us() {
        let is_us = |id: &str| id == "U1" || id == "U2";
        for (text, expected) in [
            ("<@U1> fix this", "fix this"),
            ("  <@U1>: <@U2|oz>, fix <@U1>", "fix <@U1>"),
            ("<@U3> fix", "<@U3> fix"),
            ("hey <@U1> fix", "hey <@U1> fix"),
            ("<@U1>", ""),
            ("<@U1", "<@U1"),
            ("<#U1> fix", "<#U1> fix"),
        ] {
            assert_eq!(after_mentions(text, is_us), expected);
        }
        assert_eq!(before_mentions("stop <@U1> <@U2|oz> ", is_us), "stop");
        assert_eq!(before_mentions("ask <@U3>", is_us), "ask <@U3>");
        let found: Vec<_> = mentioned("<@U1> &lt;@U4&gt; <@U3|a<@U5 <@U6> <#C1>").collect();
        assert_eq!(found, ["U1", "U6"]);
    }

    proptest! {
        /// What has no marks comes back as it was typed, however it is escaped.
        #[test]
        fn typed_text_comes_back(typed in "[a-z&<>;|@ltgmp]{0,60}") {
            let sent = typed.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            prop_assert_eq!(decoded(&sent), typed);
            prop_assert_eq!(mentioned(&sent).count(), 0);
        }

        #[test]
        fn no_text_is_too_odd(text in "[<>@#!|&;:,^ a-cU1ä]{0,80}") {
            let is_us = |id: &str| id == "U1";
            prop_assert!(decoded(&text).len() <= 2 * text.len() + 3);
            let rest = before_mentions(after_mentions(&text, is_us), is_us);
            prop_assert!(text.contains(rest));
            prop_assert_eq!(after_mentions(after_mentions(&text, is_us), is_us), after_mentions(&text, is_us));
        }
    }

    #[test]
    fn hostile_texts_take_no_longer_than_others() {
        for text in ["<".repeat(100_000), "<@".repeat(50_000), "&".repeat(100_000), "<|>".repeat(30_000)] {
            let _ = (decoded(&text), mentioned(&text).count(), after_mentions(&text, |_| true));
        }
    }
}
