//! Receipts: what the control plane said of a stored segment, under its own seal. An agent sends the last one along with
//! the next segment, which then continues the chain without a look at the archive.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;

use crate::audit::Chain;
use crate::id::ExecutionId;
use crate::token::{hmac, same};

/// `<events>.<head>.<seal>`: where the chain stands after segment `sequence`.
pub fn issue(key: &SecretString, execution: ExecutionId, sequence: u32, chain: Chain) -> String {
    let Chain { events, head } = chain;
    format!("{events}.{head}.{}", seal(key, execution, sequence, chain))
}

/// Where the chain stands after segment `sequence`, if that is what the receipt says and nobody else made it.
pub fn check(key: &SecretString, execution: ExecutionId, sequence: u32, receipt: &str) -> Option<Chain> {
    let mut parts = receipt.splitn(3, '.');
    let chain = Chain { events: parts.next()?.parse().ok()?, head: parts.next()?.parse().ok()? };
    same(parts.next()?, &seal(key, execution, sequence, chain)).then_some(chain)
}

fn seal(key: &SecretString, execution: ExecutionId, sequence: u32, chain: Chain) -> String {
    let Chain { events, head } = chain;
    let said = format!("ozma receipt v1\n{execution}\n{sequence}\n{events}\n{head}");
    URL_SAFE_NO_PAD.encode(hmac(key, said.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::digest;
    use crate::id::RunId;

    #[test]
    fn a_receipt_is_good_for_one_place_in_one_chain() {
        let (key, other) = (SecretString::from("key"), SecretString::from("other"));
        let (first, second) = (ExecutionId::new(RunId::first_at(0), 1), ExecutionId::new(RunId::first_at(0), 2));
        let chain = Chain { events: 7, head: digest(b"head") };
        let receipt = issue(&key, first, 3, chain);
        assert_eq!(check(&key, first, 3, &receipt), Some(chain));
        assert_eq!(check(&other, first, 3, &receipt), None);
        assert_eq!(check(&key, second, 3, &receipt), None);
        assert_eq!(check(&key, first, 4, &receipt), None);
        let forged =
            [receipt.replacen('7', "8", 1), receipt[..receipt.len() - 1].to_owned(), String::new(), "..".to_owned()];
        for forged in forged {
            assert_eq!(check(&key, first, 3, &forged), None, "{forged}");
        }
    }
}
