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
    /// Whether the body is JSON and has nothing that nobody is to have, so that it is kept as it came.
    pub(super) is_kept: bool,
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
    let said = |payload, kind: Option<&str>, is_kept| Said { payload, kind: kind.map(str::to_owned), is_kept };
    match provider {
        Some(Provider::Slack) if is_form => {
            let (payload, _) = without_credentials(form()?);
            Ok(said(payload, Some(slack::SLASH_COMMAND), false))
        }
        Some(Provider::Slack) => {
            let (payload, had_some) = without_credentials(Payload::json(body)?.0);
            Ok(said(payload, Some(slack::EVENTS_API), !had_some))
        }
        Some(Provider::Github) if is_form => {
            let form = form()?;
            let json = form.get("payload").and_then(Value::as_str).ok_or(InvalidPayload::Form)?;
            Ok(said(Payload::json(json.as_bytes())?.0, None, false))
        }
        _ => Ok(said(Payload::json(body)?.0, None, true)),
    }
}

/// The same without what nobody is to have, and whether there was any.
fn without_credentials(mut payload: Value) -> (Value, bool) {
    let Value::Object(members) = &mut payload else { return (payload, false) };
    let had = members.len();
    members.retain(|name, _| !CREDENTIALS.contains(&name.as_str()));
    let had_some = members.len() < had;
    (payload, had_some)
}
