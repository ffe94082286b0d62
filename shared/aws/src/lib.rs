//! The ports of `ozma-app` on AWS: SQS, ECS, EventBridge, Scheduler and Secrets Manager. What an answer of AWS means is
//! told by pure tables ([`launcher`]); what follows from it is decided above.

pub mod bus;
pub mod launcher;
pub mod parking;
pub mod queue;
pub mod timer;
pub mod vault;
