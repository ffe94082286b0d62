//! Messages to a run that is at work.

use ozma_domain::id::RunId;
use ozma_domain::protocol::Message;

use crate::error::StoreError;
use crate::item::{replace, to_item};
use crate::key::Key;
use crate::table::{Consistency, Order, Range, Store};

impl Store {
    pub async fn put_message(&self, run: RunId, message: &Message) -> Result<(), StoreError> {
        let item = to_item(message, &Key::Message(run, &message.id))?;
        let _ = self.write("save a message", vec![replace(&self.table, item)]).await?;
        Ok(())
    }

    /// Messages sent after the one with the id `after`, first to last.
    pub async fn messages(&self, run: RunId, after: &str, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.query(after_message(run, after, limit, Consistency::Strong)).await
    }

    /// Whether there was one a moment ago: a hint, asked with every segment, at half the price.
    pub async fn has_messages(&self, run: RunId, after: &str) -> Result<bool, StoreError> {
        Ok(!self.query_items(after_message(run, after, 1, Consistency::Eventual)).await?.is_empty())
    }
}

fn after_message(run: RunId, after: &str, limit: usize, consistency: Consistency) -> Range<'static> {
    Range {
        partition: Key::Run(run),
        // The smallest text greater than the id itself.
        from: Some(format!("{}\u{1}", Key::Message(run, after).parts().1)),
        to: Some(Key::Message(run, "~").parts().1),
        order: Order::Ascending,
        consistency,
        limit,
    }
}
