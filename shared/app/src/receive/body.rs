//! What a body says, once it is believed: JSON, or the forms that some services send.

use ozma_domain::provider::{Provider, slack};
use ozma_domain::webhook::{InvalidPayload, Payload};
use serde_json::Value;

const FORM: &str = "application/x-www-form-urlencoded";

/// Members that let whoever has them act for us, or answer in our name: neither kept nor shown to an agent.
const CREDENTIALS: [&str; 3] = ["token", "response_url", "trigger_id"];

/// A payload, and what kind it is where that is said beside it.
pub(super) struct Said {
    pub(super) payload: Value,
    pub(super) kind: Option<String>,
}

/// Reads a body. GitHub and Slack send forms where they are told to, or always; anything else is JSON, whatever it is called,
/// as many senders call it `text/plain`.
pub(super) fn read(
    provider: Option<Provider>,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Said, InvalidPayload> {
    let media_type = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    let is_form = media_type.eq_ignore_ascii_case(FORM);
    let form = || slack::form(body).map_err(|err| InvalidPayload::Json(err.to_string()));
    let said = |payload, kind: Option<&str>| Said { payload, kind: kind.map(str::to_owned) };
    match provider {
        Some(Provider::Slack) if is_form => Ok(said(without_credentials(form()?), Some(slack::SLASH_COMMAND))),
        Some(Provider::Slack) => Ok(said(without_credentials(Payload::json(body)?.0), Some(slack::EVENTS_API))),
        Some(Provider::Github) if is_form => {
            let form = form()?;
            let json = form.get("payload").and_then(Value::as_str).ok_or(InvalidPayload::Form)?;
            Ok(said(Payload::json(json.as_bytes())?.0, None))
        }
        _ => Ok(said(Payload::json(body)?.0, None)),
    }
}

fn without_credentials(mut payload: Value) -> Value {
    if let Value::Object(members) = &mut payload {
        members.retain(|name, _| !CREDENTIALS.contains(&name.as_str()));
    }
    payload
}
