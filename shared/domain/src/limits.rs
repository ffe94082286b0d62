//! Every limit in one place, each with its reason. Units are in the names.

/// A request body of the public API. API Gateway takes 10 MB and Lambda 6 MB; five base64 images of 1 MB fit in 6.
pub const REQUEST_BYTES: usize = 6 * 1024 * 1024;

/// A prompt. Larger work belongs in a file of the repository; models read no more at once anyway.
pub const PROMPT_BYTES: usize = 1024 * 1024;

/// A prompt or payload kept in a row. A row holds 400 KB and each KB written costs a unit, so larger ones go to the archive.
pub const INLINE_BYTES: usize = 32 * 1024;

/// A run's title, in characters: one line of a table.
pub const TITLE_CHARS: usize = 200;

/// The message on a run, in characters. It lives on the hot row, where every KB is paid at each state change.
pub const STATUS_CHARS: usize = 400;

/// Pull requests of one run, and the bytes of each. They live on the hot row too; most runs make one.
pub const PULL_REQUESTS: usize = 20;
pub const PULL_REQUEST_URL_BYTES: usize = 500;
pub const BRANCH_BYTES: usize = 255;

/// Pull requests that an answer names. Slack's messages have 4,000 characters, in which the last word has to fit too.
pub const PULL_REQUESTS_TOLD: usize = 5;

/// Reports of pull requests that an agent passes on: enough for every one to change its branch, and no flood.
pub const PULL_REQUEST_REPORTS: usize = 100;

/// An idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES: usize = 255;

/// How long a key answers with its first run. Longer than senders retry: the schedule that the Standard Webhooks
/// specification suggests ends after 76 hours.
pub const IDEMPOTENCY_SECONDS: i64 = 7 * 24 * 3600;

/// A webhook's body. Senders that follow the specification keep theirs under 20 KB; some send a whole document.
pub const WEBHOOK_BYTES: usize = 1024 * 1024;

/// Deliveries that one webhook takes in a minute if nothing else is said: more is a loop or an attack before it is work.
pub const WEBHOOK_DELIVERIES_PER_MINUTE: u32 = 600;
pub const WEBHOOK_DELIVERIES_MAX: u32 = 100_000;

/// Deliveries in a minute that could not be believed and are still logged; what exceeds it is told to come back.
pub const WEBHOOK_REJECTIONS_PER_MINUTE: u32 = 60;

/// How long the log keeps a delivery. Its body expires with it.
pub const DELIVERY_SECONDS: i64 = 30 * 24 * 3600;

/// For how long what is said in a conversation goes to its run, from when that was started or last heard of it.
pub const CONVERSATION_SECONDS: i64 = 30 * 24 * 3600;

/// For how long a provider is asked who caused an event, or whose code it is about, before it is decided without.
pub const IDENTIFY_SECONDS: i64 = 600;

/// For how long it is known what a provider said of a person, and that it refused to say anything.
pub const PERSON_SECONDS: i64 = 86_400;
pub const PERSON_REFUSED_SECONDS: i64 = 60;

/// How long a message to a run is tried whose last end is still being recorded.
pub const FOLLOW_UP_SECONDS: i64 = 3600;

/// Runs that are looked through for those that are at work, and of which a status tells.
pub const STATUS_LOOKBACK: usize = 200;
pub const STATUS_RUNS: usize = 10;

/// Automations that one event may start, and those that it did not start that its log names.
pub const DELIVERY_RUNS: usize = 50;
pub const DELIVERY_LEFT: usize = 20;

/// Deliveries in one page of the log.
pub const PAGE_DELIVERIES: usize = 200;
pub const PAGE_DELIVERIES_DEFAULT: usize = 50;

/// A delivery this old that still owes runs was left by whoever took it.
pub const DELIVERY_LEFT_SECONDS: i64 = 60;

/// Automations of one team: all that listen are read for each delivery.
pub const AUTOMATIONS: usize = 1_000;

/// Names of events in one trigger.
pub const TRIGGER_EVENTS: usize = 50;

/// Logins in a list of who may start runs.
pub const ALLOWED_LOGINS: usize = 200;

/// Accounts and apps that a webhook counts as our own.
pub const OWN_ACCOUNTS: usize = 20;

/// Runs in an hour that one automation starts for one object (an issue, a pull request, a branch, a thread) if nothing else is
/// said. A loop between two bots makes thousands.
pub const RUNS_PER_OBJECT: u32 = 20;

/// Runs of an automation that fail in a row before it is paused.
pub const AUTOMATION_FAILURES: usize = 5;

/// How far a webhook's timestamp may be from now, either way: as in the specification's own libraries.
pub const WEBHOOK_TOLERANCE_SECONDS: i64 = 5 * 60;

/// A delivery's id, in bytes.
pub const DELIVERY_ID_BYTES: usize = 255;

/// Signatures looked at in one header. A sender sends two while it rotates its secret.
pub const WEBHOOK_SIGNATURES: usize = 16;

/// Secrets that are valid at one time: during a rotation the one before as well. Each request is compared with as many, so
/// that its work does not tell how many there are.
pub const WEBHOOK_SECRETS: usize = 2;

/// A secret that somebody else's service made, in characters. Linear's and Slack's have 32 or more; an HMAC under fewer than
/// 8 can be guessed.
pub const WEBHOOK_SECRET_CHARS_MIN: usize = 8;
pub const WEBHOOK_SECRET_CHARS: usize = 512;

/// The name of a header, in bytes, by which somebody's own sender tells its deliveries apart.
pub const DELIVERY_HEADER_BYTES: usize = 64;

/// Kept of a delivery beyond its sender's last retry, in seconds: clocks differ, and what is sent arrives later.
pub const DELIVERY_KEPT_BEYOND_SECONDS: i64 = 3600;

/// How long the secret before a rotation still works: enough for somebody to bring the new one to the sender.
pub const SECRET_OVERLAP_SECONDS: i64 = 24 * 3600;

/// A template's prompt. It lives in a row that each trigger reads.
pub const TEMPLATE_PROMPT_BYTES: usize = INLINE_BYTES;

/// Tags (`{{ … }}`, `{% … %}`) of a prompt template, and tokens in one: they bound how deep its syntax tree is, and so the
/// stack that it takes.
pub const PROMPT_TEMPLATE_TAGS: usize = 500;
pub const PROMPT_TEMPLATE_TAG_TOKENS: usize = 200;

/// Steps of one rendering: a loop over a thousand files that prints two members of each takes half of them.
pub const PROMPT_TEMPLATE_FUEL: u64 = 20_000;

/// What one rendering may read of the payload and make of it by filters: sixteen times the largest payload.
pub const PROMPT_TEMPLATE_WORK_BYTES: usize = 16 * WEBHOOK_BYTES;

/// One text of a payload as a template sees it. The rest is in the file that has the whole payload.
pub const PROMPT_VALUE_BYTES: usize = 64 * 1024;

/// A text of a payload that stands in a prompt as it is if it is also one word, such as a branch, a number or a commit.
pub const PROMPT_WORD_CHARS: usize = 200;

/// Absent members that one rendering names.
pub const PROMPT_ABSENT: usize = 50;

/// A filter of events: its JSON in bytes, the conditions in it, and the objects and lists in one another. Each condition may
/// look at the whole payload of every delivery.
pub const FILTER_BYTES: usize = 16 * 1024;
pub const FILTER_CONDITIONS: usize = 200;
pub const FILTER_DEPTH: usize = 16;

/// A glob of a filter, in characters: with its end it fits the bits of a word, by which it is matched.
pub const FILTER_GLOB_CHARS: usize = 120;

/// Metadata, from the API contract: at most 20 keys of 64 bytes with values of 256 bytes.
pub const METADATA_KEYS: usize = 20;
pub const METADATA_KEY_BYTES: usize = 64;
pub const METADATA_VALUE_BYTES: usize = 256;

/// Metadata pairs in one list filter, from the API contract.
pub const METADATA_FILTERS: usize = 5;

/// Runs in one page of the list, from the API contract.
pub const PAGE_RUNS: usize = 500;
pub const PAGE_RUNS_DEFAULT: usize = 20;

/// Runs that a list sorted by title or agent looks at, newest first: those orders have no index, and a request must end.
pub const LIST_WINDOW_RUNS: usize = 10_000;

/// Queue entries counted for a position; past it the answer is "at least". Keeps a read of a run flat in queue depth.
pub const QUEUE_POSITION: usize = 1_000;

/// A concurrency key, in bytes: a repository and a branch, or the address of a thread.
pub const CONCURRENCY_KEY_BYTES: usize = 255;

/// How long a run may wait, or be put off, in seconds: 30 days. What is to start later is a schedule.
pub const WAIT_SECONDS: u64 = 30 * 24 * 3600;

/// Runs that may wait in a team's queue, and of one automation: past it senders are told to come back. An agent that starts
/// hours after it was asked for is of little use, and a queue without an end is a bill without one.
pub const QUEUED_RUNS: u32 = 10_000;
pub const QUEUED_RUNS_OF_AUTOMATION: u32 = 1_000;

/// The most that somebody may raise them to: counting them must end.
pub const QUEUED_RUNS_MAX: u32 = 1_000_000;

/// When to come back after a refusal for a full queue, in seconds.
pub const QUEUE_FULL_RETRY_SECONDS: u64 = 30;

/// Times and ends of waiting that one tick looks after; the next tick takes the next.
pub const ALARMS: usize = 50;

/// How long the place of a lane that does not wait is kept. Past it the lane begins where the others are.
pub const LANE_SECONDS: i64 = 24 * 3600;

/// Seconds of compute that an execution reserves in a shared budget at a time, and how long before they are used up it
/// reserves the next: agents are heard each minute.
pub const RESERVED_SECONDS: u64 = 300;
pub const RESERVE_AHEAD_SECONDS: i64 = 150;

/// With less than this reserved and no more to be had, an agent is told to stop: it may not be heard again in time.
pub const RESERVE_END_SECONDS: i64 = 75;

/// With less than this left of a budget, an execution is not begun: compute is billed by the minute at first.
pub const BUDGET_START_SECONDS: u64 = 60;

/// When a run looks again whether others have left something of a shared budget.
pub const BUDGET_RETRY_SECONDS: i64 = 60;

/// The largest budgets that mean something: a year of the largest plan's agents.
pub const BUDGET_MINUTES: u64 = 366 * 24 * 60 * 40;
pub const BUDGET_MICRO_USD: u64 = 10_000_000 * 1_000_000;
pub const BUDGET_TOKENS: u64 = 1_000_000_000_000;

/// An environment's description, in characters, from the API contract.
pub const DESCRIPTION_CHARS: usize = 240;

/// Set-up commands, variables, secrets and repositories of an environment: it must fit a row of 400 KB with room to spare.
pub const ENVIRONMENT_ITEMS: usize = 100;
pub const ENVIRONMENT_BYTES: usize = 64 * 1024;
/// Of the commands of a runner together: runs remember them.
pub const RUNNER_BYTES: usize = 16 * 1024;

/// A secret's value: what Secrets Manager holds. It fits an environment variable on Linux (`MAX_ARG_STRLEN` is 128 KiB).
pub const SECRET_BYTES: usize = 64 * 1024;

/// A secret shorter than this is not masked: it would blot out ordinary text and hide nothing.
pub const MASKED_SECRET_BYTES: usize = 4;

/// An event segment as sent, gzipped, and as it unpacks. Bounds memory against a hostile agent.
pub const SEGMENT_BYTES: usize = 1024 * 1024;
pub const SEGMENT_UNPACKED_BYTES: usize = 16 * 1024 * 1024;

/// The same once its events are numbered and chained.
pub const SEGMENT_CHAINED_BYTES: usize = 32 * 1024 * 1024;

/// Unsent events that make the agent flush at once.
pub const SEGMENT_FLUSH_BYTES: usize = 256 * 1024;

/// Seconds between flushes while somebody watches.
pub const FLUSH_WATCHED_SECONDS: u64 = 2;

/// Seconds to the first flushes of an unwatched run, then every minute: a short run shows soon, a long one costs little.
pub const FLUSH_UNWATCHED_SECONDS: [u64; 5] = [5, 10, 20, 40, 60];

/// A watch ends this long after the last read of the transcript.
pub const WATCH_SECONDS: i64 = 60;

/// A long poll of the transcript. API Gateway cuts a request at 30 s.
pub const LONG_POLL_SECONDS: u64 = 20;

/// Output of one command that is streamed whole from its start, and kept whole from its end.
pub const OUTPUT_HEAD_BYTES: usize = 1024 * 1024;
pub const OUTPUT_TAIL_BYTES: usize = 64 * 1024;

/// Output between head and tail that is kept by reference; what lies beyond is counted and dropped.
pub const OUTPUT_MIDDLE_BYTES: u64 = 64 * 1024 * 1024;

/// One part of an output's middle, as sent.
pub const OUTPUT_PART_BYTES: usize = 1024 * 1024;

/// Files named in one execution's change list. A build tree has more; the rest is counted.
pub const CHANGED_FILES: usize = 2_000;

/// A changed file larger than this is listed without a hash: hashing must not take longer than the work.
pub const HASHED_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Runs below one another: an agent that starts agents that start agents is a mistake sooner or later.
pub const RUN_DEPTH: u8 = 8;

/// Files of a workspace that are saved. Each is a call, and after SIGTERM there are seconds for all of them.
pub const SAVED_FILES: usize = 200;

/// What was left out of a saved set is named up to here; the last name counts the rest.
pub const SAVED_LEFT_OUT: usize = 100;

/// One saved file as sent, gzipped: in base64 it fits the 6 MB that a Lambda takes and gives.
pub const SAVED_FILE_BYTES: usize = 4 * 1024 * 1024;

/// The same as it unpacks. Agent and control plane hold one in memory.
pub const SAVED_FILE_UNPACKED_BYTES: usize = 32 * 1024 * 1024;

/// All files of a set as sent: the work of a run is source code, and what a build made can be built again.
pub const SAVED_SENT_BYTES: usize = 16 * 1024 * 1024;

/// All files of a set, unpacked.
pub const SAVED_BYTES: u64 = 128 * 1024 * 1024;

/// The path of a saved file.
pub const SAVED_PATH_BYTES: usize = 1_024;

/// The list of a saved set.
pub const SAVED_LIST_BYTES: usize = 1024 * 1024;

/// How long saving may take when nobody hurries: well within what a run has past its deadline.
pub const SAVE_SECONDS: u64 = 30;

/// Earlier executions that are asked for what they saved.
pub const SAVED_LOOKBACK: u32 = 10;

/// One set-up command.
pub const SETUP_COMMAND_SECONDS: u64 = 30 * 60;

/// One clone or fetch.
pub const CLONE_SECONDS: u64 = 10 * 60;

/// From SIGTERM to SIGKILL of the agent; within it the tail is flushed and the outcome reported.
pub const FINALISE_SECONDS: u64 = 10;

/// From SIGTERM to SIGKILL of the task's process group, inside the above.
pub const TASK_GRACE_SECONDS: u64 = 5;

/// From taking a slot to the agent's claim. Fargate needs about a minute; a task that is not there after ten never comes.
pub const START_SECONDS: i64 = 600;

/// Past the deadline, how long the agent has for its own report before the sweep ends the run.
pub const DEADLINE_GRACE_SECONDS: i64 = 60;

/// The shortest deadline somebody may set.
pub const DEADLINE_MIN_SECONDS: u64 = 1;

/// Processes and threads of one agent: a parallel build needs hundreds, a fork bomb needs no end.
pub const PROCESSES: u64 = 4_096;

/// Room above it, at whose end the kernel refuses: the agent has to see its limit broken rather than a task that hangs there.
pub const PROCESSES_ROOM: u64 = 1_024;

/// Free disk that an agent needs to start, and that must stay free on the data folder's file system while it works.
pub const DISK_FREE_MIN_BYTES: u64 = 256 * 1024 * 1024;

/// Messages to a run that wait for its agent.
pub const MESSAGE_BYTES: usize = 32 * 1024;

/// A schedule's expression. One that names every second minute, hour and day still fits.
pub const SCHEDULE_BYTES: usize = 1024;

/// A time zone's name. The longest of the database has 32.
pub const TIMEZONE_BYTES: usize = 64;

/// The longest rate: a year. What is rarer has a date, and is a cron expression.
pub const RATE_MINUTES: u32 = 366 * 24 * 60;

/// How far a cron expression is searched, in years. A 29 February on a given day of the week comes every 28 years, and 40 years
/// apart over 2100.
pub const SCHEDULE_YEARS: i16 = 41;

/// Missed times that a schedule may make up for at once.
pub const SCHEDULE_MISSED: u8 = 50;

/// Times that one look at a schedule answers with; the next look takes the next.
pub const SCHEDULE_FIRES: usize = 100;

/// Skipped times counted; past it the answer is "at least". Keeps a look after a year's outage as cheap as any.
pub const SCHEDULE_COUNTED: u32 = 10_000;

/// The most that starts may be spread: more than an hour later is another time, and another expression.
pub const SCHEDULE_JITTER_SECONDS: u32 = 3600;

/// How late a planned time is still on time. Timers are exact to the minute, and a control plane may be away for a deploy.
pub const SCHEDULE_TOLERANCE_SECONDS: i64 = 5 * 60;

/// Schedules of one team: all of them are read to list them, or to find one by name.
pub const SCHEDULES: usize = 1_000;

/// Past times that are kept on a schedule's row.
pub const SCHEDULE_HISTORY: usize = 20;

/// A text that came with a provider's event. GitHub takes 65,536 characters; nearly all of them are ASCII.
pub const EVENT_TEXT_BYTES: usize = 64 * 1024;

/// The name of an event that is not used, and of its action, in characters: they are somebody else's words in our log.
pub const EVENT_NAME_CHARS: usize = 64;

/// Items of a list in a provider's event that are looked at, such as the pull requests of a check.
pub const EVENT_ITEMS: usize = 100;

/// A repository's full name. GitHub takes 39 for the owner and 100 for the name.
pub const REPOSITORY_NAME_BYTES: usize = 150;

/// The path of a project on GitLab with the groups that it is in, which takes no longer ones.
pub const GITLAB_PATH_BYTES: usize = 255;

/// The key of an issue in Jira. Jira Cloud takes 10 characters for the project.
pub const JIRA_KEY_BYTES: usize = 100;

/// How deep a document may nest before what is within is left away. JSON of 128 levels is as deep as a payload gets.
pub const DOCUMENT_DEPTH: usize = 40;

/// A document as text. Jira takes 32,767 characters for a text, of four bytes at the most.
pub const DOCUMENT_BYTES: usize = 128 * 1024;

/// A branch or tag in a key that is made from an event: with the repository and a prefix it fits [`CONCURRENCY_KEY_BYTES`].
pub const EVENT_KEY_NAME_BYTES: usize = 80;

/// An id that a provider gave, as Slack's `U061F7AUR` and Linear's UUIDs. Three in a key fit [`CONCURRENCY_KEY_BYTES`].
pub const EVENT_ID_BYTES: usize = 64;

/// A form, as a slash command of Slack comes. What people type of it is a message, of which Slack takes 40,000 characters;
/// in percent-encoding each may be 12 bytes.
pub const EVENT_FORM_BYTES: usize = 512 * 1024;

/// Fields of a form. A slash command has 15.
pub const EVENT_FORM_FIELDS: usize = 100;

/// A login. GitHub takes 39 characters, and more for the bot of an app.
pub const LOGIN_BYTES: usize = 100;

/// An address for mail: what SMTP takes in a path (RFC 5321), without its brackets.
pub const EMAIL_BYTES: usize = 254;

/// An address that is kept to be shown: what browsers take at the least.
pub const URL_BYTES: usize = 2_048;

/// Subscriptions of one team: all of them are read at each end of a run.
pub const SUBSCRIPTIONS: usize = 50;

/// A notification's body. The Standard Webhooks specification advises to keep it under 20 KB.
pub const NOTIFICATION_BYTES: usize = 20 * 1000;

/// One attempt to deliver a notification, from the look-up of the name to the answer: the specification suggests 15 to 30 s.
pub const ATTEMPT_SECONDS: u64 = 15;

/// Whoever makes an attempt has noted its outcome by then, or is gone.
pub const ATTEMPT_LEASE_SECONDS: i64 = 60;

/// Waits before each attempt to deliver a notification, in seconds: the specification's example of a schedule.
pub const ATTEMPT_PAUSES: [i64; 10] =
    [0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600];

/// The longest that a receiver may put off the next attempt.
pub const RETRY_AFTER_SECONDS: i64 = 24 * 3600;

/// Of an answer's body, what is kept to look at.
pub const ANSWER_BYTES: usize = 1024;

/// Attempts that are kept of a notification, the last ones: the schedule's, and as many that somebody asked for.
pub const ATTEMPTS_KEPT: usize = 2 * ATTEMPT_PAUSES.len();

/// Nothing but failures for this long pauses a subscription: longer than a schedule lasts, so that none is cut short by it.
pub const SUBSCRIPTION_FAILING_SECONDS: i64 = 5 * 24 * 3600;

/// How long a notification can be looked at and replayed.
pub const NOTIFICATION_KEPT_SECONDS: i64 = 30 * 24 * 3600;

/// Notifications in one page of the list.
pub const PAGE_NOTIFICATIONS: usize = 100;
pub const PAGE_NOTIFICATIONS_DEFAULT: usize = 20;

/// A notification whose time has come was not forgotten before this many seconds: its message is on its way.
pub const NOTIFICATION_OVERDUE_SECONDS: i64 = 30;

/// Overdue notifications that one round of the sweep sees to; the next round takes the next.
pub const NOTIFICATIONS_SWEPT: usize = 500;

/// For one attempt to tell a provider how a run stands, all its calls together.
pub const ANSWER_ATTEMPT_SECONDS: u64 = 45;

/// For all that a provider is asked before git gets a token, while a clone waits. Within what the function may take.
pub const GIT_CREDENTIALS_SECONDS: u64 = 20;

/// For that long nobody else tells of the run; longer than an attempt.
pub const ANSWER_LEASE_SECONDS: i64 = 60;

/// To the second attempt; then twice as long each time.
pub const ANSWER_RETRY_SECONDS: i64 = 10;

/// Between attempts at most, unless the provider asks for more.
pub const ANSWER_RETRY_SECONDS_MOST: i64 = 600;

/// What a provider does not take for so long is not told any more.
pub const ANSWER_SECONDS: i64 = 6 * 3600;

/// How long it is known what was told of a run: a follow-up after that is answered by a message of its own.
pub const ANSWER_KEPT_SECONDS: i64 = 90 * 86_400;

/// How often a service that does not try again by itself is asked what it could not deliver.
pub const REDELIVERY_ROUND_SECONDS: i64 = 600;

/// How far back is looked when somebody first looks: what happened before the webhook was there is nobody's loss.
pub const REDELIVERY_LOOK_BACK_SECONDS: i64 = 3600;

/// GitHub keeps deliveries for three days.
/// Source: <https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/redelivering-webhooks>
pub const REDELIVERY_KEPT_SECONDS: i64 = 3 * 86_400;

/// From the first attempt to the second; then twice as long each time.
pub const REDELIVERY_SECONDS: i64 = 300;

/// Between attempts at most.
pub const REDELIVERY_SECONDS_MOST: i64 = 6 * 3600;

/// Attempts after the first that are asked for.
pub const REDELIVERIES: u32 = 12;

/// Attempts that are asked for in one round: GitHub takes 80 such requests a minute.
/// Source: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>
pub const REDELIVERIES_AT_ONCE: usize = 60;

/// An attempt that is younger than this may not be listed yet.
pub const REDELIVERY_LISTED_SECONDS: i64 = 300;

/// All definitions of one apply, as JSON. Stored they take at most twice as much, and a transaction holds 4 MB.
pub const DEFINITIONS_BYTES: usize = 2 * 1024 * 1024;

/// Definitions of one apply.
pub const DEFINITIONS: usize = 1_000;

/// Rows that DynamoDB writes together or not at all.
pub const TRANSACTION_ROWS: usize = 100;
