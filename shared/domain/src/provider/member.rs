//! Reading a payload member by member. What is absent, null or of the wrong kind is named by its path, as in
//! `pull_request.head.sha`; members that nobody asks for are not looked at.

use serde_json::Value;

use crate::limits;
use crate::template::InvalidField;

/// A member of a payload, there or not.
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    path: String,
    /// Null is as good as absent.
    value: Option<&'a Value>,
}

impl<'a> Member<'a> {
    /// The payload, which has to be an object.
    pub(super) fn root(payload: &'a Value) -> Result<Self, InvalidField> {
        let root = Self { path: "payload".to_owned(), value: Some(payload) };
        if payload.is_object() { Ok(Self { path: String::new(), ..root }) } else { Err(root.invalid("not an object")) }
    }

    /// A member of this object. One of an object that is not there is not there either.
    pub(super) fn at(&self, name: &str) -> Result<Self, InvalidField> {
        let value = match self.value {
            Some(Value::Object(members)) => members.get(name).filter(|value| !value.is_null()),
            None => None,
            Some(_) => return Err(self.invalid("not an object")),
        };
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Ok(Self { path, value })
    }

    /// Whether this object names a member, be it null.
    pub(super) fn names(&self, name: &str) -> bool {
        self.value.and_then(Value::as_object).is_some_and(|members| members.contains_key(name))
    }

    pub(super) fn is_there(&self) -> bool {
        self.value.is_some()
    }

    /// Itself, if it is there.
    pub(super) fn there(self) -> Option<Self> {
        self.is_there().then_some(self)
    }

    /// All of it, whatever it is, for what has a form of its own.
    pub(super) fn value(&self) -> Option<&'a Value> {
        self.value
    }

    pub(super) fn text(&self) -> Result<Option<&'a str>, InvalidField> {
        self.read(Value::as_str, "not a text")
    }

    pub(super) fn number(&self) -> Result<Option<u64>, InvalidField> {
        self.read(Value::as_u64, "not a whole number from 0")
    }

    pub(super) fn flag(&self) -> Result<bool, InvalidField> {
        Ok(self.read(Value::as_bool, "neither true nor false")?.unwrap_or_default())
    }

    /// The items of a list that may be absent; of a long one its beginning.
    pub(super) fn items(&self) -> Result<Vec<Self>, InvalidField> {
        let items = self.read(Value::as_array, "not a list")?.map(Vec::as_slice).unwrap_or_default();
        let items = items.iter().enumerate().take(limits::EVENT_ITEMS);
        Ok(items.map(|(at, value)| Self { path: format!("{}[{at}]", self.path), value: Some(value) }).collect())
    }

    /// What the event cannot do without.
    pub(super) fn required<T>(&self, read: Option<T>) -> Result<T, InvalidField> {
        read.ok_or_else(|| self.invalid("missing; the provider sends it with each event of this kind"))
    }

    pub(super) fn invalid(&self, reason: &str) -> InvalidField {
        InvalidField::new(self.path.clone(), reason)
    }

    fn read<T>(&self, read: impl Fn(&'a Value) -> Option<T>, otherwise: &str) -> Result<Option<T>, InvalidField> {
        match self.value {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.invalid(otherwise)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let payload = json!({"a": {"b": [{"c": 1}, null], "n": null}, "t": "x"});
        let root = Member::root(&payload).unwrap();
        let a = root.at("a").unwrap();
        let items = a.at("b").unwrap().items().unwrap();
        assert_eq!(items[0].at("c").unwrap().number(), Ok(Some(1)));
        let told = |err: Result<(), InvalidField>| err.unwrap_err().to_string();
        assert_eq!(told(items[0].at("c").unwrap().text().map(drop)), "a.b[0].c: not a text");
        assert_eq!(told(items[1].at("c").map(drop)), "a.b[1]: not an object");
        assert_eq!(told(root.at("t").unwrap().at("u").map(drop)), "t: not an object");
        let absent = a.at("n").unwrap().at("deeper").unwrap();
        assert_eq!((absent.text(), absent.flag()), (Ok(None), Ok(false)));
        assert!(told(absent.required(absent.text().unwrap()).map(drop)).starts_with("a.n.deeper: missing; "));
        assert_eq!(told(Member::root(&json!([])).map(drop)), "payload: not an object");
    }
}
