//! Rows as DynamoDB items, and the difference between two of them as an update.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem, Update};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;
use crate::key::{Key, PK, SK};

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn to_item(row: &impl Serialize, key: &Key<'_>) -> Result<Item, StoreError> {
    let mut item: Item =
        serde_dynamo::to_item(row).map_err(|err| StoreError::unreadable("a row to be written", err))?;
    item.extend(key.attributes());
    Ok(item)
}

pub(crate) fn from_item<Row: DeserializeOwned>(item: Item) -> Result<Row, StoreError> {
    let place = [PK, SK].map(|name| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default());
    serde_dynamo::from_item(item).map_err(|err| StoreError::unreadable(format!("row {} {}", place[0], place[1]), err))
}

/// An update that touches only what differs, so that a writer of an older version keeps attributes it does not know.
pub(crate) struct Difference {
    pub(crate) expression: String,
    pub(crate) names: HashMap<String, String>,
    pub(crate) values: Item,
}

pub(crate) fn difference(old: &Item, new: &Item) -> Difference {
    let (mut set, mut remove) = (Vec::new(), Vec::new());
    let (mut names, mut values) = (HashMap::new(), HashMap::new());
    let mut changed: Vec<&String> = old
        .keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)))
        .filter(|n| old.get(*n) != new.get(*n))
        .collect();
    changed.sort_unstable();
    for (at, name) in changed.into_iter().enumerate() {
        names.insert(format!("#n{at}"), name.clone());
        match new.get(name) {
            Some(value) => {
                set.push(format!("#n{at} = :v{at}"));
                values.insert(format!(":v{at}"), value.clone());
            }
            None => remove.push(format!("#n{at}")),
        }
    }
    let mut expression = String::new();
    if !set.is_empty() {
        expression = format!("SET {}", set.join(", "));
    }
    if !remove.is_empty() {
        expression = format!("{expression} REMOVE {}", remove.join(", ")).trim_start().to_owned();
    }
    Difference { expression, names, values }
}

/// Puts a row that must not exist.
pub(crate) fn create(table: &str, item: Item) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)")
        .build()
        .expect("table and item are set");
    TransactWriteItem::builder().put(put).build()
}

/// Puts a row, whatever was there.
pub(crate) fn replace(table: &str, item: Item) -> TransactWriteItem {
    let put = Put::builder().table_name(table).set_item(Some(item)).build().expect("table and item are set");
    TransactWriteItem::builder().put(put).build()
}

/// Puts a row in the place of one whose `name` still is `value`.
pub(crate) fn replace_if(table: &str, item: Item, name: &str, value: AttributeValue) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("#n = :v")
        .expression_attribute_names("#n", name)
        .expression_attribute_values(":v", value)
        .build()
        .expect("table and item are set");
    TransactWriteItem::builder().put(put).build()
}

/// Puts a row, unless there is one whose `name` is greater than this one's.
pub(crate) fn replace_up_to(table: &str, item: Item, name: &str) -> TransactWriteItem {
    let value = item.get(name).cloned().unwrap_or(AttributeValue::Null(true));
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk) OR #n <= :v")
        .expression_attribute_names("#n", name)
        .expression_attribute_values(":v", value)
        .build()
        .expect("table and item are set");
    TransactWriteItem::builder().put(put).build()
}

/// Deletes a row, be it there or not.
pub(crate) fn delete(table: &str, key: &Key<'_>) -> TransactWriteItem {
    let delete =
        Delete::builder().table_name(table).set_key(Some(key.attributes())).build().expect("table and key are set");
    TransactWriteItem::builder().delete(delete).build()
}

/// Deletes a row on condition that `name` still is `value`.
pub(crate) fn delete_if(table: &str, key: &Key<'_>, name: &str, value: AttributeValue) -> TransactWriteItem {
    delete_when(table, key, "#n = :v", name, value)
}

/// Deletes a row on condition that its attribute `name`, if it has one, is `value`.
pub(crate) fn delete_with_at_most(table: &str, key: &Key<'_>, name: &str, value: AttributeValue) -> TransactWriteItem {
    delete_when(table, key, "attribute_not_exists(#n) OR #n = :v", name, value)
}

/// In `condition` the attribute is `#n` and the value `:v`.
fn delete_when(table: &str, key: &Key<'_>, condition: &str, name: &str, value: AttributeValue) -> TransactWriteItem {
    let delete = Delete::builder()
        .table_name(table)
        .set_key(Some(key.attributes()))
        .condition_expression(condition)
        .expression_attribute_names("#n", name)
        .expression_attribute_values(":v", value)
        .build()
        .expect("table and key are set");
    TransactWriteItem::builder().delete(delete).build()
}

/// Writes nothing, on condition that `name` of a row still is `value`.
pub(crate) fn check_is(table: &str, key: &Key<'_>, name: &str, value: AttributeValue) -> TransactWriteItem {
    check_when(table, key, "#n = :v", name, value)
}

/// Writes nothing, on condition that a row is there whose `name` is anything but `value`.
pub(crate) fn check_not(table: &str, key: &Key<'_>, name: &str, value: AttributeValue) -> TransactWriteItem {
    check_when(table, key, "#n <> :v AND attribute_exists(pk)", name, value)
}

/// In `condition` the attribute is `#n` and the value `:v`.
fn check_when(table: &str, key: &Key<'_>, condition: &str, name: &str, value: AttributeValue) -> TransactWriteItem {
    let check = ConditionCheck::builder()
        .table_name(table)
        .set_key(Some(key.attributes()))
        .condition_expression(condition)
        .expression_attribute_names("#n", name)
        .expression_attribute_values(":v", value)
        .build()
        .expect("table, key and condition are set");
    TransactWriteItem::builder().condition_check(check).build()
}

/// Writes the difference of a row whose `version` must still be that of `old`.
pub(crate) fn update(table: &str, key: &Key<'_>, old: &Item, new: &Item) -> TransactWriteItem {
    let Difference { expression, mut names, mut values } = difference(old, new);
    names.insert("#version".to_owned(), "version".to_owned());
    values.insert(":version".to_owned(), old.get("version").cloned().unwrap_or(AttributeValue::N("0".to_owned())));
    let update = Update::builder()
        .table_name(table)
        .set_key(Some(key.attributes()))
        .update_expression(expression)
        .condition_expression("#version = :version")
        .set_expression_attribute_names(Some(names))
        .set_expression_attribute_values(Some(values))
        .build()
        .expect("table, key and expression are set");
    TransactWriteItem::builder().update(update).build()
}

/// Takes one attribute from a row, on condition that it still is `value`.
pub(crate) fn forget_if(table: &str, key: &Key<'_>, name: &str, value: AttributeValue) -> TransactWriteItem {
    let update = Update::builder()
        .table_name(table)
        .set_key(Some(key.attributes()))
        .update_expression("REMOVE #n")
        .condition_expression("#n = :v")
        .expression_attribute_names("#n", name)
        .expression_attribute_values(":v", value)
        .build()
        .expect("table, key and expression are set");
    TransactWriteItem::builder().update(update).build()
}

/// Sets one attribute of a row that must exist, or takes it away, whatever else is written to the row.
pub(crate) fn set_if_there(table: &str, key: &Key<'_>, name: &str, value: Option<AttributeValue>) -> TransactWriteItem {
    let update = Update::builder()
        .table_name(table)
        .set_key(Some(key.attributes()))
        .update_expression(if value.is_some() { "SET #n = :v" } else { "REMOVE #n" })
        .condition_expression("attribute_exists(pk)")
        .expression_attribute_names("#n", name)
        .set_expression_attribute_values(value.map(|value| Item::from([(":v".to_owned(), value)])))
        .build()
        .expect("table, key and expression are set");
    TransactWriteItem::builder().update(update).build()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(old: Value, new: Value, expected: &str) {
        let item = |value: Value| -> Item { serde_dynamo::to_item(value).unwrap() };
        let difference = difference(&item(old), &item(new));
        let mut text = difference.expression;
        for (alias, name) in &difference.names {
            text = text.replace(alias, name);
        }
        assert_eq!(text, expected);
    }

    #[test]
    fn only_what_differs_is_written() {
        check(json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3}), "SET b = :v0");
        check(json!({"a": 1, "b": 2}), json!({"a": 1}), "REMOVE b");
        check(json!({"a": 1}), json!({"a": {"x": 1}, "c": "y"}), "SET a = :v0, c = :v1");
        check(json!({"a": 1, "z": 1}), json!({"b": 2}), "SET b = :v1 REMOVE a, z");
    }
}
