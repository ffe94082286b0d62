//! Gzip with a bound on what comes out: a small body must not unpack into all of memory.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GunzipError {
    #[error("the body is not gzip")]
    NotGzip,
    #[error("the body unpacks to more than {limit} bytes")]
    TooLarge { limit: usize },
}

pub(crate) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    // Writing into a Vec cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

pub(crate) fn unpack(bytes: &[u8], limit: usize) -> Result<Vec<u8>, GunzipError> {
    let mut unpacked = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes).take(bound).read_to_end(&mut unpacked).map_err(|_| GunzipError::NotGzip)?;
    if unpacked.len() > limit { Err(GunzipError::TooLarge { limit }) } else { Ok(unpacked) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_unpacks_within_the_limit() {
        assert_eq!(unpack(&pack(b"hello"), 5), Ok(b"hello".to_vec()));
        assert_eq!(unpack(&pack(b"hello"), 4), Err(GunzipError::TooLarge { limit: 4 }));
        assert_eq!(unpack(b"hello", 100), Err(GunzipError::NotGzip));
        assert_eq!(unpack(&pack(&vec![0; 50_000_000]), 1_000), Err(GunzipError::TooLarge { limit: 1_000 }));
    }
}
