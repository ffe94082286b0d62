//! `oz delivery`: what came in, and what became of it.

use clap::{Args, Subcommand};
use ozma_api::wire::{Delivery, DeliveryReply, DeliveryWord};
use ozma_domain::id::DeliveryId;
use ozma_domain::text::{one_line, shorten};

use crate::args::{Format, Global};
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output::{self, Text};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  oz delivery list --webhook acme         the latest, with what they started
  oz delivery get DELIVERY                who was started, who was not and why, and what it said
  oz delivery replay DELIVERY             once more, to every automation that listens now
  oz automation test fix --delivery DELIVERY";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum DeliveryCommand {
    /// List what came in lately
    List(ListArgs),
    /// Show one delivery and what it said
    Get { delivery: DeliveryId },
    /// Deliver once more what came before, as a delivery of its own
    Replay { delivery: DeliveryId },
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Those at one webhook, by id or name
    #[arg(long, conflicts_with = "automation")]
    webhook: Option<String>,
    /// Those at the own address of an automation, by id or name
    #[arg(long)]
    automation: Option<String>,
    /// How many
    #[arg(short = 'L', long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Those older than that one
    #[arg(long, value_name = "DELIVERY")]
    before: Option<DeliveryId>,
}

pub(crate) async fn run(global: &Global, command: DeliveryCommand) -> Result<Exit, Failure> {
    match command {
        DeliveryCommand::List(args) => {
            let query = args.query();
            let list = connect::with(global, async |client| Ok(client.deliveries(&query).await?)).await?;
            let header = ["ID", "RECEIVED", "EVENT", "VERDICT", "STARTED"];
            let now = output::now();
            let row = |delivery: &Delivery| row(delivery, now);
            output::list(global.output_format, &list, &list.deliveries, &header, row, "Nothing has come in.")?;
        }
        DeliveryCommand::Get { delivery } => {
            let delivery = connect::with(global, async |client| Ok(client.delivery(delivery).await?)).await?;
            output::item(global.output_format, &delivery, lines)?;
            if let (Format::Pretty | Format::Text, Some(payload)) = (global.output_format, &delivery.payload) {
                output::line(format!("\n{payload:#}"))?;
            }
        }
        DeliveryCommand::Replay { delivery } => {
            let again = connect::with(global, async |client| Ok(client.replay_delivery(delivery).await?)).await?;
            output::item(global.output_format, &again, lines)?;
        }
    }
    Ok(Exit::Succeeded)
}

impl ListArgs {
    fn query(self) -> Vec<(&'static str, String)> {
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.webhook.map(|webhook| ("webhook", webhook)));
        query.extend(self.automation.map(|automation| ("automation", automation)));
        query.extend(self.before.map(|before| ("before", before.to_string())));
        query
    }
}

fn row(delivery: &Delivery, now: jiff::Timestamp) -> Vec<Text> {
    let started = delivery
        .runs
        .iter()
        .filter(|run| matches!(run.state.as_str(), "started" | "followed_up"))
        .map(|run| one_line(&run.automation));
    vec![
        Text::Id(delivery.id.to_string()),
        values::age(delivery.received_at, now).into(),
        shorten(&one_line(&delivery.event), 40).into(),
        verdict(delivery).into(),
        shorten(&started.collect::<Vec<_>>().join(", "), 60).into(),
    ]
}

fn verdict(delivery: &Delivery) -> String {
    let verdict = delivery.verdict.replace('_', " ");
    match (delivery.status, delivery.repeats) {
        (Some(status), _) => format!("{verdict} ({status})"),
        (None, 0) => verdict,
        (None, repeats) => format!("{verdict}, {repeats} more"),
    }
}

fn lines(delivery: &Delivery) -> Vec<(&'static str, String)> {
    let runs = delivery.runs.iter().map(|run| {
        let reason = run.reason.as_deref().map(|reason| format!(": {}", one_line(reason))).unwrap_or_default();
        format!("{} {} {}{reason}", one_line(&run.automation), run.state.replace('_', " "), run.run_id)
    });
    let left = delivery.left.iter().map(|left| format!("{}: {}", one_line(&left.automation), one_line(&left.why)));
    let lines = [
        ("ID", delivery.id.to_string()),
        ("Received", delivery.received_at.to_string()),
        ("From", format!("{} {}", delivery.source, delivery.source_id)),
        ("Provider", delivery.provider.clone().unwrap_or_default()),
        ("Event", one_line(&delivery.event)),
        ("Sender's id", one_line(&delivery.sender_id)),
        ("See", delivery.url.clone().unwrap_or_default()),
        ("Verdict", verdict(delivery)),
        ("Reason", delivery.reason.as_deref().map(one_line).unwrap_or_default()),
        ("Waits for", delivery.waits_for.as_deref().map(one_line).unwrap_or_default()),
        ("Runs", runs.collect::<Vec<_>>().join("\n")),
        ("Not started", left.collect::<Vec<_>>().join("\n")),
        ("Said to us", delivery.word.as_ref().map(word).unwrap_or_default()),
        ("Replied", delivery.reply.as_ref().map(reply).unwrap_or_default()),
        ("Replay of", delivery.replay_of.map(|id| id.to_string()).unwrap_or_default()),
    ];
    lines.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn word(word: &DeliveryWord) -> String {
    let done = word.done.as_deref().map_or_else(|| "nothing was done yet".to_owned(), one_line);
    let runs = word.run_ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("{}: {done} {runs}", word.said).trim_end().to_owned()
}

fn reply(reply: &DeliveryReply) -> String {
    let to = reply.person.as_deref().map(|person| format!(" to {}", one_line(person))).unwrap_or_default();
    let posted = if reply.posted { "" } else { ", not yet there" };
    format!("{}{to}{posted}", one_line(&reply.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_shown_with_what_became_of_it() {
        let delivery: Delivery = serde_json::from_value(serde_json::json!({
            "id": "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10", "received_at": "2026-11-21T00:00:00Z",
            "source": "webhook", "source_id": "wh_0123456789abcdefABCDEF", "sender_id": "72d3162e", "provider": "github",
            "event": "issue.labeled", "bytes": 7, "verdict": "accepted", "repeats": 2,
            "runs": [
                {"automation_id": "0123456789abcdefABCDEF", "automation": "fix",
                 "run_id": "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f11", "state": "started"},
                {"automation_id": "0123456789abcdefABCDEF", "automation": "triage",
                 "run_id": "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f12", "state": "refused", "reason": "a\nloop"},
            ],
            "left": [{"automation": "docs", "why": "its filter does not match"}],
        }))
        .unwrap();
        let shown = lines(&delivery).into_iter().map(|(name, value)| format!("{name}: {value}"));
        insta::assert_snapshot!(shown.collect::<Vec<_>>().join("\n"), @r"
        ID: 019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10
        Received: 2026-11-21T00:00:00Z
        From: webhook wh_0123456789abcdefABCDEF
        Provider: github
        Event: issue.labeled
        Sender's id: 72d3162e
        Verdict: accepted, 2 more
        Runs: fix started 019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f11
        triage refused 019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f12: a loop
        Not started: docs: its filter does not match
        ");
        let rejected = Delivery { verdict: "rejected".to_owned(), status: Some(401), repeats: 0, ..delivery };
        assert_eq!(verdict(&rejected), "rejected (401)");
        let word_of = |value| word(&serde_json::from_value(value).unwrap());
        assert_eq!(word_of(serde_json::json!({"said": "stop"})), "stop: nothing was done yet");
        let stopped = serde_json::json!({"said": "stop", "done": "stopped by ann at github",
            "run_ids": ["019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f11"]});
        assert_eq!(word_of(stopped), "stop: stopped by ann at github 019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f11");
        let unsaid = DeliveryReply { text: "a\nb".to_owned(), person: Some("ann".to_owned()), posted: false };
        assert_eq!(reply(&unsaid), "a b to ann, not yet there");
    }
}
