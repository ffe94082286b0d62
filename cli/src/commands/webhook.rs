//! `oz webhook`: addresses at which services tell what happened.

use clap::{Args, Subcommand, ValueEnum};
use ozma_api::wire::{RotateSecretRequest, Webhook, WebhookConfig};
use ozma_domain::id::SecretName;
use ozma_domain::provider::Own;
use ozma_domain::receiver::ReceiverUrl;
use ozma_domain::redelivery::Look;
use ozma_domain::text::one_line;
use ozma_domain::webhook::Connection;
use ozma_domain::webhook_auth::{Scheme, WebhookAuth};
use secrecy::ExposeSecret;

use crate::args::{Format, Global};
use crate::ask;
use crate::client::Client;
use crate::commands::secret::read_value;
use crate::connect;
use crate::control_plane::Work;
use crate::exit::{Exit, Failure};
use crate::output::{self, Text};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  oz webhook create --name acme --scheme github --mention @oz     prints what to enter at GitHub
  oz webhook update acme --answer-with GITHUB_APP_KEY --app-id 7  comments there what becomes of events
  oz webhook create --name billing --scheme stripe                then, with the secret that Stripe shows:
  pbpaste | oz webhook rotate-secret billing --secret-stdin
  oz webhook create --name deploys --token                        for senders of your own: Authorization: Bearer …
  oz delivery list --webhook acme                                 what came in, and what became of it";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum WebhookCommand {
    /// Make an address for the events of a service
    #[command(after_help = EXAMPLES)]
    Create(CreateArgs),
    /// List webhooks
    List,
    /// Show a webhook
    Get {
        /// Its id or its name
        webhook: String,
    },
    /// Change a webhook; what is not named stays as it is
    Update(UpdateArgs),
    /// Delete a webhook; runs that it started go on
    Delete {
        /// Its id or its name
        webhook: String,
        /// Do not ask
        #[arg(long)]
        force: bool,
    },
    /// Give it a new secret; the one before works for 24 hours more
    RotateSecret {
        /// Its id or its name
        webhook: String,
        /// Read the secret that its service shows from standard input, or ask for it
        #[arg(long)]
        secret_stdin: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Unique within the team
    #[arg(short, long)]
    name: String,
    #[command(flatten)]
    auth: AuthArgs,
    /// Read the secret that its service shows from standard input, or ask for it
    #[arg(long)]
    secret_stdin: bool,
    #[command(flatten)]
    fields: Fields,
}

/// How a sender shows who it is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct AuthArgs {
    /// A service that signs: github, gitlab, jira, linear, pagerduty, sentry, slack, `standard_webhooks`, stripe, vercel
    #[arg(long)]
    scheme: Option<Scheme>,
    /// A token in the header: Authorization: Bearer …
    #[arg(long)]
    token: bool,
    /// A token in the address, for senders that can do nothing else; it is in every log on its way
    #[arg(long)]
    url_token: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Its id or its name
    webhook: String,
    /// A new name
    #[arg(short, long)]
    name: Option<String>,
    /// Take nothing any more
    #[arg(long, conflicts_with = "resume")]
    pause: bool,
    /// Take events again
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Default, Args)]
struct Fields {
    /// Whose payloads come, where the scheme does not say it
    #[arg(long, value_enum)]
    provider: Option<ProviderArg>,

    /// The header by which its sender tells deliveries apart, where it has one of its own
    #[arg(long, value_name = "HEADER")]
    delivery_header: Option<String>,

    /// 600 if not given
    #[arg(long, value_name = "DELIVERIES")]
    per_minute: Option<u32>,

    /// How people address agents there, such as @oz
    #[arg(long, value_name = "NAME")]
    mention: Option<String>,

    /// An account that agents act as: what it does starts nothing; repeatable
    #[arg(long, value_name = "LOGIN")]
    own_login: Vec<String>,

    /// An app that agents act through: what it does starts nothing; repeatable
    #[arg(long, value_name = "ID")]
    own_app: Vec<u64>,

    /// Tell people there what becomes of events, with the credentials in that secret: of GitHub the private key of an App, else
    /// a token
    #[arg(long, value_name = "SECRET")]
    answer_with: Option<SecretName>,

    /// The ID of the GitHub App whose key the secret is
    #[arg(long, value_name = "ID")]
    app_id: Option<u64>,

    /// The e-mail address of the account whose API token of Jira the secret is
    #[arg(long, value_name = "EMAIL")]
    account: Option<String>,

    /// Where its API begins, of an instance or a site of one's own: <https://acme.atlassian.net>
    #[arg(long, value_name = "URL")]
    api_url: Option<ReceiverUrl>,

    /// Tell nobody any more
    #[arg(long, conflicts_with_all = ["answer_with", "app_id", "account", "api_url"])]
    no_answers: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProviderArg {
    Github,
    Gitlab,
    Jira,
    Linear,
    Slack,
}

pub(crate) async fn run(global: &Global, command: WebhookCommand) -> Result<Exit, Failure> {
    // Runs come with events, to a control plane that stays.
    let connection = connect::connect(global, None, Work::NoStarts).await?;
    let result = carry_out(global, &connection.client, command).await;
    let told_address = *result.as_ref().unwrap_or(&false);
    if told_address && connection.is_embedded() {
        output::note("note: no control plane is running; `oz up` takes webhooks, by default at port 8484");
    }
    connection.close().await;
    result.map(|_| Exit::Succeeded)
}

/// Whether an address was told that somebody is about to use.
async fn carry_out(global: &Global, client: &Client, command: WebhookCommand) -> Result<bool, Failure> {
    match command {
        WebhookCommand::Create(args) => {
            let config = args.config().await?;
            print_with_secret(global, &client.create_webhook(&config).await?)?;
            return Ok(true);
        }
        WebhookCommand::List => {
            let list = client.webhooks().await?;
            let header = ["ID", "NAME", "STATE", "AUTH", "UPDATED"];
            let now = output::now();
            let row = |webhook: &Webhook| -> Vec<Text> {
                vec![
                    Text::Id(webhook.id.to_string()),
                    one_line(&webhook.name).into(),
                    state(webhook).into(),
                    auth(webhook.auth).into(),
                    values::age(webhook.last_updated, now).into(),
                ]
            };
            output::list(global.output_format, &list, &list.webhooks, &header, row, "There are no webhooks.")?;
        }
        WebhookCommand::Get { webhook } => {
            output::item(global.output_format, &client.webhook(&webhook).await?, lines)?;
        }
        WebhookCommand::Update(args) => {
            let webhook = client.webhook(&args.webhook).await?;
            let id = webhook.id.clone();
            output::item(global.output_format, &client.update_webhook(&id, &args.apply(webhook)?).await?, lines)?;
        }
        WebhookCommand::Delete { webhook, force } => {
            let Webhook { id, name, .. } = client.webhook(&webhook).await?;
            if !ask::confirm(&format!("Delete the webhook {}?", one_line(&name)), force).await? {
                return Err(Failure::new("nothing was deleted"));
            }
            let deleted = client.delete_webhook(&id).await?;
            output::item(global.output_format, &deleted, |_| vec![("Deleted", one_line(&name))])?;
        }
        WebhookCommand::RotateSecret { webhook, secret_stdin } => {
            let Webhook { id, .. } = client.webhook(&webhook).await?;
            let request = RotateSecretRequest { secret: read_secret(secret_stdin).await? };
            print_with_secret(global, &client.rotate_webhook_secret(&id, &request).await?)?;
            return Ok(true);
        }
    }
    Ok(false)
}

async fn read_secret(wanted: bool) -> Result<Option<String>, Failure> {
    if !wanted {
        return Ok(None);
    }
    let value = tokio::task::spawn_blocking(|| read_value("The secret that the service shows: "));
    let value = value.await.map_err(|err| Failure::new("cannot read the secret").because(err))??;
    Ok(Some(value.expose_secret().to_owned()))
}

impl CreateArgs {
    async fn config(self) -> Result<WebhookConfig, Failure> {
        let auth = match self.auth {
            AuthArgs { scheme: Some(scheme), .. } => WebhookAuth::Signature { scheme },
            AuthArgs { url_token: true, .. } => WebhookAuth::UrlToken,
            AuthArgs { .. } => WebhookAuth::Token,
        };
        let mut config = WebhookConfig { name: Some(self.name), auth: Some(auth), ..WebhookConfig::default() };
        config.secret = read_secret(self.secret_stdin).await?;
        self.fields.add_to(&mut config)?;
        Ok(config)
    }
}

impl UpdateArgs {
    fn apply(self, webhook: Webhook) -> Result<WebhookConfig, Failure> {
        let mut config = WebhookConfig {
            name: self.name.or(Some(webhook.name)),
            paused: Some((webhook.paused || self.pause) && !self.resume),
            auth: Some(webhook.auth),
            provider: webhook.provider,
            delivery_header: webhook.delivery_header,
            deliveries_per_minute: Some(webhook.deliveries_per_minute),
            own: webhook.own,
            connection: webhook.connection,
            secret: None,
        };
        self.fields.add_to(&mut config)?;
        Ok(config)
    }
}

impl Fields {
    fn add_to(self, config: &mut WebhookConfig) -> Result<(), Failure> {
        if let Some(provider) = self.provider.and_then(|provider| provider.to_possible_value()) {
            config.provider = Some(provider.get_name().to_owned());
        }
        config.delivery_header = self.delivery_header.or(config.delivery_header.take());
        config.deliveries_per_minute = self.per_minute.or(config.deliveries_per_minute);
        let Own { mut logins, mut app_ids, mention } = config.own.take().unwrap_or_default();
        logins.extend(self.own_login);
        app_ids.extend(self.own_app);
        let own = Own { logins, app_ids, mention: self.mention.or(mention) };
        config.own = Some(own).filter(|own| *own != Own::default());
        let before = config.connection.take().filter(|_| !self.no_answers);
        let secret = self.answer_with.or_else(|| before.as_ref().map(|before| before.secret.clone()));
        if secret.is_none() && (self.app_id.is_some() || self.account.is_some() || self.api_url.is_some()) {
            return Err(Failure::new("--app-id, --account and --api-url go with --answer-with SECRET"));
        }
        config.connection = secret.map(|secret| Connection {
            secret,
            app_id: self.app_id.or_else(|| before.as_ref().and_then(|before| before.app_id)),
            account: self.account.or_else(|| before.as_ref().and_then(|before| before.account.clone())),
            url: self.api_url.or_else(|| before.and_then(|before| before.url)),
        });
        Ok(())
    }
}

fn auth(auth: WebhookAuth) -> String {
    match auth {
        WebhookAuth::Token => "token".to_owned(),
        WebhookAuth::UrlToken => "token in the address".to_owned(),
        WebhookAuth::Signature { scheme } => scheme.to_string(),
    }
}

fn connected(connection: &Connection) -> String {
    let Connection { secret, app_id, account, url } = connection;
    let parts = [
        app_id.map(|id| format!("as app {id}")),
        account.as_ref().map(|account| format!("as {}", one_line(account))),
        url.as_ref().map(|url| format!("at {}", url.as_str())),
    ];
    let parts = parts.into_iter().flatten().map(|part| format!(", {part}"));
    format!("with the secret {secret}{}", parts.collect::<String>())
}

/// What a service could not deliver: `2; another attempt was asked for of 1; looked at 2026-11-21T00:00:00Z`.
fn lost(look: &Look) -> String {
    let mut parts = vec![if look.lost == 0 { "none".to_owned() } else { look.lost.to_string() }];
    if look.asked > 0 {
        parts.push(format!("another attempt was asked for of {}", look.asked));
    }
    if look.given_up > 0 {
        parts.push(format!("{} given up", look.given_up));
    }
    parts.push(format!("looked at {}", look.looked_at));
    parts.extend(look.trouble.as_deref().map(one_line));
    parts.join("; ")
}

fn state(webhook: &Webhook) -> &'static str {
    match webhook {
        Webhook { has_secret: false, .. } => "waits for its secret",
        Webhook { paused: true, .. } => "paused",
        Webhook { .. } => "active",
    }
}

fn lines(webhook: &Webhook) -> Vec<(&'static str, String)> {
    let own = webhook.own.clone().unwrap_or_default();
    let accounts = own.logins.into_iter().chain(own.app_ids.iter().map(|id| format!("app {id}")));
    let lines = [
        ("ID", webhook.id.to_string()),
        ("Name", one_line(&webhook.name)),
        ("State", state(webhook).to_owned()),
        ("Auth", auth(webhook.auth)),
        ("Provider", webhook.provider.clone().unwrap_or_default()),
        ("Mention", own.mention.unwrap_or_default()),
        ("Own accounts", accounts.collect::<Vec<_>>().join(", ")),
        ("Answers", webhook.connection.as_ref().map(connected).unwrap_or_default()),
        ("Lost events", webhook.look.as_ref().map(lost).unwrap_or_default()),
        ("Delivery header", webhook.delivery_header.clone().unwrap_or_default()),
        ("Per minute", webhook.deliveries_per_minute.to_string()),
        ("Address", webhook.url.clone()),
        ("Secret", webhook.secret.clone().unwrap_or_default()),
        ("Rotated", webhook.secret_rotated_at.map(|at| at.to_string()).unwrap_or_default()),
        ("Updated", webhook.last_updated.to_string()),
    ];
    lines.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// The one time that a secret is told, with what to do with it.
fn print_with_secret(global: &Global, webhook: &Webhook) -> Result<(), Failure> {
    output::item(global.output_format, webhook, lines)?;
    if !matches!(global.output_format, Format::Pretty | Format::Text) {
        return Ok(());
    }
    if !webhook.has_secret {
        let name = one_line(&webhook.name);
        output::note(format_args!(
            "\nIts service makes the secret. Enter the address there, then bring the secret that it shows:\n\n  \
             oz webhook rotate-secret {name} --secret-stdin"
        ));
    } else if let Some(secret) = &webhook.secret {
        output::note("\nThe secret is not shown again. Enter it at the sender, with the address.");
        if let Some(example) = example(webhook, secret) {
            output::note("To try it:\n");
            output::line(example)?;
        }
    }
    Ok(())
}

/// For senders of one's own.
fn example(webhook: &Webhook, secret: &str) -> Option<String> {
    let (url, json) = (&webhook.url, "-H 'content-type: application/json' -d '{\"hello\":\"world\"}'");
    match webhook.auth {
        WebhookAuth::Token => Some(format!("curl -sS '{url}' -H 'authorization: Bearer {secret}' {json}")),
        WebhookAuth::UrlToken => Some(format!("curl -sS '{url}' {json}")),
        WebhookAuth::Signature { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn webhook() -> Webhook {
        serde_json::from_value(serde_json::json!({
            "id": "wh_0123456789abcdefABCDEF", "name": "acme", "paused": true, "has_secret": true,
            "auth": {"mode": "signature", "scheme": "github"}, "provider": "github", "deliveries_per_minute": 600,
            "own": {"logins": ["ozma[bot]"], "app_ids": [7], "mention": "@oz"},
            "url": "http://127.0.0.1:8484/webhooks/wh_0123456789abcdefABCDEF",
            "created_at": "2026-11-21T00:00:00Z", "last_updated": "2026-11-21T00:00:00Z",
        }))
        .unwrap()
    }

    fn parsed(line: &str) -> WebhookCommand {
        match Cli::try_parse_from(line.split(' ')).unwrap_or_else(|err| panic!("{err}")).command {
            Command::Webhook(command) => command,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_command_says_what_is_created() {
        let created = async |line: &str| match parsed(line) {
            WebhookCommand::Create(args) => serde_json::to_value(args.config().await.unwrap()).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            created("oz webhook create -n acme --scheme github --mention @oz --own-app 7").await,
            serde_json::json!({
                "name": "acme", "auth": {"mode": "signature", "scheme": "github"},
                "own": {"logins": [], "app_ids": [7], "mention": "@oz"},
            })
        );
        assert_eq!(created("oz webhook create -n d --token").await["auth"], serde_json::json!({"mode": "token"}));
        assert_eq!(created("oz webhook create -n d --url-token").await["auth"]["mode"], "url_token");
    }

    #[test]
    fn what_an_update_does_not_name_stays() {
        let updated = |line: &str| match parsed(line) {
            WebhookCommand::Update(args) => args.apply(webhook()).unwrap(),
            other => panic!("{other:?}"),
        };
        let same = updated("oz webhook update acme");
        assert_eq!((same.paused, same.provider.as_deref()), (Some(true), Some("github")));
        assert_eq!(same.own, webhook().own);
        let resumed = updated("oz webhook update acme --resume --own-login ann --name b");
        assert_eq!((resumed.paused, resumed.name.as_deref()), (Some(false), Some("b")));
        assert_eq!(resumed.own.unwrap().logins, ["ozma[bot]", "ann"]);
    }

    #[test]
    fn a_webhook_is_shown_by_what_it_has() {
        let shown = lines(&webhook()).into_iter().map(|(name, value)| format!("{name}: {value}"));
        insta::assert_snapshot!(shown.collect::<Vec<_>>().join("\n"), @r"
        ID: wh_0123456789abcdefABCDEF
        Name: acme
        State: paused
        Auth: github
        Provider: github
        Mention: @oz
        Own accounts: ozma[bot], app 7
        Per minute: 600
        Address: http://127.0.0.1:8484/webhooks/wh_0123456789abcdefABCDEF
        Updated: 2026-11-21T00:00:00Z
        ");
        assert_eq!(state(&Webhook { has_secret: false, ..webhook() }), "waits for its secret");
    }

    #[test]
    fn what_is_lost_is_told_as_far_as_it_is_known() {
        let at = "2026-11-21T00:00:00Z".parse().unwrap();
        let look = |lost, asked, given_up, trouble: Option<&str>| {
            let trouble = trouble.map(str::to_owned);
            super::lost(&Look { looked_at: at, arrived_until: at, lost, asked, given_up, trouble })
        };
        assert_eq!(look(0, 0, 0, None), "none; looked at 2026-11-21T00:00:00Z");
        assert_eq!(
            look(3, 1, 2, Some("no\nway")),
            "3; another attempt was asked for of 1; 2 given up; looked at 2026-11-21T00:00:00Z; no way"
        );
    }
}
