//! Takes signed webhooks: each starts a run from a stored template.
