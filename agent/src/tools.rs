//! What the agent's program is to the task, beside the agent: git's credential helper, a way to get a token for other tools, and
//! one to tell what the task made. They ask and tell the agent, where the task's variables say.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use ozma_domain::limits::GIT_CREDENTIALS_SECONDS;
use ozma_domain::protocol::{GIT_CREDENTIALS_VARIABLES, GitCredentials, PULL_REQUESTS_FILE};
use ozma_domain::pull_request::{InvalidPullRequest, Reported};
use serde::Deserialize;

use crate::git::HELPER;

const ANSWER_BYTES: u64 = 64 * 1024;
const QUESTION_BYTES: u64 = 64 * 1024;

/// Longer than the agent takes.
const PATIENCE: Duration = Duration::from_secs(GIT_CREDENTIALS_SECONDS + 10);

/// Where the agent answers, and what to show it.
struct Place {
    url: String,
    authorization: String,
}

/// Runs the tool that the words name, if they name one. `lookup` reads a variable.
pub fn tool(words: &[&str], lookup: impl Fn(&str) -> Option<String>) -> Option<ExitCode> {
    let file = lookup(PULL_REQUESTS_FILE);
    let [url, authorization] = GIT_CREDENTIALS_VARIABLES.map(lookup);
    let place = url.zip(authorization).map(|(url, authorization)| Place { url, authorization });
    match words {
        [HELPER, "get"] => Some(git_credential(place.as_ref())),
        // The agent keeps what it gave, and takes nothing.
        [HELPER, _] => Some(ExitCode::SUCCESS),
        ["github-token"] => Some(github_token(place.as_ref(), "")),
        ["github-token", repository] => Some(github_token(place.as_ref(), repository)),
        ["report-artifact", rest @ ..] => Some(report_artifact(rest, file.as_deref())),
        _ => None,
    }
}

/// Without an answer git goes on: with another helper, or as nobody.
fn git_credential(place: Option<&Place>) -> ExitCode {
    let mut question = Vec::new();
    let read = io::stdin().take(QUESTION_BYTES).read_to_end(&mut question);
    let (Some(place), Ok(_), Some(url)) = (place, read, question_url(&String::from_utf8_lossy(&question))) else {
        return ExitCode::SUCCESS;
    };
    match ask(place, &url) {
        Ok(given) => say(io::stdout(), &answer(&given)),
        Err(why) => say(io::stderr(), &format!("{HELPER_SAYS}no token for {url}: {why}\n")),
    }
    ExitCode::SUCCESS
}

fn github_token(place: Option<&Place>, repository: &str) -> ExitCode {
    let asked = match place {
        Some(place) => ask(place, repository),
        None => Err("there is no token outside of a run with a repository at GitHub".to_owned()),
    };
    match asked {
        Ok(given) => {
            say(io::stdout(), &format!("{}\n", given.password));
            ExitCode::SUCCESS
        }
        Err(why) => {
            say(io::stderr(), &format!("{HELPER_SAYS}{why}\n"));
            ExitCode::FAILURE
        }
    }
}

fn report_artifact(words: &[&str], file: Option<&str>) -> ExitCode {
    let reported = report(words).and_then(|reported| {
        let file = file.ok_or_else(|| "there is nobody to tell outside of a run".to_owned())?;
        append(file, &reported).map_err(|err| format!("{file}: {err}"))
    });
    match reported {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(io::stderr(), &format!("{HELPER_SAYS}{why}\n"));
            ExitCode::FAILURE
        }
    }
}

/// The words after `report-artifact`.
fn report(words: &[&str]) -> Result<Reported, String> {
    const USAGE: &str = "write: oz-agent report-artifact pull-request --url URL --branch BRANCH";
    let ["pull-request", options @ ..] = words else { return Err(USAGE.to_owned()) };
    let (mut url, mut branch) = (None, None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (*option, options.next().copied()),
        };
        let given = match name {
            "--url" => &mut url,
            "--branch" => &mut branch,
            _ => return Err(USAGE.to_owned()),
        };
        if given.replace(value.ok_or(USAGE)?).is_some() {
            return Err(format!("{name} is given twice; {USAGE}"));
        }
    }
    let invalid = |err: InvalidPullRequest| err.to_string();
    Ok(Reported {
        url: url.ok_or(USAGE)?.parse().map_err(invalid)?,
        branch: branch.ok_or(USAGE)?.parse().map_err(invalid)?,
    })
}

/// A line in one piece, so that two at once do not mix theirs.
fn append(file: &str, reported: &Reported) -> io::Result<()> {
    let line = format!("{}\n", serde_json::to_string(reported)?);
    OpenOptions::new().append(true).create(true).open(file)?.write_all(line.as_bytes())
}

/// What the helper's own words begin with, among git's.
pub(crate) const HELPER_SAYS: &str = "oz-agent: ";

/// The address that git asks for, of its lines of attributes.
fn question_url(question: &str) -> Option<String> {
    let attribute = |name: &str| {
        let mut lines = question.lines().take_while(|line| !line.is_empty());
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    let url = format!("{}://{}/{}", attribute("protocol")?, attribute("host")?, attribute("path").unwrap_or_default());
    url.bytes().all(|b| b.is_ascii_graphic()).then_some(url)
}

/// As git reads it; one that is older than 2.40 ignores the expiry.
fn answer(given: &GitCredentials) -> String {
    format!(
        "username={}\npassword={}\npassword_expiry_utc={}\n",
        given.username,
        given.password,
        given.expires_at.as_second()
    )
}

fn ask(place: &Place, question: &str) -> Result<GitCredentials, String> {
    let whole = exchange(place, question).map_err(|err| format!("the agent does not answer: {err}"))?;
    read(&whole)
}

fn exchange(place: &Place, question: &str) -> io::Result<String> {
    let malformed = || io::Error::other("not an address on loopback");
    let rest = place.url.strip_prefix("http://").ok_or_else(malformed)?;
    let (host, path) = rest.split_once('/').ok_or_else(malformed)?;
    let address: SocketAddr = host.parse().map_err(|_| malformed())?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = format!(
        "GET /{path}/{question} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
        place.authorization
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut answer)?;
    Ok(answer)
}

/// The credentials of an answer, or why there are none.
fn read(answer: &str) -> Result<GitCredentials, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Refused {
        message: String,
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if head.split(' ').nth(1) == Some("200") {
        return serde_json::from_str(body).map_err(|err| format!("the agent's answer cannot be read: {err}"));
    }
    let refused = serde_json::from_str::<Refused>(body);
    Err(refused.map_or_else(|_| "the agent's answer cannot be read".to_owned(), |refused| refused.message))
}

/// Whoever does not listen misses it.
fn say(mut to: impl io::Write, text: &str) {
    let _ = to.write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_says_what_it_wants_to_open() {
        #[track_caller]
        fn check(question: &str, expected: Option<&str>) {
            assert_eq!(question_url(question).as_deref(), expected, "{question}");
        }
        let asked = Some("https://github.com/acme/web.git");
        check("protocol=https\nhost=github.com\npath=acme/web.git\n\n", asked);
        check("capability[]=authtype\nprotocol=https\nhost=github.com\npath=acme/web.git\nwwwauth[]=Basic\n", asked);
        check("path=acme/web.git\nhost=github.com\nprotocol=https\n", asked);
        check("protocol=https\nhost=github.com\n", Some("https://github.com/"));
        check("protocol=https\nhost=github.com\n\npath=acme/web.git\n", Some("https://github.com/"));
        check("protocol=https\nhost=github.com\npath=a b/c\n", None);
        check("protocol=cert\npath=/key.pem\n", None);
        check("", None);
    }

    #[test]
    fn an_answer_is_credentials_or_a_reason() {
        #[track_caller]
        fn check(given: &str, expected: &str) {
            assert_eq!(read(given).map_or_else(|why| why, |given| answer(&given)), expected, "{given}");
        }
        let body =
            r#"{"username":"x-access-token","password":"ghs_1","expires_at":"2026-11-21T09:00:00Z","repositories":[]}"#;
        check(
            &format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{body}"),
            "username=x-access-token\npassword=ghs_1\npassword_expiry_utc=1795251600\n",
        );
        check("HTTP/1.1 404 Not Found\r\n\r\n{\"Code\":\"no_token\",\"Message\":\"not installed\"}", "not installed");
        check("HTTP/1.1 404 Not Found\r\n\r\n", "the agent's answer cannot be read");
        check("", "the agent's answer cannot be read");
    }

    #[test]
    fn a_pull_request_is_reported_by_its_url_and_branch() {
        #[track_caller]
        fn check(words: &[&str], expected: &str) {
            let told = report(words).map_or_else(|why| why, |reported| serde_json::to_string(&reported).unwrap());
            assert_eq!(told, expected, "{words:?}");
        }
        let (url, kind) = ("https://github.com/acme/web/pull/12", "pull-request");
        let line = r#"{"url":"https://github.com/acme/web/pull/12","branch":"fix"}"#;
        check(&[kind, "--url", url, "--branch", "fix"], line);
        check(&[kind, "--branch=fix", &format!("--url={url}")], line);
        let usage = "write: oz-agent report-artifact pull-request --url URL --branch BRANCH";
        for words in [
            &[][..],
            &["plan"],
            &[kind],
            &[kind, url],
            &[kind, "--url", url],
            &[kind, "--url", url, "--branch"],
            &[kind, "--url", url, "--branch", "fix", "--title", "x"],
        ] {
            check(words, usage);
        }
        check(&[kind, "--url", url, "--url", url], &format!("--url is given twice; {usage}"));
        check(
            &[kind, "--url", "", "--branch", "fix"],
            "the URL is not one such as https://github.com/acme/web/pull/12",
        );
        check(&[kind, "--url", url, "--branch", ""], "the branch is empty or has control characters");
    }

    #[test]
    fn each_report_is_a_line_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("made").to_str().unwrap().to_owned();
        let words = ["report-artifact", "pull-request", "--url", "https://host/1", "--branch", "a"];
        for _ in 0..2 {
            assert!(tool(&words, |name| (name == PULL_REQUESTS_FILE).then(|| file.clone())).is_some());
        }
        assert_eq!(std::fs::read_to_string(file).unwrap(), "{\"url\":\"https://host/1\",\"branch\":\"a\"}\n".repeat(2));
    }

    #[test]
    fn other_words_are_no_tool() {
        let nothing = |_: &str| None;
        for words in [&[][..], &["git-credential"], &["install", "/a", "/b"], &["--version"]] {
            assert!(tool(words, nothing).is_none(), "{words:?}");
        }
        for action in ["store", "erase"] {
            assert!(tool(&["git-credential", action], nothing).is_some());
        }
    }
}
