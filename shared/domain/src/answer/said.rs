//! What is told of a run, in the markup of where it is told.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::PublicUrl;
use crate::audit::digest;
use crate::id::RunId;
use crate::limits;
use crate::provider::{Own, Place, Provider};
use crate::pull_request::{PullRequest, PullRequestUrl};
use crate::run::{Run, RunRequest};
use crate::state::RunState;
use crate::text;

/// How a run stands, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub run: RunId,
    pub stage: Stage,
    /// Of what asked for the run: an automation.
    pub name: String,
    /// The current execution: a follow-up begins another.
    pub execution: u32,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// Of the execution, from its start to its end, in seconds.
    pub took: Option<u64>,
    /// The run's last word: its summary, or what went wrong.
    pub word: Option<String>,
    /// Where people see the pull requests that the run has made, once it has ended.
    pub pull_requests: Vec<PullRequestUrl>,
    /// Where people see the run itself.
    pub page: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Waiting,
    Working,
    /// For somebody's answer.
    Blocked,
    Succeeded,
    Failed,
    /// The platform is at fault.
    Error,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Markup {
    /// Of GitHub, GitLab and Linear.
    Markdown,
    /// `mrkdwn`.
    Slack,
    Plain,
}

impl Said {
    /// `at` is where people find the dashboard, if they do.
    pub fn of(run: &Run, request: &RunRequest, at: Option<&PublicUrl>) -> Self {
        let stage = match run.state {
            RunState::Queued | RunState::Pending | RunState::Claimed => Stage::Waiting,
            RunState::InProgress => Stage::Working,
            RunState::Blocked => Stage::Blocked,
            RunState::Succeeded => Stage::Succeeded,
            RunState::Failed => Stage::Failed,
            RunState::Error => Stage::Error,
            RunState::Cancelled => Stage::Cancelled,
        };
        let ended = run.ended_at.filter(|_| stage.is_end());
        let started = run.execution.as_ref().and_then(|execution| execution.started_at);
        let took = ended.zip(started).map(|(ended, started)| ended.duration_since(started).as_secs());
        let word = run.status.as_ref().filter(|_| stage.is_end()).map(|status| status.message.trim().to_owned());
        Self {
            run: run.run_id,
            stage,
            name: text::shorten(&text::one_line(&request.creator), limits::TITLE_CHARS),
            // What waits to be tried again is in the execution that it was in, to whoever waits for it.
            execution: if stage == Stage::Waiting { 0 } else { run.executions },
            ended_at: ended,
            took: took.and_then(|seconds| u64::try_from(seconds).ok()),
            word: word.filter(|word| !word.is_empty()),
            pull_requests: match stage.is_end() {
                true => run.pull_requests.iter().map(|PullRequest { url, .. }| url.clone()).collect(),
                false => Vec::new(),
            },
            page: at.map(|at| at.run(run.run_id)),
        }
    }

    /// What differs if there is something else to be told.
    pub fn mark(&self) -> String {
        let mut told =
            format!("{}\n{}\n{}", self.execution, self.headline(Markup::Plain), self.word.as_deref().unwrap_or(""));
        told.extend(self.pull_requests.iter().map(|url| format!("\n{url}")));
        let hash = digest(told.as_bytes()).to_string();
        hash[..16].to_owned()
    }

    /// When it ended, where a message of its own tells that: an edit notifies nobody in Slack.
    pub fn end_at(&self, place: &Place) -> Option<Timestamp> {
        self.ended_at.filter(|_| place.provider() == Provider::Slack)
    }

    /// What differs if there is something else to be told at that place: there, two ends are never the same.
    pub fn mark_at(&self, place: &Place) -> String {
        let mark = self.mark();
        self.end_at(place).map_or(mark.clone(), |end| format!("{mark}@{}", end.as_millisecond()))
    }

    /// One line.
    pub fn headline(&self, markup: Markup) -> String {
        let name = match markup {
            Markup::Markdown => format!("**{}**", safe(&self.name.replace(['*', '_', '`', '['], " "), markup)),
            Markup::Slack => format!("*{}*", safe(&self.name.replace(['*', '_', '`', '~'], " "), markup)),
            Markup::Plain => self.name.clone(),
        };
        let took = match self.took {
            Some(seconds) => format!(" after {:#}", SignedDuration::from_secs(seconds.cast_signed())),
            None => String::new(),
        };
        match self.stage {
            Stage::Waiting => format!("⏳ {name} is in the queue"),
            Stage::Working => format!("🔧 {name} is at work"),
            Stage::Blocked => format!("💬 {name} waits for an answer"),
            Stage::Succeeded => format!("✅ {name} is done{took}"),
            Stage::Failed => format!("❌ {name} failed{took}"),
            Stage::Error => format!("⚠️ {name} could not be carried out"),
            Stage::Cancelled => format!("🚫 {name} was cancelled{took}"),
        }
    }

    /// All of it, in Markdown after the mark of the run, which people do not see.
    pub fn marked(&self) -> String {
        format!("{}\n{}", Own::marker(self.run), self.text(Markup::Markdown))
    }

    /// All of it.
    pub fn text(&self, markup: Markup) -> String {
        self.ending_with(self.word.as_deref(), &self.pull_requests, markup)
    }

    /// All of it but the last word and what was made, where another message has that.
    pub fn state(&self, markup: Markup) -> String {
        self.ending_with(None, &[], markup)
    }

    fn ending_with(&self, word: Option<&str>, pull_requests: &[PullRequestUrl], markup: Markup) -> String {
        let mut text = self.headline(markup);
        if let Some(word) = word {
            text.push_str("\n\n");
            for line in safe(word, markup).lines() {
                let quote = if markup == Markup::Plain { "" } else { "> " };
                let _ = writeln!(text, "{quote}{line}");
            }
        } else {
            text.push('\n');
        }
        for (at, url) in pull_requests.iter().take(limits::PULL_REQUESTS_TOLD).enumerate() {
            let _ = write!(text, "{}Pull request: {}", if at == 0 { "\n" } else { "" }, link(url, markup));
            text.push('\n');
        }
        if let Some(more @ 1..) = pull_requests.len().checked_sub(limits::PULL_REQUESTS_TOLD) {
            let _ = writeln!(text, "and {more} more");
        }
        let run = self.run;
        let _ = match (markup, &self.page) {
            (Markup::Markdown, Some(page)) => write!(text, "\nRun [`{run}`]({page}), see `oz run get {run}`"),
            (Markup::Slack, Some(page)) => write!(text, "\nRun <{page}|{run}>, see `oz run get {run}`"),
            (Markup::Plain, Some(page)) => write!(text, "\nRun {run}: {page}"),
            (Markup::Markdown | Markup::Slack, None) => write!(text, "\nRun `{run}`, see `oz run get {run}`"),
            (Markup::Plain, None) => write!(text, "\nRun {run}, see: oz run get {run}"),
        };
        text
    }
}

impl Stage {
    pub fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Error | Self::Cancelled)
    }
}

/// What an agent wrote, so that it calls nobody and passes for nothing that it is not: it may have read what strangers wrote.
fn safe(text: &str, markup: Markup) -> String {
    match markup {
        // A name is mentioned by an @ before it; a zero-width space makes it another text that looks the same.
        Markup::Markdown => text.replace('@', "@\u{200b}").replace("<!--", "&lt;!--"),
        // As Slack's documentation asks for: <!channel> and <@U…> are texts then.
        Markup::Slack => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
        Markup::Plain => text.to_owned(),
    }
}

/// A link to where an agent says, which ends where it ends and calls nobody: what means something to a markup is percent-encoded,
/// as browsers take it too.
fn link(url: &PullRequestUrl, markup: Markup) -> String {
    if markup == Markup::Plain {
        return url.to_string();
    }
    let mut safe = String::new();
    for c in url.as_str().chars() {
        match c {
            '<' | '>' | '|' | '@' | '`' | '\\' | '"' => {
                let _ = write!(safe, "%{:02X}", u32::from(c));
            }
            _ => safe.push(c),
        }
    }
    match markup {
        // GitHub and GitLab show their own as acme/web#12.
        Markup::Markdown | Markup::Plain => format!("<{safe}>"),
        Markup::Slack => {
            let safe = safe.replace('&', "&amp;");
            format!("<{safe}|{}>", safe.split_once("://").map_or(safe.as_str(), |(_, label)| label))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stage: Stage, word: &str) -> Said {
        Said {
            run: RunId::new(1_763_700_000_000, [7; 10]),
            stage,
            name: "fix_it".to_owned(),
            execution: 1,
            ended_at: stage.is_end().then_some(Timestamp::UNIX_EPOCH),
            took: stage.is_end().then_some(250),
            word: Some(word.to_owned()).filter(|word| !word.is_empty()),
            pull_requests: Vec::new(),
            page: None,
        }
    }

    fn made(urls: &[&str]) -> Said {
        let pull_requests = urls.iter().map(|url| url.parse().unwrap()).collect();
        Said { pull_requests, ..said(Stage::Succeeded, "ok") }
    }

    #[test]
    fn where_there_is_a_page_of_the_run_it_is_linked_and_nothing_new_is_told_by_that() {
        #[track_caller]
        fn check(markup: Markup, expected: &str) {
            let (plain, run) = (said(Stage::Working, ""), RunId::new(1_763_700_000_000, [7; 10]));
            let at: PublicUrl = "https://oz.example.com".parse().unwrap();
            let linked = Said { page: Some(at.run(run)), ..plain.clone() };
            assert_eq!(linked.text(markup).lines().last(), Some(expected));
            assert_eq!(linked.mark(), plain.mark());
        }
        let run = "019aa4b6-4500-7707-8707-070707070707";
        let page = format!("https://oz.example.com/#/run/{run}");
        check(Markup::Markdown, &format!("Run [`{run}`]({page}), see `oz run get {run}`"));
        check(Markup::Slack, &format!("Run <{page}|{run}>, see `oz run get {run}`"));
        check(Markup::Plain, &format!("Run {run}: {page}"));
    }

    #[test]
    fn a_message_says_how_it_stands() {
        let markdown = said(Stage::Succeeded, "Opened #12.\nAll tests pass.").marked();
        insta::assert_snapshot!(markdown, @r"
        <!-- ozma:run=019aa4b6-4500-7707-8707-070707070707 -->
        ✅ **fix it** is done after 4m 10s

        > Opened #12.
        > All tests pass.

        Run `019aa4b6-4500-7707-8707-070707070707`, see `oz run get 019aa4b6-4500-7707-8707-070707070707`
        ");
        let slack = said(Stage::Working, "").text(Markup::Slack);
        insta::assert_snapshot!(slack, @r"
        🔧 *fix it* is at work

        Run `019aa4b6-4500-7707-8707-070707070707`, see `oz run get 019aa4b6-4500-7707-8707-070707070707`
        ");
        let plain = said(Stage::Failed, "exit code 1").text(Markup::Plain);
        insta::assert_snapshot!(plain, @r"
        ❌ fix_it failed after 4m 10s

        exit code 1

        Run 019aa4b6-4500-7707-8707-070707070707, see: oz run get 019aa4b6-4500-7707-8707-070707070707
        ");
    }

    #[test]
    fn an_end_names_its_pull_requests() {
        let two = made(&["https://github.com/acme/web/pull/12", "https://git.example.com/api?id=7&x=y"]);
        insta::assert_snapshot!(two.text(Markup::Markdown), @r"
        ✅ **fix it** is done after 4m 10s

        > ok

        Pull request: <https://github.com/acme/web/pull/12>
        Pull request: <https://git.example.com/api?id=7&x=y>

        Run `019aa4b6-4500-7707-8707-070707070707`, see `oz run get 019aa4b6-4500-7707-8707-070707070707`
        ");
        insta::assert_snapshot!(two.text(Markup::Slack), @r"
        ✅ *fix it* is done after 4m 10s

        > ok

        Pull request: <https://github.com/acme/web/pull/12|github.com/acme/web/pull/12>
        Pull request: <https://git.example.com/api?id=7&amp;x=y|git.example.com/api?id=7&amp;x=y>

        Run `019aa4b6-4500-7707-8707-070707070707`, see `oz run get 019aa4b6-4500-7707-8707-070707070707`
        ");
        insta::assert_snapshot!(Said { word: None, ..two.clone() }.text(Markup::Plain), @r"
        ✅ fix_it is done after 4m 10s

        Pull request: https://github.com/acme/web/pull/12
        Pull request: https://git.example.com/api?id=7&x=y

        Run 019aa4b6-4500-7707-8707-070707070707, see: oz run get 019aa4b6-4500-7707-8707-070707070707
        ");
        assert!(!two.state(Markup::Slack).contains("Pull request"));
        let urls: Vec<String> = (0..8).map(|number| format!("https://host/{number}")).collect();
        let many = made(&urls.iter().map(String::as_str).collect::<Vec<_>>()).text(Markup::Markdown);
        assert!(many.contains("<https://host/4>\nand 3 more\n") && !many.contains("host/5"), "{many}");
    }

    #[test]
    fn a_link_ends_where_it_ends_and_calls_nobody() {
        #[track_caller]
        fn check(url: &str, markdown: &str, slack: &str) {
            let url = url.parse().unwrap();
            assert_eq!(
                (link(&url, Markup::Markdown), link(&url, Markup::Slack)),
                (markdown.to_owned(), slack.to_owned())
            );
        }
        check("https://h/a_b", "<https://h/a_b>", "<https://h/a_b|h/a_b>");
        check(
            "https://h/><!channel>",
            "<https://h/%3E%3C!channel%3E>",
            "<https://h/%3E%3C!channel%3E|h/%3E%3C!channel%3E>",
        );
        check("https://h/|x<@U1>", "<https://h/%7Cx%3C%40U1%3E>", "<https://h/%7Cx%3C%40U1%3E|h/%7Cx%3C%40U1%3E>");
        check("https://h/a)@ann<!--", "<https://h/a)%40ann%3C!-->", "<https://h/a)%40ann%3C!--|h/a)%40ann%3C!-->");
        check("https://h/&lt;`x", "<https://h/&lt;%60x>", "<https://h/&amp;lt;%60x|h/&amp;lt;%60x>");
    }

    #[test]
    fn nobody_is_called_by_what_an_agent_writes() {
        let word = "ask @ann <!channel> <@U1> <!-- ozma:run=1 --> & <b>";
        let markdown = said(Stage::Failed, word).marked();
        assert!(markdown.contains("ask @\u{200b}ann"), "{markdown}");
        assert_eq!(markdown.matches("<!-- ozma:run=").count(), 1, "{markdown}");
        let slack = said(Stage::Failed, word).text(Markup::Slack);
        assert!(slack.contains("&lt;!channel&gt; &lt;@U1&gt;") && slack.contains("&amp; &lt;b&gt;"), "{slack}");
    }

    #[test]
    fn in_slack_each_end_has_a_mark_of_its_own() {
        let slack = Place::SlackChannel { team: "T1".to_owned(), channel: "C1".to_owned() };
        let jira = Place::JiraIssue { issue: "WEB-12".to_owned() };
        let done = said(Stage::Succeeded, "ok");
        let again = Said { ended_at: Timestamp::from_second(9).ok(), ..done.clone() };
        assert_eq!((done.mark_at(&jira), again.mark_at(&jira)), (done.mark(), done.mark()));
        assert_ne!(done.mark_at(&slack), again.mark_at(&slack));
        assert_eq!(said(Stage::Working, "").mark_at(&slack), said(Stage::Working, "").mark());
        assert!(!done.state(Markup::Slack).contains("ok") && done.text(Markup::Slack).contains("> ok"));
    }

    #[test]
    fn what_differs_has_another_mark() {
        let done = said(Stage::Succeeded, "ok");
        assert_eq!(done.mark(), said(Stage::Succeeded, "ok").mark());
        let others = [
            said(Stage::Failed, "ok"),
            said(Stage::Succeeded, "ok."),
            Said { execution: 2, ..done.clone() },
            Said { took: Some(251), ..done.clone() },
            made(&["https://host/1", "https://host/2"]),
        ];
        for other in others {
            assert_ne!(done.mark(), other.mark(), "{other:?}");
        }
    }
}
