//! Budgets: an execution begins with what is left of its run's budget and a piece of the shared ones, reserves the next piece
//! while it works, and gives back at its end what it did not use.

use jiff::Timestamp;
use ozma_domain::id::ExecutionId;
use ozma_domain::lane::Lane;
use ozma_domain::ledger::{Account, Booking, Rate, TEAM_ACCOUNT, Used, next_piece};
use ozma_domain::limits;
use ozma_domain::plan::Plan;
use ozma_domain::protocol::Usage;
use ozma_domain::run::{Execution, Run, RunRequest};
use ozma_domain::run_limits::Budget;
use ozma_store::{LedgerChange, StoreError, TeamRow, Written};

use crate::App;

/// Whether an execution may begin.
pub(crate) enum Affordable {
    Yes(Box<Means>),
    /// What others have reserved may be given back.
    Later(Account, String),
    Never(String),
}

/// What an execution begins with.
pub(crate) struct Means {
    /// Of the run's own budget, and how long compute lasts by it.
    pub(crate) left: Budget,
    pub(crate) seconds: Option<u64>,
    /// Of shared budgets.
    pub(crate) booking: Option<Booking>,
    pub(crate) ledger: Option<LedgerChange>,
}

/// `others` says whether other agents of the team are at work.
pub(crate) async fn afford(
    app: &App,
    team: &TeamRow,
    run: &Run,
    request: &RunRequest,
    others: bool,
) -> Result<Affordable, StoreError> {
    let rate = rate(app, run, &team.plan);
    let own = request.limits.budget;
    let used = used_by(run, rate);
    let seconds = own.seconds_left(used, rate);
    if seconds.is_some_and(|seconds| seconds < limits::BUDGET_START_SECONDS) {
        let what = if run.executions == 0 { "does not last for a minute of compute" } else { "is used up" };
        return Ok(Affordable::Never(format!("the budget of the run ({}) {what}", own.words())));
    }
    let left = Budget {
        minutes: own.minutes,
        micro_usd: own.micro_usd.map(|limit| limit.saturating_sub(used.micro_usd)),
        tokens: own.tokens.map(|limit| limit.saturating_sub(used.tokens)),
    };
    let accounts = accounts(team, run, request);
    if accounts.is_empty() {
        return Ok(Affordable::Yes(Box::new(Means { left, seconds, booking: None, ledger: None })));
    }
    let now = app.now();
    let booking = Booking::new(accounts, now);
    let least = least_left(app, run, &booking, rate).await?;
    if let Some(Least { seconds, account, .. }) = &least
        && *seconds < limits::BUDGET_START_SECONDS
    {
        if others {
            return Ok(Affordable::Later(account.clone(), account.words(&booking.month)));
        }
        return Ok(Affordable::Never(account.words(&booking.month)));
    }
    let piece = next_piece(0, least.map(|least| least.seconds));
    let (booked, added) = booking.extended(piece, Usage::default(), rate);
    let ledger = change(&booked, added, now, true);
    Ok(Affordable::Yes(Box::new(Means { left, seconds, booking: Some(booked), ledger: Some(ledger) })))
}

/// What the end of the current execution of `run`, after `seconds` of compute, changes in its accounts.
pub(crate) async fn closing(
    app: &App,
    run: &Run,
    seconds: u64,
    now: Timestamp,
) -> Result<Option<LedgerChange>, StoreError> {
    let Some((current, booking)) = booked(run) else { return Ok(None) };
    let rate = rate(app, run, &app.plan(&run.team).await?);
    let change = booking.closed(seconds, current.usage, rate);
    Ok(Some(LedgerChange { booking: booking.clone(), change, now: now.as_second(), within_limits: false }))
}

/// Notes what the harness of an execution reports, and reserves what comes next. Answers with the reason if the agent has to
/// stop, because there is no more to be had.
pub(crate) async fn keep_up(
    app: &App,
    execution: ExecutionId,
    mut run: Run,
    usage: Option<Usage>,
) -> Result<Option<String>, StoreError> {
    loop {
        let Some(current) = run.execution.as_ref().filter(|_| run.is_current(execution) && !run.state.is_terminal())
        else {
            return Ok(None);
        };
        let with_usage = usage.and_then(|usage| run.used(usage));
        if current.booking.is_none() && current.budget.is_none() {
            // Nothing bounds it: what was used is noted all the same.
            let Some(noted) = with_usage else { return Ok(None) };
            if app.store.update_run_row(&run, &noted).await? == Written::Now {
                return Ok(None);
            }
        } else {
            let rate = rate(app, &run, &app.plan(&run.team).await?);
            let noted = with_usage.clone().unwrap_or_else(|| run.clone());
            if let Some(words) = own_budget_reached(&noted, rate, app.now()) {
                if let Some(noted) = with_usage {
                    let (Written::Now | Written::Lost) = app.store.update_run_row(&run, &noted).await?;
                }
                return Ok(Some(words));
            }
            match reserve(app, &run, &noted, rate).await? {
                Reserved::Enough => return Ok(None),
                Reserved::NoMore(words) => return Ok(Some(words)),
                Reserved::Lost => {}
            }
        }
        match app.store.run(execution.run).await? {
            Some(read) => run = read,
            None => return Ok(None),
        }
    }
}

enum Reserved {
    Enough,
    NoMore(String),
    Lost,
}

/// Books what `noted` has used more than `run`, and reserves a piece more if it is time.
async fn reserve(app: &App, run: &Run, noted: &Run, rate: Rate) -> Result<Reserved, StoreError> {
    let now = app.now();
    let Some((current, booking)) = booked(noted) else {
        return match app.store.update_run_row(run, noted).await? {
            Written::Now => Ok(Reserved::Enough),
            Written::Lost => Ok(Reserved::Lost),
        };
    };
    let lasts = |booking: &Booking| {
        let worked = now.duration_since(current.dispatched_at).as_secs();
        i64::try_from(booking.seconds).unwrap_or(i64::MAX).saturating_sub(worked)
    };
    let due = lasts(booking) <= limits::RESERVE_AHEAD_SECONDS;
    if !due && current.usage == booking.usage {
        return Ok(Reserved::Enough);
    }
    let least = least_left(app, run, booking, rate).await?;
    // What was reported is booked whatever is left, and on its own: what is reserved has to be there.
    let piece = if current.usage == booking.usage {
        next_piece(lasts(booking), least.as_ref().map(|least| least.seconds))
    } else {
        0
    };
    let (booked, added) = booking.extended(piece, current.usage, rate);
    let ledger = change(&booked, added, now, piece > 0);
    let new = Run { execution: Some(Execution { booking: Some(booked.clone()), ..current.clone() }), ..noted.clone() };
    if booked != *booking && app.store.book(run, &new, &ledger).await? == Written::Lost {
        return Ok(Reserved::Lost);
    }
    match least {
        // Tokens are not reserved: once they are used up, that is the end.
        Some(least) if least.no_tokens => Ok(Reserved::NoMore(least.account.words(&booked.month))),
        Some(least) if least.seconds == 0 && lasts(&booked) <= limits::RESERVE_END_SECONDS => {
            Ok(Reserved::NoMore(least.account.words(&booked.month)))
        }
        _ if due && piece == 0 && current.usage != booking.usage => Ok(Reserved::Lost),
        _ => Ok(Reserved::Enough),
    }
}

fn own_budget_reached(run: &Run, rate: Rate, now: Timestamp) -> Option<String> {
    let current = run.execution.as_ref()?;
    let worked = run.seconds_of_execution(now);
    let used = Used {
        seconds: 0,
        micro_usd: rate.micro_usd(worked).saturating_add(current.usage.micro_usd),
        tokens: current.usage.tokens,
    };
    let left = Budget { minutes: None, ..current.budget };
    let reached = left.tokens.is_some_and(|left| used.tokens >= left)
        || left.micro_usd.is_some_and(|left| used.micro_usd >= left);
    reached.then(|| "the budget of the run is used up; what it changed is kept".to_owned())
}

/// The account that has the least left, in seconds of compute.
struct Least {
    seconds: u64,
    account: Account,
    no_tokens: bool,
}

/// None: no account has a limit that compute could reach.
async fn least_left(app: &App, run: &Run, booking: &Booking, rate: Rate) -> Result<Option<Least>, StoreError> {
    let mut least: Option<Least> = None;
    for account in &booking.accounts {
        let used = app.store.account(&run.team, &booking.month, &account.name).await?;
        if let Some(seconds) = account.limit.seconds_left(used, rate)
            && least.as_ref().is_none_or(|least| seconds < least.seconds)
        {
            let no_tokens = account.limit.tokens.is_some_and(|tokens| used.tokens >= tokens);
            least = Some(Least { seconds, account: account.clone(), no_tokens });
        }
    }
    Ok(least)
}

fn accounts(team: &TeamRow, run: &Run, request: &RunRequest) -> Vec<Account> {
    let mut accounts = Vec::new();
    if !team.settings.budget.is_none() {
        accounts.push(Account { name: TEAM_ACCOUNT.to_owned(), limit: team.settings.budget });
    }
    if let Lane::Automation(id) = &run.share.lane
        && !request.automation_budget.is_none()
    {
        accounts.push(Account { name: format!("the automation {id}"), limit: request.automation_budget });
    }
    accounts
}

fn used_by(run: &Run, rate: Rate) -> Used {
    Used {
        seconds: run.compute_seconds,
        micro_usd: rate.micro_usd(run.compute_seconds).saturating_add(run.usage.micro_usd),
        tokens: run.usage.tokens,
    }
}

fn booked(run: &Run) -> Option<(&Execution, &Booking)> {
    let current = run.execution.as_ref().filter(|current| !current.closed)?;
    Some((current, current.booking.as_ref()?))
}

fn change(booking: &Booking, added: Used, now: Timestamp, within_limits: bool) -> LedgerChange {
    LedgerChange { booking: booking.clone(), change: added.into(), now: now.as_second(), within_limits }
}

fn rate(app: &App, run: &Run, plan: &Plan) -> Rate {
    Rate { size: app.settings.billed.then_some(run.size(plan.size)) }
}
