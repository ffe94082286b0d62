//! Secrets that were written where everybody reads them.

/// How a secret begins, whose it is, and how many characters follow at least: all of them are letters, digits, `_` and `-`.
const FORMS: [(&str, &str, usize); 14] = [
    ("ozk_", "an API key of Ozma", 32),
    ("ozw_", "a token of a webhook", 20),
    ("whsec_", "the secret of a webhook", 20),
    ("ghp_", "a token of GitHub", 30),
    ("gho_", "a token of GitHub", 30),
    ("ghs_", "a token of GitHub", 30),
    ("ghu_", "a token of GitHub", 30),
    ("github_pat_", "a token of GitHub", 30),
    ("glpat-", "a token of GitLab", 20),
    ("xoxb-", "a token of Slack", 20),
    ("xoxp-", "a token of Slack", 20),
    ("sk-ant-", "an API key of Anthropic", 20),
    ("sk_live_", "a key of Stripe", 20),
    ("AKIA", "an access key of AWS", 16),
];

/// Whose secret a text holds, if it holds one that can be told by its form.
pub fn secret_in(text: &str) -> Option<&'static str> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let words = text.split(|c: char| !is_word(c));
    let starts = words.filter_map(|word| {
        let form = FORMS
            .iter()
            .find(|(prefix, _, rest)| word.strip_prefix(prefix).is_some_and(|after| after.chars().count() >= *rest));
        form.map(|(_, whose, _)| *whose)
    });
    starts.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(secret_in(text), expected, "{text}");
    }

    #[test]
    fn a_secret_is_told_by_its_form() {
        check("make test", None);
        check("look for tokens such as ghp_ or AKIA in the repository", None);
        check("ghp_EXAMPLE", None);
        check(&format!("curl -H 'Authorization: Bearer ghp_{}'", "a1".repeat(18)), Some("a token of GitHub"));
        check(&format!("KEY=ozk_{}", "x".repeat(43)), Some("an API key of Ozma"));
        check(&format!("AKIA{}", "A".repeat(16)), Some("an access key of AWS"));
        check(&format!("x{}", "AKIA".repeat(5)), None);
        check("-----BEGIN RSA PRIVATE KEY-----\nMII\n", Some("a private key"));
        check("-----BEGIN CERTIFICATE-----", None);
    }
}
