//! `oz apply` and `oz export`: what a team has, kept in files.

use std::path::PathBuf;

use clap::Args;
use ozma_api::wire::{ApplyRequest, ApplyResult, DefinitionAction, DefinitionChange, FieldChange};
use ozma_domain::definition::{Kind, SetName};
use ozma_domain::text::shorten;
use serde_json::{Map, Value};

use crate::args::{Format, Global};
use crate::ask;
use crate::client::{Client, ClientError};
use crate::connect;
use crate::definitions::{self, Document};
use crate::exit::{Exit, Failure};
use crate::output::{self, CYAN, DIM, GREEN, RED, YELLOW, styled};

/// Of a value that is shown in one line.
const VALUE_CHARS: usize = 200;
/// Of a text of several lines.
const VALUE_LINES: usize = 40;

const EXAMPLES: &str = "\
Examples:
  oz export > oz.yaml              everything there is, as definitions
  oz apply -f oz.yaml              shows what differs, asks, and does all of it or nothing
  oz apply -f deploy/ --plan       only shows it
  oz apply -f deploy/ --prune      and deletes what an apply made and no file defines any more
  oz apply --schema                the JSON Schema, for editors

Without a terminal it does not ask: a script's apply is applied.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ApplyArgs {
    /// A file of definitions, a folder of .yaml and .yml files, or - for standard input; several may be given
    #[arg(short, long = "file", value_name = "PATH", required_unless_present = "schema")]
    file: Vec<PathBuf>,
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with = "yes")]
    plan: bool,
    /// Delete what an apply of this set has made and no file defines any more; never what somebody made by hand
    #[arg(long)]
    prune: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// The set that these files are; several may be kept apart
    #[arg(long, value_name = "NAME", default_value_t)]
    set: SetName,
    /// Print the JSON Schema of a definition
    #[arg(long, conflicts_with_all = ["file", "plan", "prune", "yes"])]
    schema: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  oz export > oz.yaml
  oz export automation fix review

Secrets are not among it: definitions name them.")]
pub(crate) struct ExportArgs {
    /// Only those of one kind: environment, webhook, automation, schedule or subscription
    kind: Option<Kind>,
    /// Only those of these names
    names: Vec<String>,
}

pub(crate) async fn run(global: &Global, args: ApplyArgs) -> Result<Exit, Failure> {
    if args.schema {
        output::json(&ozma_api::definitions_schema())?;
        return Ok(Exit::Succeeded);
    }
    let documents = definitions::read(&args.file)?;
    let plan = ApplyRequest {
        definitions: Some(documents.iter().map(|document| document.value.clone()).collect()),
        set: Some(args.set.to_string()),
        prune: Some(args.prune),
        plan_only: Some(true),
    };
    connect::with(global, async |client| apply(global, client, &args, &plan, &documents).await).await
}

async fn apply(
    global: &Global,
    client: &Client,
    args: &ApplyArgs,
    plan: &ApplyRequest,
    documents: &[Document],
) -> Result<Exit, Failure> {
    let send = async |request: &ApplyRequest| client.apply(request).await.map_err(|err| placed(err, documents));
    if args.plan {
        print(global.output_format, &send(plan).await?)?;
        return Ok(Exit::Succeeded);
    }
    let mut shown = None;
    if !args.yes && ask::is_possible() {
        let planned = send(plan).await?;
        if planned.changes.iter().all(|change| change.action == DefinitionAction::Unchanged) {
            print(global.output_format, &planned)?;
            return Ok(Exit::Succeeded);
        }
        lines(&planned, Detail::Fields).iter().for_each(output::note);
        if !ask::confirm("Apply this?", false).await? {
            return Err(Failure::new("nothing was applied"));
        }
        shown = Some(planned);
    }
    let applied = send(&ApplyRequest { plan_only: None, ..plan.clone() }).await?;
    let as_shown = shown.map(|planned| is_as_planned(&planned, &applied));
    if as_shown == Some(false) {
        output::note("Others changed something meanwhile. This is what was applied:");
    }
    match global.output_format {
        Format::Pretty | Format::Text if as_shown == Some(true) => {
            lines(&applied, Detail::Names).iter().try_for_each(output::line)?;
        }
        format => print(format, &applied)?,
    }
    Ok(Exit::Succeeded)
}

/// Whether what was applied is what somebody said yes to.
fn is_as_planned(planned: &ApplyResult, applied: &ApplyResult) -> bool {
    let same = |a: &DefinitionChange, b: &DefinitionChange| {
        (a.kind, &a.name, a.action, &a.fields) == (b.kind, &b.name, b.action, &b.fields)
    };
    planned.changes.len() == applied.changes.len()
        && planned.changes.iter().zip(&applied.changes).all(|(a, b)| same(a, b))
}

pub(crate) async fn export(global: &Global, args: ExportArgs) -> Result<Exit, Failure> {
    let mut list = connect::with(global, async |client| Ok(client.definitions(args.kind).await?)).await?;
    if !args.names.is_empty() {
        let named = |one: &Map<String, Value>, name: &String| one.get("name").and_then(Value::as_str) == Some(name);
        if let Some(name) = args.names.iter().find(|name| !list.definitions.iter().any(|one| named(one, name))) {
            let kind = args.kind.map_or("", Kind::as_str);
            return Err(Failure::new(format!("there is no {kind} \"{name}\"")));
        }
        list.definitions.retain(|one| args.names.iter().any(|name| named(one, name)));
    }
    let key = |one: &Map<String, Value>| (one.get("kind").cloned(), one.get("name").cloned());
    for (at, one) in list.definitions.iter().enumerate() {
        if list.definitions[..at].iter().any(|other| key(other) == key(one)) {
            let [kind, name] =
                ["kind", "name"].map(|member| one.get(member).and_then(Value::as_str).unwrap_or_default());
            return Err(Failure::new(format!("more than one {kind} is named \"{name}\""))
                .hint("give each a name of its own: definitions tell them apart by it"));
        }
    }
    match global.output_format {
        Format::Json => output::json(&list)?,
        Format::Ndjson => list.definitions.iter().try_for_each(output::json_line)?,
        Format::Pretty | Format::Text => output::raw(&definitions::to_yaml(&list.definitions)?)?,
    }
    Ok(Exit::Succeeded)
}

/// A refusal that says which file it is about.
fn placed(err: ClientError, documents: &[Document]) -> Failure {
    match err {
        ClientError::Refused(mut problem) => {
            problem.detail = problem.detail.map(|detail| with_places(&detail, documents));
            ClientError::Refused(problem).into()
        }
        other => other.into(),
    }
}

/// `definitions[1].run.prompt: …` as `deploy/fix.yaml, document 2: run.prompt: …`.
fn with_places(detail: &str, documents: &[Document]) -> String {
    const MARK: &str = "definitions[";
    let mut parts = detail.split(MARK);
    let mut told = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let numbered = part.split_once(']').and_then(|(number, rest)| Some((number.parse::<usize>().ok()?, rest)));
        match numbered.and_then(|(number, rest)| Some((documents.get(number)?, rest))) {
            Some((document, rest)) => {
                told.push_str(&document.place);
                match rest.strip_prefix('.') {
                    Some(field) => told.push_str(&format!(": {field}")),
                    None => told.push_str(rest),
                }
            }
            None => told.push_str(&format!("{MARK}{part}")),
        }
    }
    told
}

fn print(format: Format, result: &ApplyResult) -> Result<(), Failure> {
    match format {
        Format::Json => output::json(result),
        Format::Ndjson => result.changes.iter().try_for_each(output::json_line),
        Format::Pretty | Format::Text => lines(result, Detail::Fields).iter().try_for_each(output::line),
    }
}

/// How much is told of each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Names,
    Fields,
}

/// What differs, and at the end how much; with what is told only once.
fn lines(result: &ApplyResult, detail: Detail) -> Vec<String> {
    let mut lines = Vec::new();
    for change in &result.changes {
        let sign = match change.action {
            DefinitionAction::Create => styled(GREEN, "+"),
            DefinitionAction::Update => styled(YELLOW, "~"),
            DefinitionAction::Delete => styled(RED, "-"),
            DefinitionAction::Unchanged => continue,
        };
        lines.push(format!("{sign} {} {}", change.kind, change.name));
        if detail == Detail::Fields {
            let fields = change.fields.iter().flat_map(flat);
            lines.extend(fields.flat_map(|change| field(&change)).map(|line| format!("    {line}")));
        }
        let once = [("URL", &change.url), ("Secret", &change.secret), ("Note", &change.note)];
        let once = once.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        lines.extend(once.map(|(name, value)| format!("    {} {value}", styled(CYAN, format_args!("{name}:")))));
    }
    lines.push(summary(result));
    if result.changes.iter().any(|change| change.secret.is_some()) {
        lines
            .push("The secrets are not shown again. Enter each at whoever sends or receives, with its URL.".to_owned());
    }
    lines
}

fn summary(result: &ApplyResult) -> String {
    let count = |action| result.changes.iter().filter(|change: &&DefinitionChange| change.action == action).count();
    let [created, updated, deleted, unchanged] =
        [DefinitionAction::Create, DefinitionAction::Update, DefinitionAction::Delete, DefinitionAction::Unchanged]
            .map(count);
    if created + updated + deleted == 0 {
        return format!("Nothing to do: {unchanged} unchanged.");
    }
    match result.applied {
        true => format!("Applied: {created} created, {updated} changed, {deleted} deleted, {unchanged} unchanged."),
        false => format!("Plan: {created} to create, {updated} to change, {deleted} to delete, {unchanged} unchanged."),
    }
}

/// Each member by itself of an object that is new.
fn flat(change: &FieldChange) -> Vec<FieldChange> {
    match (&change.old, &change.new) {
        (None, Some(Value::Object(members))) if !members.is_empty() => {
            let member = |(name, new): (&String, &Value)| {
                flat(&FieldChange { field: format!("{}.{name}", change.field), old: None, new: Some(new.clone()) })
            };
            members.iter().flat_map(member).collect()
        }
        _ => vec![change.clone()],
    }
}

fn field(change: &FieldChange) -> Vec<String> {
    let name = visible(&change.field);
    let is_long =
        |value: &Option<Value>| value.as_ref().and_then(Value::as_str).is_some_and(|text| text.contains('\n'));
    if is_long(&change.old) || is_long(&change.new) {
        let text = |value: &Option<Value>| match value {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let (old, new) = (text(&change.old), text(&change.new));
        let mut lines = vec![format!("{name}:")];
        lines.extend(text_changes(&old, &new));
        return lines;
    }
    let told = |value: &Value| shorten(&visible(&value.to_string()), VALUE_CHARS);
    vec![match (&change.old, &change.new) {
        (Some(old), Some(new)) => format!("{name}: {} → {}", told(old), told(new)),
        (Some(old), None) => format!("{name}: {} → {}", told(old), styled(DIM, "nothing")),
        (None, Some(new)) => format!("{name}: {}", told(new)),
        (None, None) => name,
    }]
}

/// The lines between what two texts begin and end with alike.
fn text_changes(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count().min(rest);
    let part = |style, sign: &str, lines: &[&str]| {
        let shown =
            lines.iter().take(VALUE_LINES).map(|line| styled(style, format_args!("  {sign} {}", visible(line))));
        let more = lines.len().saturating_sub(VALUE_LINES);
        shown.chain((more > 0).then(|| format!("    … {more} lines more"))).collect::<Vec<_>>()
    };
    let mut changes = part(RED, "-", &old[start..old.len() - end]);
    changes.extend(part(GREEN, "+", &new[start..new.len() - end]));
    changes
}

/// Nothing that a terminal would obey.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(lines: &[String]) -> String {
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_plan_reads_as_a_difference() {
        let result: ApplyResult = serde_json::from_value(json!({"set": "default", "applied": false, "changes": [
            {"kind": "webhook", "name": "acme", "action": "create", "fields": [
                {"field": "auth", "new": {"mode": "signature", "scheme": "github"}}, {"field": "own", "new": {}}]},
            {"kind": "automation", "name": "fix", "action": "update", "fields": [
                {"field": "paused", "old": true, "new": false},
                {"field": "run.title", "old": "a"},
                {"field": "run.prompt", "old": "one\ntwo\nthree\n", "new": "one\n2\u{1b}[31m\nthree\n"}]},
            {"kind": "schedule", "name": "nightly", "action": "delete"},
            {"kind": "environment", "name": "web", "action": "unchanged"},
        ]}))
        .unwrap();
        insta::assert_snapshot!(plain(&lines(&result, Detail::Fields)), @r#"
        + webhook acme
            auth.mode: "signature"
            auth.scheme: "github"
            own: {}
        ~ automation fix
            paused: true → false
            run.title: "a" → nothing
            run.prompt:
              - two
              + 2�[31m
        - schedule nightly
        Plan: 1 to create, 1 to change, 1 to delete, 1 unchanged.
        "#);
    }

    #[test]
    fn what_is_told_once_is_told_with_what_was_applied() {
        let result: ApplyResult = serde_json::from_value(json!({"set": "default", "applied": true, "changes": [
            {"kind": "webhook", "name": "acme", "action": "create", "url": "https://x/webhooks/wh_1", "secret": "hush"},
        ]}))
        .unwrap();
        assert!(is_as_planned(&result, &ApplyResult { applied: false, ..result.clone() }));
        insta::assert_snapshot!(plain(&lines(&result, Detail::Names)), @r"
        + webhook acme
            URL: https://x/webhooks/wh_1
            Secret: hush
        Applied: 1 created, 0 changed, 0 deleted, 0 unchanged.
        The secrets are not shown again. Enter each at whoever sends or receives, with its URL.
        ");
    }

    #[test]
    fn a_refusal_names_the_file_and_the_document() {
        let document = |place: &str| Document { place: place.to_owned(), value: Map::new() };
        let documents = [document("a.yaml"), document("b.yaml, document 2")];
        for (detail, expected) in [
            ("definitions[1].run.prompt: needed", "b.yaml, document 2: run.prompt: needed"),
            ("definitions[1].name: definitions[0] is one", "b.yaml, document 2: name: a.yaml is one"),
            ("definitions[7].x: y", "definitions[7].x: y"),
            ("definitions: needed", "definitions: needed"),
        ] {
            assert_eq!(with_places(detail, &documents), expected);
        }
    }
}
