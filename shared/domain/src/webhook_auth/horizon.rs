//! How long a sender tries again, how old an attempt may be, and how long to remember that there was one.

use jiff::Timestamp;

use crate::limits;

use super::{Scheme, Unverified, WebhookAuth};

/// In seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// From the first attempt to the last one that the sender makes.
    pub retried_seconds: i64,
    /// How old an attempt may be, by the time that is signed with it. None where no time is.
    pub accepted_seconds: Option<i64>,
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Somebody's own sender. The longest schedule that we know of is what the Standard Webhooks specification suggests.
const TOKEN: Horizon = Horizon { retried_seconds: STANDARD_HORIZON.retried_seconds, accepted_seconds: None };

/// It does not try again. For three days somebody may ask for it, by hand or with a script.
/// Source: docs.github.com, "Handling failed webhook deliveries" and "Redelivering webhooks".
const GITHUB: Horizon = Horizon { retried_seconds: 3 * DAY, accepted_seconds: None };

/// Three days, each attempt with a time and signature of its own; its libraries take one for five minutes.
/// Source: docs.stripe.com/webhooks, "Automatic retries" and "Preventing replay attacks".
pub(super) const STRIPE_HORIZON: Horizon =
    Horizon { retried_seconds: 3 * DAY, accepted_seconds: Some(limits::WEBHOOK_TOLERANCE_SECONDS) };

/// Not documented. Its source tries three times more, five minutes apart, with a new id each time.
/// Source: `sentry_apps/tasks/sentry_apps.py` in getsentry/sentry.
const SENTRY: Horizon = Horizon { retried_seconds: 15 * MINUTE, accepted_seconds: None };

/// Four times more, over about 20 minutes; up to 4000 deliveries wait behind one that fails, hence the day.
/// Source: developer.pagerduty.com, "Webhooks", "Behavior".
const PAGERDUTY: Horizon = Horizon { retried_seconds: DAY, accepted_seconds: None };

/// Taken to be a day, less and less often: a row that is kept for too long costs next to nothing.
const VERCEL: Horizon = Horizon { retried_seconds: DAY, accepted_seconds: None };

/// After a minute, an hour and six hours, each counted from the attempt before; the time is that of the first attempt. An
/// hour more is for attempts that themselves take time.
/// Source: linear.app/developers/webhooks.
pub(super) const LINEAR_HORIZON: Horizon =
    Horizon { retried_seconds: 7 * HOUR + MINUTE, accepted_seconds: Some(8 * HOUR) };

/// At once, after a minute and after five, each attempt with a time and signature of its own. Taken to be a day, for apps that
/// let Slack go on each hour.
/// Source: docs.slack.dev/apis/events-api, "Retries"; for the five minutes, "Verifying requests from Slack".
pub(super) const SLACK_HORIZON: Horizon =
    Horizon { retried_seconds: DAY, accepted_seconds: Some(limits::WEBHOOK_TOLERANCE_SECONDS) };

/// 76 hours by the schedule that the specification suggests, each attempt with a time and signature of its own.
/// Source: the specification in standard-webhooks/standard-webhooks, "Deliverability and reliability".
pub(super) const STANDARD_HORIZON: Horizon =
    Horizon { retried_seconds: 76 * HOUR, accepted_seconds: Some(limits::WEBHOOK_TOLERANCE_SECONDS) };

/// Five times more, the last about an hour after the first; taken to be a day.
/// Source: developer.atlassian.com, Jira Cloud platform, "Webhooks", "Retry policy".
const JIRA: Horizon = Horizon { retried_seconds: DAY, accepted_seconds: None };

/// It does not try again by itself, but a webhook that failed is tried with later events, and somebody may resend a request
/// that is at most three days old.
/// Source: docs.gitlab.com, "Webhooks", "View webhook request history".
const GITLAB: Horizon = Horizon { retried_seconds: 3 * DAY, accepted_seconds: None };

impl WebhookAuth {
    pub fn horizon(self) -> Horizon {
        match self {
            Self::Token | Self::UrlToken => TOKEN,
            Self::Signature { scheme } => match scheme {
                Scheme::Github => GITHUB,
                Scheme::Stripe => STRIPE_HORIZON,
                Scheme::Sentry => SENTRY,
                Scheme::Pagerduty => PAGERDUTY,
                Scheme::Vercel => VERCEL,
                Scheme::Linear => LINEAR_HORIZON,
                Scheme::Slack => SLACK_HORIZON,
                Scheme::Jira => JIRA,
                Scheme::Gitlab => GITLAB,
                Scheme::StandardWebhooks => STANDARD_HORIZON,
            },
        }
    }
}

impl Horizon {
    /// How long the row of a delivery is kept, at least: past the sender's last attempt, and past the time at which somebody
    /// else could send one of them again.
    pub fn kept_seconds(&self) -> i64 {
        let accepted = self.accepted_seconds.map_or(0, |seconds| seconds + limits::WEBHOOK_TOLERANCE_SECONDS);
        self.retried_seconds.max(accepted) + limits::DELIVERY_KEPT_BEYOND_SECONDS
    }

    pub(super) fn check(&self, part: &'static str, at: Timestamp, now: Timestamp) -> Result<(), Unverified> {
        let Some(past) = self.accepted_seconds else { return Ok(()) };
        let age = now.as_second() - at.as_second();
        let accepted = (-limits::WEBHOOK_TOLERANCE_SECONDS..=past).contains(&age);
        if accepted { Ok(()) } else { Err(Unverified::Time { part, past_minutes: past / MINUTE }) }
    }
}
