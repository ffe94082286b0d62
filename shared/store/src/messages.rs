//! Messages to a run, numbered in the order in which they were stored: whoever has heard one has heard those before it.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use jiff::Timestamp;
use ozma_domain::id::RunId;
use ozma_domain::protocol::Message;
use ozma_domain::run::Run;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{check_is, create, to_item};
use crate::key::Key;
use crate::table::{Consistency, Order, Range, Store, Written};

/// That a message was sent under a name of its sender's. Whoever sends it again under that name sends nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRow {
    /// The name, which is no part of the row.
    #[serde(skip)]
    pub name: String,
    /// The message.
    pub id: String,
    /// Seconds since 1970.
    pub expires: i64,
}

impl Store {
    /// The message that would be the run's next.
    pub async fn next_message(
        &self,
        run: RunId,
        sent_at: Timestamp,
        from: &str,
        text: &str,
    ) -> Result<Message, StoreError> {
        let last = Range { order: Order::Descending, ..after_message(run, "", 1, Consistency::Strong) };
        let last: Option<Message> = self.query(last).await?.pop();
        let number = last.and_then(|last| last.id.parse::<u32>().ok()).unwrap_or(0) + 1;
        Ok(Message { id: format!("{number:06}"), sent_at, from: from.to_owned(), text: text.to_owned() })
    }

    /// Stores a message to a run that is as it was read. Lost: it is not, or somebody else was faster and has the number, or
    /// the message was sent before.
    pub async fn put_message(
        &self,
        run: &Run,
        message: &Message,
        sent: Option<&SentRow>,
    ) -> Result<Written, StoreError> {
        let version = AttributeValue::N(run.version.to_string());
        let mut writes = vec![check_is(&self.table, &Key::Run(run.run_id), "version", version)];
        writes.extend(self.message_of(run.run_id, message, sent)?);
        self.write("save a message", writes).await
    }

    /// Whether a message was sent to the run under that name.
    pub async fn is_sent(&self, run: RunId, name: &str) -> Result<bool, StoreError> {
        let row: Option<SentRow> = self.get(&Key::Sent(run, name), Consistency::Strong).await?;
        Ok(row.is_some())
    }

    pub(crate) fn message_of(
        &self,
        run: RunId,
        message: &Message,
        sent: Option<&SentRow>,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut writes = vec![create(&self.table, to_item(message, &Key::Message(run, &message.id))?)];
        if let Some(sent) = sent {
            writes.push(create(&self.table, to_item(sent, &Key::Sent(run, &sent.name))?));
        }
        Ok(writes)
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
        // The smallest text greater than the id itself.
        from: Some(format!("{}\u{1}", Key::Message(run, after).parts().1)),
        to: Some(Key::Message(run, "~").parts().1),
        consistency,
        limit,
        ..Range::all(Key::Run(run))
    }
}
