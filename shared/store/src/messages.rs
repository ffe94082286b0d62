//! Messages to a run, numbered in the order in which they were stored: whoever has heard one has heard those before it.

use jiff::Timestamp;
use ozma_domain::id::RunId;
use ozma_domain::protocol::Message;

use crate::error::StoreError;
use crate::item::{create, to_item};
use crate::key::Key;
use crate::table::{Consistency, Order, Range, Store, Written};

impl Store {
    /// Stores a message under the next number.
    pub async fn put_message(
        &self,
        run: RunId,
        sent_at: Timestamp,
        from: &str,
        text: &str,
    ) -> Result<Message, StoreError> {
        loop {
            let last = Range { order: Order::Descending, ..after_message(run, "", 1, Consistency::Strong) };
            let last: Option<Message> = self.query(last).await?.pop();
            let number = last.and_then(|last| last.id.parse::<u32>().ok()).unwrap_or(0) + 1;
            let message = Message { id: format!("{number:06}"), sent_at, from: from.to_owned(), text: text.to_owned() };
            let item = to_item(&message, &Key::Message(run, &message.id))?;
            // Lost: somebody else was faster, and has the number.
            if self.write("save a message", vec![create(&self.table, item)]).await? == Written::Now {
                return Ok(message);
            }
        }
    }

    pub async fn message(&self, run: RunId, id: &str) -> Result<Option<Message>, StoreError> {
        self.get(&Key::Message(run, id), Consistency::Strong).await
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
