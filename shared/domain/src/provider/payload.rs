//! What providers' payloads have in common: the names and texts in them, checked and kept short, and the keys and subjects
//! that are made of those.

use sha2::{Digest, Sha256};

use super::member::Member;
use super::{Code, Keys, Provider, Subject, SubjectKind};
use crate::limits;
use crate::repository::GitRef;
use crate::template::InvalidField;
use crate::text;

type Result<T> = std::result::Result<T, InvalidField>;

impl Subject {
    /// One of which nothing more is known yet.
    pub(super) fn of(kind: SubjectKind, repository: Option<&str>) -> Self {
        Self {
            kind,
            repository: repository.map(str::to_owned),
            number: None,
            head_sha: None,
            head_branch: None,
            head_repository: None,
            base_branch: None,
            tag: None,
            url: None,
            title: None,
        }
    }
}

/// The keys of what is in a repository; `mark` stands before the number of an item.
pub(super) fn keys(provider: Provider, subject: &Subject, code: Code, mark: char) -> Keys {
    let path = |name: &str| short(name, limits::REPOSITORY_NAME_BYTES);
    let repository = subject.repository.as_deref().unwrap_or_default();
    let of = match code {
        Code::Repository => Some(repository),
        Code::Fork => subject.head_repository.as_deref().filter(|of| *of != repository),
        Code::Unknown => None,
    };
    let repository = path(repository);
    let name = |name: &GitRef| short(name.as_str(), limits::EVENT_KEY_NAME_BYTES);
    let item = subject.number.map(|number| format!("{repository}{mark}{number}"));
    let commit = subject.head_sha.as_ref().map(|sha| format!("{repository}@{sha}"));
    let branch = of.zip(subject.head_branch.as_ref()).map(|(of, branch)| format!("{}:{}", path(of), name(branch)));
    let tag = subject.tag.as_ref().map(|tag| format!("{repository}:refs/tags/{}", name(tag)));
    let object = item.as_ref().or(branch.as_ref()).or(tag.as_ref()).or(commit.as_ref()).unwrap_or(&repository);
    Keys { object: format!("{provider}:{object}"), item, commit, branch, thread: None }
}

/// A name as part of a key, which must not get too long: of a long one the beginning and a hash, so that no two are one.
fn short(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    let hash = hex::encode(&Sha256::digest(name)[..8]);
    format!("{}~{hash}", &name[..name.floor_char_boundary(most - hash.len() - 1)])
}

/// Of a text what is kept: its beginning, without NUL, which some stores refuse.
pub(super) fn kept(text: &str) -> String {
    text[..text.floor_char_boundary(limits::EVENT_TEXT_BYTES)].replace('\0', "")
}

/// A title, or a detail.
pub(super) fn line(title: &str) -> String {
    text::shorten(&text::one_line(title), limits::TITLE_CHARS)
}

/// The name of an event that is not used: somebody else's words.
pub(super) fn event_name(name: &str) -> String {
    text::shorten(&text::one_line(name), limits::EVENT_NAME_CHARS)
}

/// What the provider itself names something by, which becomes part of keys: `U061F7AUR`, `1515449522.000016`, a UUID.
pub(super) fn id<'a>(member: &Member<'a>) -> Result<Option<&'a str>> {
    let Some(id) = member.text()? else { return Ok(None) };
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_plain && (1..=limits::EVENT_ID_BYTES).contains(&id.len()) {
        return Ok(Some(id));
    }
    Err(member.invalid(&format!("not an id: 1 to {} of A-Z a-z 0-9 - _ .", limits::EVENT_ID_BYTES)))
}

/// A text that says something.
pub(super) fn said<'a>(member: &Member<'a>) -> Result<Option<&'a str>> {
    Ok(member.text()?.filter(|text| !text.trim().is_empty()))
}

/// What an actor is called: an account's name, or its id where that is all there is.
pub(super) fn login<'a>(member: &Member<'a>) -> Result<Option<&'a str>> {
    let Some(name) = member.text()? else { return Ok(None) };
    let is_login = (1..=limits::LOGIN_BYTES).contains(&name.len())
        && !name.contains(|c: char| c.is_whitespace() || c.is_control());
    if is_login { Ok(Some(name)) } else { Err(member.invalid("not a login")) }
}

/// An address for mail, if it is one. Some providers write why they do not tell it, which is not worth refusing the event.
pub(super) fn email(member: &Member<'_>) -> Result<Option<String>> {
    let is_address = |text: &&str| {
        text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
            && text.len() <= limits::EMAIL_BYTES
            && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>".contains(c))
    };
    Ok(member.text()?.filter(is_address).map(str::to_owned))
}

/// SHA-1, or SHA-256 as git has it too.
pub(super) fn sha(member: &Member<'_>) -> Result<Option<String>> {
    let Some(sha) = member.text()? else { return Ok(None) };
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if matches!(sha.len(), 40 | 64) && sha.bytes().all(is_digit) {
        Ok(Some(sha.to_owned()))
    } else {
        Err(member.invalid("not a commit: 40 or 64 hexadecimal digits in lower case"))
    }
}

/// What git writes for a commit that is not there: before a branch's first push, and after its deletion.
pub(super) fn is_no_commit(member: &Member<'_>) -> Result<bool> {
    Ok(member.text()?.is_some_and(|sha| !sha.is_empty() && sha.bytes().all(|digit| digit == b'0')))
}

pub(super) fn branch(member: &Member<'_>) -> Result<Option<GitRef>> {
    let Some(name) = member.text()? else { return Ok(None) };
    name.parse().map(Some).map_err(|_| member.invalid("not the name of a branch or tag"))
}

/// What was pushed to, `refs/heads/…` or `refs/tags/…`.
pub(super) fn pushed(member: &Member<'_>, repository: &str) -> Result<Subject> {
    let name = member.required(member.text()?)?;
    let (kind, name) = match (name.strip_prefix("refs/heads/"), name.strip_prefix("refs/tags/")) {
        (Some(branch), _) => (SubjectKind::Branch, branch),
        (_, Some(tag)) => (SubjectKind::Tag, tag),
        _ => return Err(member.invalid("neither refs/heads/… nor refs/tags/…")),
    };
    let name: GitRef = name.parse().map_err(|_| member.invalid("not the name of a branch or tag"))?;
    let subject = Subject::of(kind, Some(repository));
    Ok(if kind == SubjectKind::Branch {
        Subject { head_branch: Some(name), ..subject }
    } else {
        Subject { tag: Some(name), ..subject }
    })
}

/// An address that people may follow. Any other is not worth refusing the event, as some are from the services that deploy.
pub(super) fn url(member: &Member<'_>) -> Result<Option<String>> {
    let is_web = |url: &&str| {
        (url.starts_with("https://") || url.starts_with("http://"))
            && url.len() <= limits::URL_BYTES
            && !url.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    Ok(member.text()?.filter(is_web).map(str::to_owned))
}
