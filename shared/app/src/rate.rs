//! How often something may come.

use ozma_domain::id::TeamId;
use ozma_store::StoreError;

use crate::App;

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 3600;

/// Counts one more of `subject` in the minute or hour that it is now, `seconds` long. Some: there were `most` already, and so
/// many seconds are left of it.
pub(crate) async fn count(
    app: &App,
    team: &TeamId,
    subject: &str,
    seconds: i64,
    most: u32,
) -> Result<Option<u64>, StoreError> {
    let now = app.now().as_second();
    let start = now - now.rem_euclid(seconds);
    let is_counted = app.store.count(team, subject, start, most).await?;
    Ok((!is_counted).then(|| u64::try_from(start + seconds - now).unwrap_or(1)))
}
