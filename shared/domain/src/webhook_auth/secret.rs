//! The secrets by which webhooks are believed, and who makes them.

use secrecy::{ExposeSecret, SecretString};

use crate::limits;
use crate::standard_webhooks::{InvalidSecret, SigningSecret};
use crate::token::{InvalidToken, WebhookToken};

use super::{Scheme, WebhookAuth};

/// A secret of the form that its [`WebhookAuth`] wants. For another one it is no secret at all: nothing is right under it.
#[derive(Clone, Debug)]
pub struct WebhookSecret(Form);

#[derive(Clone, Debug)]
enum Form {
    /// `ozw_…`
    Token(WebhookToken),
    /// The key of the HMAC as it is. Stripe's begins with `whsec_` and is a text all the same.
    Text(SecretString),
    /// `whsec_` and base64 of the key.
    Signing(SigningSecret),
}

/// A text that is not a secret. It does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhookSecret {
    #[error("secret: {0}")]
    Token(InvalidToken),
    #[error("secret: {0}")]
    Signing(InvalidSecret),
    #[error(
        "secret: {} to {} visible ASCII characters, as the service shows them; without spaces around them",
        limits::WEBHOOK_SECRET_CHARS_MIN,
        limits::WEBHOOK_SECRET_CHARS
    )]
    Text,
}

impl WebhookAuth {
    /// Reads a secret that the owner brings: what the service made, or what [`Self::new_secret`] made before.
    pub fn parse_secret(self, text: &str) -> Result<WebhookSecret, InvalidWebhookSecret> {
        let form = match self {
            Self::Token | Self::UrlToken => Form::Token(text.parse().map_err(InvalidWebhookSecret::Token)?),
            Self::Signature { scheme: Scheme::StandardWebhooks } => {
                Form::Signing(text.parse().map_err(InvalidWebhookSecret::Signing)?)
            }
            Self::Signature { .. } => {
                // A space or a sign without looks that was copied along would be a key under which nothing is right.
                let visible = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && text.trim() == text;
                let chars = limits::WEBHOOK_SECRET_CHARS_MIN..=limits::WEBHOOK_SECRET_CHARS;
                if !visible || !chars.contains(&text.len()) {
                    return Err(InvalidWebhookSecret::Text);
                }
                Form::Text(SecretString::from(text))
            }
        };
        Ok(WebhookSecret(form))
    }

    /// A new secret, to be brought to the sender. None where the service makes it, and its owner brings it here.
    pub fn new_secret(self, random: [u8; 32]) -> Option<WebhookSecret> {
        let token = WebhookToken::new(random);
        match self {
            Self::Token | Self::UrlToken => Some(WebhookSecret(Form::Token(token))),
            // With prefix and checksum as well: scanners find it wherever it leaks.
            Self::Signature { scheme: Scheme::Github | Scheme::Gitlab | Scheme::Jira } => {
                Some(WebhookSecret(Form::Text(SecretString::from(token.expose()))))
            }
            Self::Signature { scheme: Scheme::StandardWebhooks } => Some(SigningSecret::new(random).into()),
            Self::Signature {
                scheme:
                    Scheme::Stripe | Scheme::Sentry | Scheme::Pagerduty | Scheme::Vercel | Scheme::Linear | Scheme::Slack,
            } => None,
        }
    }
}

impl WebhookSecret {
    pub fn expose(&self) -> &str {
        match &self.0 {
            Form::Token(token) => token.expose(),
            Form::Text(text) => text.expose_secret(),
            Form::Signing(secret) => secret.expose(),
        }
    }

    pub(super) fn token(&self) -> Option<&str> {
        if let Form::Token(token) = &self.0 { Some(token.expose()) } else { None }
    }

    /// A secret that is sent as it is.
    pub(super) fn said(&self) -> Option<&str> {
        match &self.0 {
            Form::Token(token) => Some(token.expose()),
            Form::Text(text) => Some(text.expose_secret()),
            Form::Signing(_) => None,
        }
    }

    /// The key of a scheme whose secret is a text.
    pub(super) fn text_key(&self) -> Option<&[u8]> {
        if let Form::Text(text) = &self.0 { Some(text.expose_secret().as_bytes()) } else { None }
    }

    pub(super) fn signing(&self) -> Option<&SigningSecret> {
        if let Form::Signing(secret) = &self.0 { Some(secret) } else { None }
    }

    /// The key of Standard Webhooks.
    pub(super) fn signing_key(&self) -> Option<&[u8]> {
        self.signing().map(SigningSecret::key)
    }
}

impl From<SigningSecret> for WebhookSecret {
    fn from(secret: SigningSecret) -> Self {
        Self(Form::Signing(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(auth: WebhookAuth, text: &str, expected: Result<(), &str>) {
        match (auth.parse_secret(text), expected) {
            (Ok(secret), Ok(())) => assert_eq!(secret.expose(), text),
            (Err(err), Err(expected)) => assert!(err.to_string().contains(expected), "{auth:?} {text}: {err}"),
            (told, _) => panic!("{auth:?} {text}: {told:?}"),
        }
    }

    const STANDARD: WebhookAuth = WebhookAuth::Signature { scheme: Scheme::StandardWebhooks };

    fn texts() -> impl Iterator<Item = WebhookAuth> {
        let signed = WebhookAuth::ALL.into_iter().filter(|auth| matches!(auth, WebhookAuth::Signature { .. }));
        signed.filter(|auth| *auth != STANDARD)
    }

    #[test]
    fn a_secret_has_the_form_that_its_sender_has() {
        let token = WebhookToken::new([7; 32]);
        for auth in [WebhookAuth::Token, WebhookAuth::UrlToken] {
            check(auth, token.expose(), Ok(()));
            check(auth, &token.expose().replacen("BwcH", "BwcI", 1), Err("its checksum is wrong"));
            check(auth, "a secret of somebody", Err("the form ozw_"));
        }
        check(STANDARD, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Ok(()));
        check(STANDARD, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", Err("whsec_ and base64"));
        check(STANDARD, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Err("whsec_ and base64"));
        for auth in texts() {
            for text in ["It's a Secret to Everybody", "whsec_x!", "12345678", &"x".repeat(512)] {
                check(auth, text, Ok(()));
            }
            let hidden = ["a secret\u{200b}", "a secret\n", " a secret", "a secret ", "a\tsecret", "Geheimnis \u{e4}"];
            for text in hidden.into_iter().chain(["", "1234567", "        ", &"x".repeat(513)]) {
                check(auth, text, Err("8 to 512 visible ASCII"));
            }
        }
    }

    #[test]
    fn a_new_secret_is_one_of_the_form_and_the_services_make_their_own() {
        let makers = WebhookAuth::ALL.into_iter().filter_map(|auth| {
            let secret = auth.new_secret([7; 32])?;
            check(auth, secret.expose(), Ok(()));
            assert_ne!(auth.new_secret([8; 32]).unwrap().expose(), secret.expose());
            Some(secret.expose()[..4].to_owned())
        });
        assert_eq!(makers.collect::<Vec<_>>(), ["ozw_", "ozw_", "ozw_", "ozw_", "ozw_", "whse"]);
    }

    #[test]
    fn nothing_prints_a_secret() {
        for auth in [WebhookAuth::Token, STANDARD, WebhookAuth::Signature { scheme: Scheme::Github }] {
            let secret = auth.new_secret([7; 32]).unwrap();
            assert!(!format!("{secret:?}").contains(&secret.expose()[8..]), "{secret:?}");
        }
    }
}
