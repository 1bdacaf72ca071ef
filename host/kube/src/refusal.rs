//! What the API server refuses of one object, told from what happens to the API server itself.

use std::time::Duration;

use kube::Resource;
use kube::core::Status;
use thiserror::Error;

/// A write that takes longer is given up for this time: as a rule an admission webhook does not answer.
/// A pass makes several, and must come to an end.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// Most that is told of an answer.
const WORDS: usize = 240;

/// The API server does not let one object be written: by a quota, a LimitRange, an admission webhook, a
/// missing right, or because the object itself is wrong. It says nothing about other objects.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind} {name}: {words}")]
pub struct Refusal {
    /// The object's kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Those of the API server, as one line of bounded length.
    pub words: String,
    /// The object was not there before either.
    pub missing: bool,
}

impl Refusal {
    /// What an error means that came of writing the object of kind `K` called `name`.
    ///
    /// # Errors
    /// The same error, where it is not about that object: the API server does not answer or has too much
    /// to do, the object changed meanwhile, or its namespace is gone.
    pub fn of<K: Resource<DynamicType = ()>>(
        name: &str,
        missing: bool,
        error: kube::Error,
    ) -> Result<Self, kube::Error> {
        match error {
            kube::Error::Api(status) if is_about_one_object(&status) => {
                Ok(Self::new::<K>(name, missing, &status.message))
            }
            other => Err(other),
        }
    }

    fn new<K: Resource<DynamicType = ()>>(name: &str, missing: bool, words: &str) -> Self {
        Self {
            kind: K::kind(&()).into_owned(),
            name: name.to_owned(),
            words: one_line(words),
            missing,
        }
    }

    /// The answer to a write, which is waited for with a bound.
    ///
    /// # Errors
    /// Outer: as for [`Self::of`].
    pub async fn within<K: Resource<DynamicType = ()>, T>(
        name: &str,
        missing: bool,
        write: impl Future<Output = kube::Result<T>>,
    ) -> kube::Result<Result<T, Self>> {
        Self::within_limit::<K, T>(WRITE_LIMIT, name, missing, write).await
    }

    async fn within_limit<K: Resource<DynamicType = ()>, T>(
        limit: Duration,
        name: &str,
        missing: bool,
        write: impl Future<Output = kube::Result<T>>,
    ) -> kube::Result<Result<T, Self>> {
        match tokio::time::timeout(limit, write).await {
            Ok(Ok(done)) => Ok(Ok(done)),
            Ok(Err(error)) => Self::of::<K>(name, missing, error).map(Err),
            Err(_) => {
                let words = format!(
                    "no answer within {} s, as a rule of an admission webhook",
                    limit.as_secs()
                );
                Ok(Err(Self::new::<K>(name, missing, &words)))
            }
        }
    }
}

/// 500 and 504 are what is said where an admission webhook does not answer.
fn is_about_one_object(status: &Status) -> bool {
    status.code >= 400 && !matches!(status.code, 401 | 404 | 409 | 410 | 429 | 503)
}

fn one_line(words: &str) -> String {
    let words: Vec<_> = words
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    match line.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PersistentVolumeClaim;

    use super::*;

    fn answer(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        }))
    }

    fn refusal(code: u16, message: &str) -> Option<Refusal> {
        Refusal::of::<PersistentVolumeClaim>("data-cache-1", true, answer(code, message)).ok()
    }

    #[test]
    fn quotas_webhooks_and_bad_names_are_about_one_object() {
        for code in [400, 403, 413, 422, 500, 504] {
            assert!(refusal(code, "no").is_some(), "{code}");
        }
        let told = refusal(403, "exceeded quota: small").map(|refusal| refusal.to_string());
        let expected = "PersistentVolumeClaim data-cache-1: exceeded quota: small";
        assert_eq!(told.as_deref(), Some(expected));
    }

    #[test]
    fn what_happens_to_the_api_server_is_about_none() {
        for code in [401, 404, 409, 429, 503] {
            assert!(refusal(code, "no").is_none(), "{code}");
        }
    }

    #[test]
    fn words_are_one_line_of_bounded_length() {
        let told = refusal(403, "  a\n b\u{7}c ").map(|refusal| refusal.words);
        assert_eq!(told.as_deref(), Some("a b c"));
        let told = refusal(403, &"é".repeat(900)).map(|refusal| refusal.words);
        assert_eq!(told.map(|words| words.chars().count()), Some(WORDS + 1));
    }

    #[tokio::test]
    async fn a_write_that_is_not_answered_is_given_up() {
        let never = std::future::pending::<kube::Result<()>>();
        let limit = Duration::from_millis(1);
        let given_up =
            Refusal::within_limit::<PersistentVolumeClaim, _>(limit, "data-cache-1", true, never);
        let refused = given_up.await.unwrap().unwrap_err();
        assert!(refused.words.starts_with("no answer within"), "{refused}");
    }
}
