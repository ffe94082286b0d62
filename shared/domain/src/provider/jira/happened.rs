//! What an event says that happened: of an update what was changed.

use super::COMMENTED;
use crate::provider::member::Member;
use crate::template::InvalidField;

type Result<T> = std::result::Result<T, InvalidField>;

#[derive(Default)]
pub(super) struct Happened<'a> {
    /// In the words of [`super::USED`].
    pub(super) acts: Vec<&'static str>,
    /// What the first of the acts that leaves something open was done with.
    pub(super) detail: Option<&'a str>,
    /// Whether the text is new, or changed.
    pub(super) wrote: bool,
    /// What a changed text was before.
    pub(super) before: Option<&'a str>,
}

pub(super) fn read<'a>(event: &str, root: &Member<'a>) -> Result<Happened<'a>> {
    match event {
        COMMENTED => Ok(Happened { acts: vec!["created"], wrote: true, ..Happened::default() }),
        "jira:issue_created" => created(&root.at("issue")?.at("fields")?),
        _ => updated(&root.at("changelog")?),
    }
}

fn created<'a>(fields: &Member<'a>) -> Result<Happened<'a>> {
    let label = match fields.at("labels")?.items()?.first() {
        Some(label) => label.text()?,
        None => None,
    };
    let assignee = fields.at("assignee")?.at("accountId")?.text()?;
    let mut acts = vec!["created"];
    acts.extend(label.map(|_| "labeled"));
    acts.extend(assignee.map(|_| "assigned"));
    Ok(Happened { acts, detail: label.or(assignee), wrote: true, before: None })
}

fn updated<'a>(changelog: &Member<'a>) -> Result<Happened<'a>> {
    let mut happened = Happened::default();
    // In the order of the names, of which the detail belongs to the first.
    let (mut labeled, mut unlabeled, mut status, mut assigned) = (None, None, None, None);
    let mut is_edited = false;
    for item in changelog.at("items")?.items()? {
        let (from, to) = (item.at("fromString")?, item.at("toString")?);
        match field(&item)? {
            Some("labels") => {
                let (from, to) = (from.text()?.unwrap_or_default(), to.text()?.unwrap_or_default());
                labeled = first_beyond(to, from);
                unlabeled = first_beyond(from, to);
            }
            Some("status") => status = to.text()?,
            Some("assignee") => assigned = item.at("to")?.text()?,
            Some("summary") => is_edited = true,
            Some("description") => {
                is_edited = true;
                happened.wrote = true;
                happened.before = from.text()?;
            }
            _ => {}
        }
    }
    for (act, done) in [
        ("labeled", labeled.is_some()),
        ("unlabeled", unlabeled.is_some()),
        ("status_changed", status.is_some()),
        ("assigned", assigned.is_some()),
        ("edited", is_edited),
    ] {
        if done {
            happened.acts.push(act);
        }
    }
    happened.detail = labeled.or(unlabeled).or(status).or(assigned);
    Ok(happened)
}

/// Which of Jira's own fields was changed. What people call a field of theirs may be the same.
fn field<'a>(item: &Member<'a>) -> Result<Option<&'a str>> {
    let name = item.at("fieldId")?.text()?.or(item.at("field")?.text()?);
    let is_custom = item.at("fieldtype")?.text()? == Some("custom");
    Ok(name.filter(|_| !is_custom))
}

/// The first label of a list that is not in the other. Labels have no spaces in them, and are told with spaces between.
fn first_beyond<'a>(labels: &'a str, others: &str) -> Option<&'a str> {
    labels.split_whitespace().find(|label| !others.split_whitespace().any(|other| other == *label))
}
