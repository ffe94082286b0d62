//! Bytes that arrive in pieces, as text: a character that a piece cuts in two is held back until it is whole.

use ozma_domain::text;

#[derive(Debug, Default)]
pub(crate) struct Utf8 {
    held: Vec<u8>,
}

impl Utf8 {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let whole = self.held.len() - incomplete(&self.held);
        let rest = self.held.split_off(whole);
        text::printable(&std::mem::replace(&mut self.held, rest))
    }

    pub(crate) fn finish(&mut self) -> String {
        text::printable(&std::mem::take(&mut self.held))
    }
}

/// How many bytes at the end begin a character without completing it.
pub(crate) fn incomplete(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        let length = match byte {
            0b1000_0000..=0b1011_1111 => continue,
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0111 => 4,
            _ => 1,
        };
        return if length > back { back } else { 0 };
    }
    0
}

/// How many bytes at the beginning end a character that began before.
pub(crate) fn continuation(bytes: &[u8]) -> usize {
    bytes.iter().take(3).take_while(|byte| (0b1000_0000..=0b1011_1111).contains(*byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&[u8]], expected: &[&str]) {
        let mut utf8 = Utf8::default();
        let mut texts: Vec<String> = pieces.iter().map(|piece| utf8.push(piece)).collect();
        texts.push(utf8.finish());
        assert_eq!(texts, expected);
    }

    #[test]
    fn characters_are_never_cut() {
        check(&[b"ab"], &["ab", ""]);
        check(&["aä".as_bytes()], &["aä", ""]);
        check(&[b"a\xc3", b"\xa4b"], &["a", "äb", ""]);
        check(&[b"\xf0", b"\x9f", b"\x98", b"\x80"], &["", "", "", "😀", ""]);
        check(&[b"a\xc3"], &["a", "\u{fffd}"]);
        check(&[b"a\xff\0b"], &["a\u{fffd}b", ""]);
        check(&[b"\x80\x80\x80\x80"], &["\u{fffd}\u{fffd}\u{fffd}\u{fffd}", ""]);
    }
}
