//! Why a provider did not do what it was asked to, and whether to ask again.

use ozma_domain::text;

/// What went wrong with a call. None of them holds a token or an address, nor does its `Debug`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "the provider does not take our credentials; check that they are of this provider and not expired or revoked"
    )]
    Unauthorized,
    /// Providers say the same of what is there but not for us.
    #[error("the provider has no such thing, or does not show it to us; check what the app or token may see")]
    NotFound,
    #[error("the provider takes no more calls for {retry_seconds} s")]
    RateLimited { retry_seconds: u64 },
    /// Also an answer that cannot be used: then `status` is the one that it came with.
    #[error("the provider refused with {status}: {message}")]
    Refused {
        status: u16,
        /// One line, shortened.
        message: String,
    },
    /// Nobody knows whether the call was heard.
    #[error("the provider cannot be reached: {reason}")]
    Unreachable { reason: String },
}

/// What a caller does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Ask again, at the caller's own pace.
    Retry,
    /// Not before that many seconds: providers ban who keeps calling.
    RetryAfter { seconds: u64 },
    /// Asking again changes nothing until somebody does something about it.
    Park,
}

impl Error {
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::RateLimited { retry_seconds } => Disposition::RetryAfter { seconds: *retry_seconds },
            Self::Unreachable { .. } => Disposition::Retry,
            // Request time-out, and what is wrong on the provider's side.
            Self::Refused { status: 408 | 500.., .. } => Disposition::Retry,
            Self::Unauthorized | Self::NotFound | Self::Refused { .. } => Disposition::Park,
        }
    }

    pub fn is_transient(&self) -> bool {
        self.disposition() != Disposition::Park
    }

    pub(crate) fn refused(status: u16, message: &str) -> Self {
        Self::Refused { status, message: text::shorten(&text::one_line(message), 300) }
    }

    pub(crate) fn unreachable(reason: &str) -> Self {
        Self::Unreachable { reason: text::shorten(&text::one_line(reason), 300) }
    }
}

/// `None` where there is no such thing.
pub(crate) fn found<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound) => Ok(None),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_provider_may_get_over_is_tried_again() {
        let check = |err: Error, expected| {
            assert_eq!(err.disposition(), expected, "{err}");
            assert_eq!(err.is_transient(), expected != Disposition::Park, "{err}");
        };
        check(Error::Unauthorized, Disposition::Park);
        check(Error::NotFound, Disposition::Park);
        check(Error::RateLimited { retry_seconds: 7 }, Disposition::RetryAfter { seconds: 7 });
        check(Error::unreachable("no route"), Disposition::Retry);
        for (status, expected) in
            [(200, Disposition::Park), (403, Disposition::Park), (408, Disposition::Retry), (422, Disposition::Park)]
        {
            check(Error::refused(status, "no"), expected);
        }
        check(Error::refused(500, "no"), Disposition::Retry);
        check(Error::refused(503, "no"), Disposition::Retry);
    }

    #[test]
    fn what_a_provider_says_becomes_one_short_line() {
        let told = Error::refused(422, &format!("a\r\nb {}", "x".repeat(1_000))).to_string();
        assert!(told.starts_with("the provider refused with 422: a b xxx") && told.ends_with('…'), "{told}");
        assert!(told.chars().count() < 340, "{told}");
    }
}
