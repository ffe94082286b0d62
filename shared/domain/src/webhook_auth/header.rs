//! What a request says in its headers, and that it says it once.

use crate::limits;

use super::Unverified;

/// What there is under the name of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header<'a> {
    Missing,
    Once(&'a str),
    /// Several times: what one reader believes, the next one might not have seen.
    Repeated,
    /// Bytes that are no UTF-8.
    Unreadable,
}

/// The headers of a request, by their lower-case names.
pub(super) type Headers<'r, 'a> = &'r dyn Fn(&str) -> Header<'a>;

const ID: &str = "1 to 255 visible ASCII characters";

impl<'a> Header<'a> {
    /// Of all the values that there are under one name.
    pub fn of(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Missing,
            (Some(value), None) => std::str::from_utf8(value).map_or(Self::Unreadable, Self::Once),
            (Some(_), Some(_)) => Self::Repeated,
        }
    }
}

pub(super) fn optional<'a>(headers: Headers<'_, 'a>, header: &'static str) -> Result<Option<&'a str>, Unverified> {
    match headers(header) {
        Header::Missing => Ok(None),
        Header::Once(value) => Ok(Some(value)),
        Header::Repeated => Err(Unverified::Repeated { header }),
        Header::Unreadable => Err(Unverified::Malformed { part: header, form: "text" }),
    }
}

pub(super) fn required<'a>(
    headers: Headers<'_, 'a>,
    header: &'static str,
    hint: &'static str,
) -> Result<&'a str, Unverified> {
    optional(headers, header)?.ok_or(Unverified::Missing { header, hint })
}

/// A header that names something, where the scheme has it and the request as well.
pub(super) fn name(headers: Headers<'_, '_>, header: Option<&'static str>) -> Result<Option<String>, Unverified> {
    let Some(header) = header else { return Ok(None) };
    let Some(value) = optional(headers, header)? else { return Ok(None) };
    if is_id(value) { Ok(Some(value.to_owned())) } else { Err(Unverified::Malformed { part: header, form: ID }) }
}

/// Whether a row could be kept under it, and a line of a log hold it.
pub(super) fn is_id(text: &str) -> bool {
    (1..=limits::DELIVERY_ID_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}
