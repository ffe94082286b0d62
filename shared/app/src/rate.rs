//! How often something may come.

use ozma_domain::audit::digest;
use ozma_domain::id::{DeliveryId, TeamId};
use ozma_store::{SeenRow, StoreError};

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

/// Whether a delivery is the first of `subject` in the hour that it is now. It is so whenever it is asked about again, so that
/// whoever goes on after a crash says what is said once an hour.
pub(crate) async fn is_first(
    app: &App,
    team: &TeamId,
    subject: &str,
    delivery: DeliveryId,
) -> Result<bool, StoreError> {
    let hour = app.now().as_second().div_euclid(HOUR);
    let hash = digest(format!("{team}\nfirst\n{hour}\n{subject}").as_bytes()).to_string();
    let row = SeenRow { delivery, body_sha256: String::new(), expires: (hour + 2) * HOUR };
    Ok(app.store.see(&hash, &row).await?.delivery == delivery)
}
