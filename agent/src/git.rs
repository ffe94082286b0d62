//! How git is spoken to: settings that hold whatever the machine's own are, credentials that never leave the environment
//! of the git process, and what its complaints mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ozma_domain::repository::{HttpRepository, Repository, RepositoryUrl};

use crate::tools::HELPER_SAYS;
use crate::variables::Variables;

/// A setting and its value.
pub(crate) type Setting = (String, String);

/// Secrets that open github.com, as the tools of GitHub name them.
const GITHUB_TOKENS: [&str; 2] = ["GITHUB_TOKEN", "GH_TOKEN"];

/// What the agent's program is told to be git's helper by; git adds what it wants of it.
pub(crate) const HELPER: &str = "git-credential";

/// What git's own words come down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    Unreachable,
    NoSuchRepository,
    NoSuchReference,
    KeyRefused,
    NoSsh,
    /// `ssh` wants to know who it is.
    NoUser,
    DiskFull,
    Other,
}

/// The hosts that the repositories come from over https.
pub(crate) fn hosts(repositories: &[Repository]) -> BTreeSet<String> {
    repositories.iter().filter_map(|repository| https_host(&repository.url)).map(str::to_owned).collect()
}

/// The settings of every git process, the task's too: repositories of another owner are fine, `ext::` is not, the hosts with a
/// secret are asked with it, and for the others that the repositories come from there is the agent's program.
pub(crate) fn settings(
    secrets: &BTreeMap<String, String>,
    repositories: &[Repository],
    program: Option<&Path>,
) -> Vec<Setting> {
    let mut settings = vec![setting("safe.directory", "*"), setting("protocol.ext.allow", "never")];
    for host in hosts(repositories) {
        if let Some(name) = credential(secrets, &host) {
            settings.push((format!("credential.https://{host}.helper"), helper(name)));
        }
    }
    let Some(program) = program else { return settings };
    let origins = repositories.iter().filter_map(|repository| repository.url.over_http());
    for origin in origins.map(|repository| HttpRepository::origin(&repository).to_owned()).collect::<BTreeSet<_>>() {
        let host = origin.strip_prefix("https://");
        if host.is_none_or(|host| credential(secrets, host).is_none()) {
            settings.push((format!("credential.{origin}.helper"), format!("!{} {HELPER}", quoted(program))));
            // Tokens are for repositories, so that it has to say for which.
            settings.push((format!("credential.{origin}.useHttpPath"), "true".to_owned()));
        }
    }
    settings
}

/// A path for a shell.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

/// Why there was no token for git, if it was told so.
pub(crate) fn no_token(stderr: &str) -> Option<&str> {
    let told = stderr.lines().rev().find_map(|line| line.strip_prefix(HELPER_SAYS)?.strip_prefix("no token for "));
    told.and_then(|told| told.split_once(": ")).map(|(_, why)| why)
}

/// Settings as `git` takes them from its environment.
pub(crate) fn as_variables(settings: &[Setting]) -> Variables {
    let mut variables = Variables::from([("GIT_CONFIG_COUNT".to_owned(), settings.len().to_string())]);
    for (number, (key, value)) in settings.iter().enumerate() {
        variables.insert(format!("GIT_CONFIG_KEY_{number}"), key.clone());
        variables.insert(format!("GIT_CONFIG_VALUE_{number}"), value.clone());
    }
    variables
}

/// The name of the secret that opens `host`.
pub(crate) fn credential<'a>(secrets: &'a BTreeMap<String, String>, host: &str) -> Option<&'a str> {
    let own = credential_name(host);
    let general: &[&str] = if host == "github.com" { &GITHUB_TOKENS } else { &[] };
    let mut names = std::iter::once(own.as_str()).chain(general.iter().copied());
    names.find_map(|name| secrets.get_key_value(name)).map(|(name, _)| name.as_str())
}

/// What a secret that opens `host` is called.
pub(crate) fn credential_name(host: &str) -> String {
    let host: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("GIT_CREDENTIALS_{host}")
}

/// The password part of `user:password` secrets, to be masked on its own too.
pub(crate) fn passwords(secrets: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    let credentials = secrets.iter().filter(|(name, _)| name.starts_with("GIT_CREDENTIALS_"));
    credentials.filter_map(|(_, value)| value.split_once(':').map(|(_, password)| password))
}

pub(crate) fn https_host(url: &RepositoryUrl) -> Option<&str> {
    url.as_str().strip_prefix("https://")?.split('/').next()
}

/// The host of a repository, as people say it.
pub(crate) fn host(url: &RepositoryUrl) -> &str {
    let text = url.as_str();
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = after_scheme.split('/').next().unwrap_or(after_scheme);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    host.split(':').next().unwrap_or(host)
}

pub(crate) fn complaint(stderr: &str) -> Complaint {
    // The helper's words are not git's, and tell of another host.
    let lines = || stderr.lines().filter(|line| !line.starts_with(HELPER_SAYS));
    let says = |words: &[&str]| lines().any(|line| words.iter().any(|word| line.contains(word)));
    if says(&["No space left on device", "File too large"]) {
        Complaint::DiskFull
    } else if says(&[
        "Remote branch",
        "couldn't find remote ref",
        "not our ref",
        "unadvertised object",
        "did not match any",
    ]) {
        Complaint::NoSuchReference
    } else if says(&["Permission denied (", "Host key verification failed", "Too many authentication failures"]) {
        Complaint::KeyRefused
    } else if says(&["cannot run ssh", "ssh: not found", "ssh: command not found"]) {
        Complaint::NoSsh
    } else if says(&["No user exists for uid"]) {
        Complaint::NoUser
    } else if says(&[
        "Could not resolve host",
        "Could not connect",
        "Failed to connect",
        "Couldn't connect",
        "Connection refused",
        "Connection timed out",
        "Connection reset",
        "Network is unreachable",
        "No route to host",
        "Operation timed out",
        "Temporary failure in name resolution",
        "Name or service not known",
        "The requested URL returned error: 5",
    ]) {
        Complaint::Unreachable
    } else if says(&[
        "could not read Username",
        "could not read Password",
        "Authentication failed",
        "Repository not found",
        "repository not found",
        "not found",
        "does not exist",
        "does not appear to be a git repository",
        "The requested URL returned error: 40",
        "not valid: is this a git repository",
    ]) {
        Complaint::NoSuchRepository
    } else {
        Complaint::Other
    }
}

/// Answers git's question from a variable of its own environment. Only the name stands here, in text that
/// anybody may read.
fn helper(variable: &str) -> String {
    format!(
        "!f() {{ test \"$1\" = get || exit 0; case \"${variable}\" in *:*) u=\"${{{variable}%%:*}}\"; \
         p=\"${{{variable}#*:}}\";; *) u=x-access-token; p=\"${variable}\";; esac; \
         printf 'username=%s\\npassword=%s\\n' \"$u\" \"$p\"; }}; f"
    )
}

fn setting(key: &str, value: &str) -> Setting {
    (key.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], host: &str, expected: Option<&str>) {
        let secrets = names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        assert_eq!(credential(&secrets, host), expected);
    }

    #[test]
    fn a_secret_opens_its_own_host_alone() {
        check(&["GITHUB_TOKEN", "GH_TOKEN"], "github.com", Some("GITHUB_TOKEN"));
        check(&["GH_TOKEN"], "github.com", Some("GH_TOKEN"));
        check(&["GITHUB_TOKEN"], "github.com.evil.example", None);
        check(&["GITHUB_TOKEN"], "git.example.com", None);
        check(&["GIT_CREDENTIALS_GIT_EXAMPLE_COM"], "git.example.com", Some("GIT_CREDENTIALS_GIT_EXAMPLE_COM"));
        check(
            &["GIT_CREDENTIALS_GIT_EXAMPLE_COM_8443"],
            "git.example.com:8443",
            Some("GIT_CREDENTIALS_GIT_EXAMPLE_COM_8443"),
        );
        check(&["GITHUB_TOKEN", "GIT_CREDENTIALS_GITHUB_COM"], "github.com", Some("GIT_CREDENTIALS_GITHUB_COM"));
    }

    #[test]
    fn hosts_are_named_without_what_surrounds_them() {
        let named = |url: &str| host(&url.parse().unwrap()).to_owned();
        assert_eq!(named("acme/web"), "github.com");
        assert_eq!(named("https://git.example.com:8443/a/b"), "git.example.com");
        assert_eq!(named("git@example.com:a/b"), "example.com");
        assert_eq!(named("ssh://git@example.com:22/a/b"), "example.com");
    }

    /// What git 2.47 says.
    #[test]
    fn complaints_are_told_apart() {
        #[track_caller]
        fn check(stderr: &str, expected: Complaint) {
            assert_eq!(complaint(stderr), expected);
        }
        check("fatal: unable to access 'https://x/': Could not resolve host: x", Complaint::Unreachable);
        check("ssh: connect to host x port 22: Connection refused", Complaint::Unreachable);
        check(
            "fatal: could not read Username for 'https://github.com': terminal prompts disabled",
            Complaint::NoSuchRepository,
        );
        check("fatal: '/x' does not appear to be a git repository", Complaint::NoSuchRepository);
        check("fatal: repository 'https://x/y/' not found", Complaint::NoSuchRepository);
        check("fatal: Remote branch nope not found in upstream origin", Complaint::NoSuchReference);
        check("fatal: remote error: upload-pack: not our ref 0123", Complaint::NoSuchReference);
        check("git@github.com: Permission denied (publickey).", Complaint::KeyRefused);
        check("error: cannot run ssh: No such file or directory", Complaint::NoSsh);
        check("No user exists for uid 4711\nfatal: Could not read from remote repository.", Complaint::NoUser);
        check("fatal: write error: No space left on device", Complaint::DiskFull);
        check("fatal: the remote end hung up unexpectedly", Complaint::Other);
        let helper = "oz-agent: no token for https://x/y/z: the provider cannot be reached: Connection refused\n";
        let prompt = "fatal: could not read Username for 'https://x': terminal prompts disabled\n";
        check(&format!("{helper}{prompt}"), Complaint::NoSuchRepository);
        assert_eq!(no_token(&format!("{helper}{prompt}")), Some("the provider cannot be reached: Connection refused"));
        assert_eq!(no_token(prompt), None);
    }

    #[test]
    fn a_host_is_asked_with_its_secret_or_else_with_a_token_and_no_other_is_asked() {
        #[track_caller]
        fn check(urls: &[&str], secret: Option<&str>, expected: &[&str]) {
            let secrets = secret.map(|name| (name.to_owned(), "x".to_owned())).into_iter().collect();
            let repository = |url: &&str| Repository { url: url.parse().unwrap(), reference: None };
            let repositories: Vec<_> = urls.iter().map(repository).collect();
            let settings = settings(&secrets, &repositories, Some(Path::new("/w/it's/oz-agent")));
            let told: Vec<String> = settings
                .iter()
                .filter(|(key, _)| key.starts_with("credential."))
                .map(|(key, value)| format!("{key}={}", value.split("test").next().unwrap_or_default()))
                .collect();
            assert_eq!(told, expected, "{urls:?}");
        }
        let token = [
            r"credential.https://github.com.helper=!'/w/it'\''s/oz-agent' git-credential",
            "credential.https://github.com.useHttpPath=true",
        ];
        check(&["acme/web", "https://GitHub.com/acme/api"], None, &token);
        check(&["acme/web"], Some("NPM_TOKEN"), &token);
        check(&["acme/web"], Some("GH_TOKEN"), &["credential.https://github.com.helper=!f() { "]);
        check(
            &["http://127.0.0.1:9/acme/web"],
            Some("GH_TOKEN"),
            &[
                r"credential.http://127.0.0.1:9.helper=!'/w/it'\''s/oz-agent' git-credential",
                "credential.http://127.0.0.1:9.useHttpPath=true",
            ],
        );
        check(&["http://github.com/acme/web", "git@github.com:acme/web", "file:///acme/web"], None, &[]);
    }

    #[test]
    fn the_helper_answers_from_the_environment() {
        #[track_caller]
        fn check(value: &str, expected: &str) {
            let helper = helper("SECRET");
            assert!(!helper.contains(value));
            let mut sh = std::process::Command::new("sh");
            let answer = sh.arg("-c").arg(format!("{} get", &helper[1..])).env("SECRET", value).output().unwrap();
            assert_eq!(String::from_utf8(answer.stdout).unwrap(), expected);
        }
        check("tok'en$x", "username=x-access-token\npassword=tok'en$x\n");
        check("me:pass:word", "username=me\npassword=pass:word\n");
    }
}
