//! Maskers of executions at work, kept so that a segment does not read the vault each time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ozma_domain::id::ExecutionId;
use ozma_domain::mask::Masker;
#[cfg(feature = "outbound")]
use secrecy::SecretString;

/// More agents than one process serves at a time; the oldest goes first, and is made again when asked for.
const KEPT: usize = 256;

#[derive(Clone, Debug, Default)]
pub struct Maskers(Arc<Mutex<BTreeMap<ExecutionId, Arc<Masker>>>>);

impl Maskers {
    pub(crate) fn get(&self, execution: ExecutionId) -> Option<Arc<Masker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&execution).cloned()
    }

    pub(crate) fn keep(&self, execution: ExecutionId, masker: Masker) -> Arc<Masker> {
        let masker = Arc::new(masker);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(execution, masker.clone());
        if kept.len() > KEPT {
            kept.pop_first();
        }
        masker
    }

    /// Masks this too, where there is a masker.
    #[cfg(feature = "outbound")]
    pub(crate) fn hide(&self, execution: ExecutionId, secret: &SecretString) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(masker) = kept.get_mut(&execution) {
            *masker = Arc::new(masker.with([secret]));
        }
    }

    pub(crate) fn forget(&self, execution: ExecutionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&execution);
    }
}
