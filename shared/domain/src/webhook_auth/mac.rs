//! Message authentication codes, and how what a header gives is compared with them.

use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::limits;

#[derive(Clone, Copy)]
pub(super) enum Digest {
    /// Under an HMAC it is still sound, and Vercel has nothing else.
    Sha1,
    Sha256,
}

impl Digest {
    /// The HMAC of `said`, one part after the other.
    pub(super) fn mac(self, key: &[u8], said: [&[u8]; 2]) -> Vec<u8> {
        fn of<M: Mac + hmac::digest::KeyInit>(key: &[u8], said: [&[u8]; 2]) -> Vec<u8> {
            let mut mac = <M as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
            said.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }
        match self {
            Self::Sha1 => of::<Hmac<Sha1>>(key, said),
            Self::Sha256 => of::<Hmac<Sha256>>(key, said),
        }
    }

    /// Whether one of the signatures is that of one of the keys. The work depends on how long the parts are and on nothing
    /// else: a key that is missing is made up for, by one under which nothing is right.
    pub(super) fn any_right(self, keys: &[Option<&[u8]>], said: [&[u8]; 2], given: &[Vec<u8>]) -> bool {
        let mut right = Choice::from(0);
        for n in 0..keys.len().max(limits::WEBHOOK_SECRETS) {
            let key = keys.get(n).copied().flatten();
            let expected = self.mac(key.unwrap_or(b"of nobody"), said);
            for signature in given {
                right |= signature.as_slice().ct_eq(&expected) & Choice::from(u8::from(key.is_some()));
            }
        }
        right.into()
    }

    /// Reads a signature in hexadecimal. Every one of these senders writes small letters; in one form alone, two texts are
    /// never the same signature.
    pub(super) fn read_hex(self, text: &str) -> Option<Vec<u8>> {
        let bytes = match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        };
        let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if digits && text.len() == 2 * bytes { hex::decode(text).ok() } else { None }
    }
}
