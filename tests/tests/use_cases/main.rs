//! What one process can tell: the use cases over the real table and archive, the ports on the embedded engine, and the
//! rules of the repository. They are one binary, because each is linked with all that there is.

mod answers;
mod budgets;
mod conformance;
mod conversations;
mod events;
mod follow_ups;
mod lost;
mod origins;
mod outside;
mod people;
mod pull_requests;
mod runs;
mod schedules;
mod scheduling;
mod subscriptions;
mod tidy;
mod triggers;
mod webhooks;
mod workplaces;
