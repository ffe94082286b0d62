//! What is kept of what somebody else wrote: no longer than it must be, and nothing that a row or a page could not take.

use super::member::Member;
use crate::limits;
use crate::template::InvalidField;
use crate::text;

/// The beginning of a text, without NUL, which some stores refuse.
pub(super) fn text(text: &str) -> String {
    text[..text.floor_char_boundary(limits::EVENT_TEXT_BYTES)].replace('\0', "")
}

/// A title, or what else is one line.
pub(super) fn line(line: &str) -> String {
    text::shorten(&text::one_line(line), limits::TITLE_CHARS)
}

/// The name of an event that is not used, which somebody reads in a log.
pub(super) fn name(name: &str) -> String {
    let name = text::shorten(&text::one_line(name), limits::EVENT_NAME_CHARS);
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

/// An address that people may follow. Any other is not worth refusing the event, as some are from the services that deploy.
pub(super) fn url(member: &Member<'_>) -> Result<Option<String>, InvalidField> {
    let is_web = |url: &&str| {
        (url.starts_with("https://") || url.starts_with("http://"))
            && url.len() <= limits::URL_BYTES
            && !url.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    Ok(member.text()?.filter(is_web).map(str::to_owned))
}

/// What the provider itself names something by, which becomes part of keys: `U061F7AUR`, `1515449522.000016`, a UUID.
pub(super) fn id<'a>(member: &Member<'a>) -> Result<Option<&'a str>, InvalidField> {
    let Some(id) = member.text()? else { return Ok(None) };
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_plain && (1..=limits::EVENT_ID_BYTES).contains(&id.len()) {
        return Ok(Some(id));
    }
    Err(member.invalid(&format!("not an id: 1 to {} of A-Z a-z 0-9 - _ .", limits::EVENT_ID_BYTES)))
}
