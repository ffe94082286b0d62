//! Credentials that live for a while, kept until they are about to expire.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock;
use crate::loopback::Refusal;

/// What is kept.
pub(crate) trait Perishable: Clone {
    fn expires_at(&self) -> Timestamp;

    /// Whether it answers that question.
    fn is_for(&self, question: &str) -> bool;
}

pub(crate) struct Kept<T> {
    /// Others are fetched when the old ones have this long to live.
    renewed_before: SignedDuration,
    /// For how long a refusal is repeated rather than asked for again: a task in a loop is no flood.
    refused_for: Duration,
    fetched: Mutex<Fetched<T>>,
}

struct Fetched<T> {
    given: Vec<T>,
    refused: BTreeMap<String, (Refusal, Instant)>,
}

impl<T: Perishable> Kept<T> {
    pub(crate) fn new(renewed_before: SignedDuration, refused_for: Duration) -> Self {
        let fetched = Mutex::new(Fetched { given: Vec::new(), refused: BTreeMap::new() });
        Self { renewed_before, refused_for, fetched }
    }

    /// What answers the question and lives for a while. Whoever comes while others are waiting waits for the same answer.
    /// Those that have not expired are better than none.
    pub(crate) async fn get(
        &self,
        question: &str,
        fetch: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let mut fetched = self.fetched.lock().await;
        let lives = |given: &T, at_least| given.expires_at().duration_since(clock::now()) > at_least;
        let found = fetched.given.iter().find(|given| given.is_for(question) && lives(given, SignedDuration::ZERO));
        let found = found.cloned();
        if let Some(given) = found.as_ref().filter(|given| lives(given, self.renewed_before)) {
            return Ok(given.clone());
        }
        if let Some((refusal, at)) = fetched.refused.get(question)
            && at.elapsed() < self.refused_for
        {
            return found.ok_or_else(|| refusal.clone());
        }
        match fetch.await {
            Ok(given) => {
                fetched.given.retain(|old| !old.is_for(question) && lives(old, SignedDuration::ZERO));
                fetched.given.push(given.clone());
                fetched.refused.remove(question);
                Ok(given)
            }
            Err(refusal) => {
                fetched.refused.insert(question.to_owned(), (refusal.clone(), Instant::now()));
                found.ok_or(refusal)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Pass {
        number: usize,
        questions: &'static [&'static str],
        expires_at: Timestamp,
    }

    impl Perishable for Pass {
        fn expires_at(&self) -> Timestamp {
            self.expires_at
        }

        fn is_for(&self, question: &str) -> bool {
            self.questions.contains(&question)
        }
    }

    /// Asks in turn, each after some seconds; `given` has the life in minutes of each that is fetched, none where it is
    /// refused. What is got is told by its number, or 0.
    async fn check(asked: &[(&str, u64)], given: &[Option<i64>], expected: &[usize]) {
        let kept = Kept::new(SignedDuration::from_mins(10), Duration::from_secs(10));
        let fetches = AtomicUsize::new(0);
        let mut got = Vec::new();
        for (question, seconds) in asked {
            tokio::time::advance(Duration::from_secs(*seconds)).await;
            let fetch = async {
                let number = fetches.fetch_add(1, Ordering::Relaxed) + 1;
                let life = given[number - 1].ok_or_else(|| Refusal::new(404, "no", "no"))?;
                let questions = if *question == "else" { &["else"][..] } else { &["a", "b"] };
                Ok(Pass { number, questions, expires_at: clock::now() + SignedDuration::from_mins(life) })
            };
            got.push(kept.get(question, fetch).await.map_or(0, |pass| pass.number));
        }
        assert_eq!((got.as_slice(), fetches.into_inner()), (expected, given.len()), "{asked:?} {given:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_about_to_expire_is_fetched_anew_and_what_lives_is_kept() {
        check(&[("a", 0), ("a", 0), ("b", 0)], &[Some(60)], &[1, 1, 1]).await;
        check(&[("a", 0), ("a", 0), ("a", 0)], &[Some(9), Some(60)], &[1, 2, 2]).await;
        check(&[("a", 0), ("else", 0), ("b", 0), ("else", 0)], &[Some(60), Some(60)], &[1, 2, 1, 2]).await;
        // Those that have not expired are better than none; and expired ones are none.
        check(&[("a", 0), ("a", 0), ("a", 1)], &[Some(9), None], &[1, 1, 1]).await;
        check(&[("a", 0), ("a", 0)], &[Some(-1), None], &[1, 0]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_remembered_for_a_short_while() {
        check(&[("a", 0), ("a", 9)], &[None], &[0, 0]).await;
        check(&[("a", 0), ("a", 10)], &[None, Some(60)], &[0, 2]).await;
        check(&[("a", 0), ("else", 0)], &[None, Some(60)], &[0, 2]).await;
    }
}
