//! What an event says that happened: its action, or of an update what was changed.

use crate::provider::member::Member;
use crate::provider::payload::is_no_commit;
use crate::template::InvalidField;

type Result<T> = std::result::Result<T, InvalidField>;

pub(super) struct Happened<'a> {
    /// Of a comment the kind of what it is at.
    pub(super) about: &'a str,
    /// In the words of [`super::USED`], and others that are not used.
    pub(super) acts: Vec<&'a str>,
    /// What the first of the acts that leaves something open was done with.
    pub(super) detail: Option<&'a str>,
    /// Whether the text is new, or changed.
    pub(super) wrote: bool,
    /// What a changed text was before.
    pub(super) before: Option<&'a str>,
    /// Why it starts nothing, for people, though its kind does.
    pub(super) left: Option<&'static str>,
}

impl<'a> Happened<'a> {
    fn of(act: &'a str) -> Self {
        Self { about: "", acts: vec![act], detail: None, wrote: false, before: None, left: None }
    }
}

pub(super) fn read<'a>(kind: &str, root: &Member<'a>) -> Result<Happened<'a>> {
    let attributes = root.at("object_attributes")?;
    match kind {
        "push" | "tag_push" => {
            let gone = is_no_commit(&root.at("after")?)?;
            let left = gone.then_some("the push deletes its branch or tag: there is nothing left to work on");
            Ok(Happened { wrote: true, left, ..Happened::of("push") })
        }
        "note" => note(&attributes),
        "pipeline" => {
            let status = attributes.at("status")?;
            let status = status.required(status.text()?)?;
            Ok(Happened { detail: Some(status), ..Happened::of(status) })
        }
        "release" => {
            let action = root.at("action")?;
            Ok(Happened { wrote: true, ..Happened::of(action.required(action.text()?)?) })
        }
        _ => item(root, &attributes),
    }
}

fn note<'a>(attributes: &Member<'a>) -> Result<Happened<'a>> {
    let about = attributes.at("noteable_type")?;
    let about = about.required(about.text()?)?;
    // Before version 16.11 there were no events of edits, and no action.
    let action = attributes.at("action")?.text()?.unwrap_or("create");
    let by_gitlab = attributes.at("system")?.flag()?;
    let left = by_gitlab.then_some("GitLab wrote it to tell what somebody did, of which there is an event");
    Ok(Happened { about, wrote: true, left, ..Happened::of(action) })
}

/// An issue or merge request.
fn item<'a>(root: &Member<'a>, attributes: &Member<'a>) -> Result<Happened<'a>> {
    let (action, changes) = (attributes.at("action")?, root.at("changes")?);
    // What an administrator tests a webhook with has none.
    let Some(action) = action.text()? else {
        let left = "it says of nothing that it happened, as when a webhook is tested";
        return Ok(Happened { acts: Vec::new(), left: Some(left), ..Happened::of("") });
    };
    let is_opened = action == "open";
    if !is_opened && action != "update" {
        return Ok(Happened::of(action));
    }
    let mut acts = Vec::new();
    if is_opened {
        acts.push(action);
    } else {
        if attributes.at("oldrev")?.is_there() {
            acts.push("pushed");
        }
        acts.extend(readiness(&changes)?);
    }
    let [labels, assignees, reviewers] = if is_opened {
        [Change::opened(root, "labels")?, Change::opened(root, "assignees")?, Change::opened(root, "reviewers")?]
    } else {
        [Change::of(&changes, "labels")?, Change::of(&changes, "assignees")?, Change::of(&changes, "reviewers")?]
    };
    let labeled = labels.added("title")?;
    let assigned = assignees.added("username")?;
    let reviewing = reviewers.added("username")?;
    let (title, description) = (changes.at("title")?, changes.at("description")?);
    let is_edited = !is_opened && (title.is_there() || description.is_there());
    for (act, done) in [
        ("labeled", labeled.is_some()),
        ("unlabeled", labels.removed("title")?.is_some()),
        ("assigned", assigned.is_some()),
        ("review_requested", reviewing.is_some()),
        ("edited", is_edited),
    ] {
        if done {
            acts.push(act);
        }
    }
    if acts.is_empty() {
        acts.push(action);
    }
    let detail = labeled.or(labels.removed("title")?).or(assigned).or(reviewing);
    let (before, wrote) = (description.at("previous")?.text()?, is_opened || description.is_there());
    Ok(Happened { acts, detail, wrote, before, ..Happened::of(action) })
}

fn readiness(changes: &Member<'_>) -> Result<Option<&'static str>> {
    let draft = changes.at("draft")?;
    let (was, is) = (draft.at("previous")?.flag()?, draft.at("current")?.flag()?);
    Ok(match (was, is) {
        (true, false) => Some("ready"),
        (false, true) => Some("draft"),
        _ => None,
    })
}

/// A list before and after.
struct Change<'a> {
    previous: Vec<Member<'a>>,
    current: Vec<Member<'a>>,
}

impl<'a> Change<'a> {
    /// What an item is opened with.
    fn opened(root: &Member<'a>, list: &str) -> Result<Self> {
        Ok(Self { previous: Vec::new(), current: root.at(list)?.items()? })
    }

    fn of(changes: &Member<'a>, list: &str) -> Result<Self> {
        let change = changes.at(list)?;
        Ok(Self { previous: change.at("previous")?.items()?, current: change.at("current")?.items()? })
    }

    /// What the first is called that was not there before, or whose review is asked for again.
    fn added(&self, name: &str) -> Result<Option<&'a str>> {
        let before = names(&self.previous, name)?;
        for item in &self.current {
            let called = item.at(name)?.text()?;
            if called.is_some_and(|called| !before.contains(&called)) || item.at("re_requested")?.flag()? {
                return Ok(called);
            }
        }
        Ok(None)
    }

    fn removed(&self, name: &str) -> Result<Option<&'a str>> {
        let after = names(&self.current, name)?;
        Ok(names(&self.previous, name)?.into_iter().find(|called| !after.contains(called)))
    }
}

fn names<'a>(items: &[Member<'a>], name: &str) -> Result<Vec<&'a str>> {
    let names: Result<Vec<_>> = items.iter().map(|item| item.at(name)?.text()).collect();
    Ok(names?.into_iter().flatten().collect())
}
