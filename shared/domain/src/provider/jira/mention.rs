//! Whether a text in Jira's wiki markup speaks to an account: `[~accountid:…]`, but not in code, where Jira shows it as it is
//! written and notifies nobody.

use crate::provider::Control;

/// How an account is mentioned.
pub(super) fn mention(account: &str) -> String {
    format!("[~accountid:{account}]")
}

/// Whether prose mentions one of the accounts.
pub(super) fn mentions_any(prose: &str, accounts: &[String]) -> bool {
    accounts.iter().any(|account| !account.is_empty() && prose.contains(&mention(account)))
}

/// The word that a text says to one of the accounts, whose mention it begins with, if it says nothing else.
pub(super) fn told(text: &str, accounts: &[String]) -> Option<Control> {
    let mentions = accounts.iter().filter(|account| !account.is_empty());
    let rest = mentions.filter_map(|account| text.trim().strip_prefix(&mention(account))).next()?;
    Control::said(rest.trim_start_matches(|c: char| c.is_whitespace() || ":,".contains(c)))
}

/// The text without what is between `{code}` or `{noformat}`, which may have parameters where it begins, and the same again.
/// One that does not end takes the rest.
pub(super) fn prose(text: &str) -> String {
    let (mut prose, mut start, mut open) = (String::new(), 0, None);
    for (at, _) in text.match_indices('{') {
        let rest = &text[at..];
        match open {
            None => {
                let begins =
                    |mark: &&&str| rest[1..].strip_prefix(**mark).is_some_and(|rest| rest.starts_with([':', '}']));
                if let Some(mark) = ["code", "noformat"].iter().find(begins) {
                    prose.push_str(&text[start..at]);
                    prose.push(' ');
                    open = Some(*mark);
                }
            }
            Some(mark) => {
                if rest[1..].strip_prefix(mark).is_some_and(|rest| rest.starts_with('}')) {
                    start = at + mark.len() + 2;
                    open = None;
                }
            }
        }
    }
    if open.is_none() {
        prose.push_str(&text[start..]);
    }
    prose
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(mentions_any(&prose(text), &["557058:ab-1".to_owned(), "712020:x".to_owned()]), expected, "{text}");
    }

    #[test]
    fn a_word_after_the_mention_is_for_us() {
        let accounts = ["a:1".to_owned(), String::new()];
        assert_eq!(told(" [~accountid:a:1] Stop.\n", &accounts), Some(Control::Stop { run: None }));
        assert_eq!(told("[~accountid:a:1]: status", &accounts), Some(Control::Status { run: None }));
        for text in ["stop", "[~accountid:b] stop", "[~accountid:a:1] stop the login", "[~accountid:] stop"] {
            assert_eq!(told(text, &accounts), None, "{text}");
        }
    }

    #[test]
    fn an_account_is_mentioned_by_its_id() {
        for text in [
            "[~accountid:557058:ab-1] fix",
            "a[~accountid:712020:x]b",
            "{code}a{code}[~accountid:712020:x]",
            "{code:java|title=a}x{code} {noformat}{code}{noformat} [~accountid:712020:x]",
            "{coder} [~accountid:712020:x]",
            "{} { [~accountid:712020:x]",
        ] {
            check(text, true);
        }
        for text in [
            "",
            "712020:x",
            "[~accountid:712020:xy]",
            "[~712020:x]",
            "{code}[~accountid:712020:x]{code}",
            "{noformat}\n{code}[~accountid:712020:x]\n{noformat}",
            "{code:sql}[~accountid:712020:x]",
        ] {
            check(text, false);
        }
        assert!(!mentions_any("[~accountid:]", &[String::new()]));
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "(\\{(code|noformat)?[:}]?|[a-zä }{:]){0,40}") {
            prop_assert!(prose(&text).len() <= text.len());
        }

        #[test]
        fn code_hides_and_nothing_else_does(before in "[a-z \n]{0,10}", code in "[a-z}\n]{0,10}") {
            let hidden = format!("{before}{{code}}{code}[~accountid:712020:x]{{code}}");
            let heard = format!("{before}{{noformat}}{{code}}{{noformat}}[~accountid:712020:x]");
            prop_assert!(!mentions_any(&prose(&hidden), &["712020:x".to_owned()]));
            prop_assert!(mentions_any(&prose(&heard), &["712020:x".to_owned()]));
        }
    }
}
