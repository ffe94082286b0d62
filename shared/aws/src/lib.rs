//! The ports on SQS, ECS, EventBridge, Scheduler and Secrets Manager. No decisions.
