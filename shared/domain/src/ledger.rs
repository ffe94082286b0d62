//! What runs spend, and the accounts that bound it: a team's and an automation's month.
//!
//! Before compute is used it is reserved, a piece at a time, in every account that counts it: what runs at the same time have
//! reserved together never exceeds a limit, so what they spend does not either. What was reserved and not used is given
//! back at the end. What models cost is known only afterwards, and is booked as the harness reports it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::plan::Size;
use crate::protocol::Usage;
use crate::run_limits::Budget;

/// What was used, or is reserved to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Used {
    /// Of compute.
    pub seconds: u64,
    /// Compute and models.
    pub micro_usd: u64,
    pub tokens: u64,
}

/// The name of the team's account.
pub const TEAM_ACCOUNT: &str = "the team";

/// Somebody's budget for a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// As it is told to people.
    pub name: String,
    pub limit: Budget,
}

/// What an execution has reserved and booked, the same in each of its accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// `2026-11`, by UTC: when the execution began.
    pub month: String,
    pub accounts: Vec<Account>,
    /// Seconds of compute reserved since the execution took its slot, and what they cost.
    pub seconds: u64,
    pub compute_micro_usd: u64,
    /// Of models, booked.
    #[serde(default)]
    pub usage: Usage,
}

/// The price of compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// None: it costs nothing here.
    pub size: Option<Size>,
}

impl Rate {
    pub fn micro_usd(self, seconds: u64) -> u64 {
        self.size.filter(|_| seconds > 0).map_or(0, |size| size.fargate_micro_usd(seconds))
    }

    /// The seconds of compute that `micro_usd` buy. None: any number.
    fn seconds_for(self, micro_usd: u64) -> Option<u64> {
        let per_hour = self.size?.fargate_micro_usd(3600).max(1);
        Some((u128::from(micro_usd) * 3600 / u128::from(per_hour)).try_into().unwrap_or(u64::MAX))
    }
}

impl Budget {
    /// The seconds of compute that are left of it after `used`. None: no limit.
    pub fn seconds_left(self, used: Used, rate: Rate) -> Option<u64> {
        if self.tokens.is_some_and(|tokens| used.tokens >= tokens) {
            return Some(0);
        }
        if self.micro_usd.is_some_and(|micro_usd| used.micro_usd >= micro_usd) {
            return Some(0);
        }
        let by_minutes = self.minutes.map(|minutes| (minutes * 60).saturating_sub(used.seconds));
        let by_usd = self.micro_usd.and_then(|usd| rate.seconds_for(usd.saturating_sub(used.micro_usd)));
        by_minutes.into_iter().chain(by_usd).min()
    }

    /// For people.
    pub fn words(self) -> String {
        let usd = self.micro_usd.map(|micro_usd| format!("${:.2}", micro_usd as f64 / 1e6));
        let minutes = self.minutes.map(|minutes| format!("{minutes} minutes"));
        let tokens = self.tokens.map(|tokens| format!("{tokens} tokens"));
        [usd, minutes, tokens].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl Account {
    /// Why nothing more is to be had.
    pub fn words(&self, month: &str) -> String {
        format!("the budget of {} for {month} ({}) is used up", self.name, self.limit.words())
    }
}

impl Booking {
    pub fn new(accounts: Vec<Account>, now: Timestamp) -> Self {
        Self { month: month(now), accounts, seconds: 0, compute_micro_usd: 0, usage: Usage::default() }
    }

    /// The same with `seconds` more reserved and `usage` booked, and what that adds to each account.
    pub fn extended(&self, seconds: u64, usage: Usage, rate: Rate) -> (Self, Used) {
        let total = self.seconds + seconds;
        // What is booked never falls, whatever is reported.
        let usage =
            Usage { tokens: usage.tokens.max(self.usage.tokens), micro_usd: usage.micro_usd.max(self.usage.micro_usd) };
        let compute_micro_usd = rate.micro_usd(total).max(self.compute_micro_usd);
        let added = Used {
            seconds,
            micro_usd: compute_micro_usd - self.compute_micro_usd + usage.micro_usd - self.usage.micro_usd,
            tokens: usage.tokens - self.usage.tokens,
        };
        (Self { seconds: total, compute_micro_usd, usage, ..self.clone() }, added)
    }

    /// What the end of the execution changes in each account: seconds and millionths of a dollar may be given back.
    pub fn closed(&self, seconds: u64, usage: Usage, rate: Rate) -> Change {
        let (booked, added) = self.extended(0, usage, rate);
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let compute = signed(rate.micro_usd(seconds)) - signed(booked.compute_micro_usd);
        Change {
            seconds: signed(seconds) - signed(booked.seconds),
            micro_usd: signed(added.micro_usd) + compute,
            tokens: signed(added.tokens),
        }
    }
}

/// What is added to an account, or taken from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub seconds: i64,
    pub micro_usd: i64,
    pub tokens: i64,
}

impl From<Used> for Change {
    fn from(used: Used) -> Self {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Self { seconds: signed(used.seconds), micro_usd: signed(used.micro_usd), tokens: signed(used.tokens) }
    }
}

/// How much more an execution reserves, when what it has reserved lasts for `lasts` more seconds and its accounts have
/// `left`.
pub fn next_piece(lasts: i64, left: Option<u64>) -> u64 {
    if lasts > limits::RESERVE_AHEAD_SECONDS {
        return 0;
    }
    left.map_or(limits::RESERVED_SECONDS, |left| left.min(limits::RESERVED_SECONDS))
}

pub fn month(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m").to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::Plan;

    fn rate() -> Rate {
        Rate { size: Some(Plan::named("free").unwrap().size) }
    }

    #[track_caller]
    fn check(budget: Budget, used: Used, expected: Option<u64>) {
        assert_eq!(budget.seconds_left(used, rate()), expected);
    }

    #[test]
    fn what_is_left_is_the_least_of_all() {
        let none = Budget::default();
        let used = Used { seconds: 100, micro_usd: 10_000, tokens: 5 };
        check(none, used, None);
        check(Budget { minutes: Some(2), ..none }, used, Some(20));
        check(Budget { minutes: Some(1), ..none }, used, Some(0));
        // Ten minutes of the plan cost 16,456 millionths.
        check(Budget { micro_usd: Some(26_456), ..none }, used, Some(599));
        check(Budget { minutes: Some(2), micro_usd: Some(26_456), ..none }, used, Some(20));
        check(Budget { tokens: Some(5), ..none }, used, Some(0));
        check(Budget { tokens: Some(6), ..none }, used, None);
        let free = Rate { size: None };
        let dollar = Budget { micro_usd: Some(20_000), ..none };
        assert_eq!(dollar.seconds_left(used, free), None, "compute costs nothing");
        assert_eq!(dollar.seconds_left(Used { micro_usd: 20_000, ..used }, free), Some(0), "models do");
    }

    #[test]
    fn months_are_of_utc() {
        assert_eq!(month("2026-11-30T23:59:59Z".parse().unwrap()), "2026-11");
        assert_eq!(month("2026-12-01T00:00:00Z".parse().unwrap()), "2026-12");
    }

    proptest! {
        /// However it was reserved, an account has in the end what was used.
        #[test]
        fn an_account_ends_with_what_was_used(pieces in proptest::collection::vec((0_u64..400, 0_u64..50, 0_u64..50), 0..8), used in 0_u64..3000, last in 0_u64..400) {
            let mut booking = Booking::new(Vec::new(), Timestamp::UNIX_EPOCH);
            let mut account = Change::default();
            let mut add = |change: Change| {
                account.seconds += change.seconds;
                account.micro_usd += change.micro_usd;
                account.tokens += change.tokens;
            };
            let mut usage = Usage::default();
            for (seconds, tokens, micro_usd) in pieces {
                usage = Usage { tokens: usage.tokens + tokens, micro_usd: usage.micro_usd + micro_usd };
                let (next, added) = booking.extended(seconds, usage, rate());
                add(added.into());
                booking = next;
            }
            usage = Usage { tokens: usage.tokens + last, micro_usd: usage.micro_usd + last };
            add(booking.closed(used, usage, rate()));
            prop_assert_eq!(account.seconds, used.cast_signed());
            prop_assert_eq!(account.tokens, usage.tokens.cast_signed());
            prop_assert_eq!(account.micro_usd, (rate().micro_usd(used) + usage.micro_usd).cast_signed());
        }
    }
}
