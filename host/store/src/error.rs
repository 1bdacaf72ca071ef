//! What a store's failures mean, in words that say what to do.

use std::time::Duration;

use hera_core::backup::{Failure, FailureReason, StoreAccess};
use thiserror::Error;

use crate::connect;

/// After this a request is over, whatever the store does.
pub const LIMIT: Duration = Duration::from_secs(30);
/// How much of a store's own words is shown.
const SHOWN: usize = 300;
/// Codes of S3 for who may not; the last is versitygw's for a key that it does not know.
const REFUSED: [&str; 6] = [
    "AccessDenied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "XAdminUserNotFound",
];
/// Codes of S3 for a bucket that lives elsewhere.
const ELSEWHERE: [&str; 3] = [
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
];

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct StoreError {
    /// In one word.
    pub reason: FailureReason,
    /// In sentences for people that say what they can do.
    pub message: String,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self {
            reason: error.reason,
            message: error.message,
        }
    }
}

/// What came of a request that failed: the store's answer, or what was in the way of one.
#[derive(Debug, Default)]
pub struct Told {
    status: Option<u16>,
    code: Option<String>,
    text: String,
}

impl Told {
    /// There is no file of this name. Another answer of "not found" is no store's.
    pub fn is_missing(&self) -> bool {
        self.status == Some(404) && self.code.as_deref() == Some("NoSuchKey")
    }

    /// There is a file of this name already.
    pub fn is_there(&self) -> bool {
        let code = self.code.as_deref();
        match self.status {
            Some(304 | 412) => true,
            // Somebody else writes it just now: whether it will be there is not known.
            Some(409) => !matches!(
                code,
                Some("ConditionalRequestConflict" | "OperationAborted")
            ),
            _ => false,
        }
    }

    /// The file ends before the range begins.
    pub fn is_beyond(&self) -> bool {
        self.status == Some(416)
    }

    /// The store answered without its words, as it must where only headers are asked for.
    pub fn is_without_words(&self) -> bool {
        self.status.is_some() && self.code.is_none()
    }

    fn late() -> Self {
        Self {
            text: format!("no answer within {} seconds", LIMIT.as_secs()),
            ..Self::default()
        }
    }

    fn of(error: &object_store::Error) -> Self {
        let mut last: &dyn std::error::Error = error;
        while let Some(next) = last.source() {
            last = next;
        }
        Self::read(&last.to_string())
    }

    /// From the library's words about an answer, which end with the answer's body.
    fn read(said: &str) -> Self {
        let answer = said.strip_prefix("Server returned non-2xx status code: ");
        let status = answer.and_then(|answer| answer.get(..3)?.parse().ok());
        let code = element(said, "Code");
        let text = match (code, element(said, "Message")) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => answer
                .unwrap_or(said)
                .trim_end_matches([':', ' '])
                .to_owned(),
        };
        Self {
            status,
            code: code.map(str::to_owned),
            text,
        }
    }
}

/// What stands in an element of the store's XML.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inside)
}

/// What came of a request within [`LIMIT`].
pub async fn within<T>(work: impl Future<Output = object_store::Result<T>>) -> Result<T, Told> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(done) => done.map_err(|error| Told::of(&error)),
        Err(_) => Err(Told::late()),
    }
}

/// What a store is called in words, and what never stands in them.
pub struct Named {
    store: String,
    secrets: [String; 2],
}

impl Named {
    pub fn new(access: &StoreAccess) -> Self {
        let s3 = &access.s3;
        let place = connect::place(s3);
        Self {
            store: format!("Store {} (bucket {} of {place})", access.name, s3.bucket),
            secrets: [s3.access_key_id.clone(), s3.secret_access_key.clone()],
        }
    }

    /// Something about the store that needs no advice.
    pub fn error(&self, reason: FailureReason, words: &str) -> StoreError {
        StoreError {
            reason,
            message: self.clean(&format!("{}: {words}", self.store)),
        }
    }

    /// It could not `what`.
    pub fn failed(&self, what: &str, told: &Told) -> StoreError {
        let (reason, advice) = advice(told);
        let text = told.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text: String = text.chars().take(SHOWN).collect();
        let text = text.trim_end_matches('.');
        self.error(reason, &format!("cannot {what}: {text}. {advice}"))
    }

    /// Some stores repeat the key that they refuse.
    fn clean(&self, words: &str) -> String {
        let secrets = self.secrets.iter().filter(|secret| !secret.is_empty());
        secrets.fold(words.to_owned(), |words, secret| words.replace(secret, "…"))
    }
}

fn advice(told: &Told) -> (FailureReason, &'static str) {
    use FailureReason::{CredentialsRefused, StoreUnreachable};
    let code = told.code.as_deref();
    let is = |codes: &[&str]| code.is_some_and(|code| codes.contains(&code));
    if is(&["NoSuchBucket"]) {
        return (
            StoreUnreachable,
            "Make the bucket, or name another one in the RedisBackupStore.",
        );
    }
    if is(&["RequestTimeTooSkewed"]) {
        let clock = "The clock of the pod's node is not the store's: set it.";
        return (StoreUnreachable, clock);
    }
    if is(&ELSEWHERE) || told.text.contains("redirect") || matches!(told.status, Some(300..=399)) {
        let region = "Check region, endpoint and addressing of the RedisBackupStore.";
        return (StoreUnreachable, region);
    }
    if is(&REFUSED) || matches!(told.status, Some(401 | 403)) {
        return (
            CredentialsRefused,
            "Check the access key in its Secret, and that it may list the bucket, get and put what is in it, and delete it \
             if backups are to go.",
        );
    }
    let words = match told.status {
        Some(501) => "Backups need a store that can refuse to replace a file: If-None-Match of S3.",
        Some(429 | 500..=599) => "It is tried again; if it stays, ask who runs the store.",
        None if code.is_some() => "It is tried again; if it stays, ask who runs the store.",
        Some(404) if code.is_none() => {
            "What answers there is not S3: check the endpoint of the RedisBackupStore."
        }
        Some(_) => "Check the RedisBackupStore, and ask who runs the store.",
        None if told.text.contains("certificate") => {
            "Name the authority of the endpoint's certificate in caRef of the RedisBackupStore."
        }
        None => {
            "Check the endpoint of the RedisBackupStore, and that pods of the object may connect to it."
        }
    };
    (StoreUnreachable, words)
}

#[cfg(test)]
mod tests {
    use hera_core::backup::S3Access;

    use super::*;

    const FORBIDDEN: &str = "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error>\
        <Code>InvalidAccessKeyId</Code><Message>No such key: AKIAMINE.</Message>\
        <AWSAccessKeyId>AKIAMINE</AWSAccessKeyId></Error>";

    fn named() -> Named {
        Named::new(&StoreAccess {
            name: "nightly".to_owned(),
            s3: S3Access {
                bucket: "backups".to_owned(),
                prefix: String::new(),
                region: "eu-central-1".to_owned(),
                endpoint: Some("https://minio:9000".to_owned()),
                force_path_style: true,
                ca: None,
                access_key_id: "AKIAMINE".to_owned(),
                secret_access_key: "s3cr3t".to_owned(),
            },
        })
    }

    fn said(text: &str) -> StoreError {
        named().failed("write x", &Told::read(text))
    }

    #[test]
    fn words_name_the_store_what_it_said_and_what_to_do_and_no_key() {
        let error = said(FORBIDDEN);
        assert_eq!(error.reason, FailureReason::CredentialsRefused);
        assert_eq!(
            error.message,
            "Store nightly (bucket backups of https://minio:9000): cannot write x: InvalidAccessKeyId: No such key: …. \
             Check the access key in its Secret, and that it may list the bucket, get and put what is in it, and delete it \
             if backups are to go."
        );
        let echo = said("an error of a library that knows s3cr3t");
        assert!(!echo.message.contains("s3cr3t"), "{}", echo.message);
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_file() {
        let file = Told::read(
            "Server returned non-2xx status code: 404 Not Found: <Error><Code>NoSuchKey</Code></Error>",
        );
        assert!(file.is_missing());
        let others = [
            "Server returned non-2xx status code: 404 Not Found: <Error><Code>NoSuchBucket</Code></Error>",
            "Server returned non-2xx status code: 404 Not Found: default backend",
            "Server returned non-2xx status code: 404 Not Found: ",
        ];
        for other in others {
            assert!(!Told::read(other).is_missing(), "{other}");
            assert_eq!(said(other).reason, FailureReason::StoreUnreachable);
        }
        let bare = said("Server returned non-2xx status code: 404 Not Found: ");
        assert!(
            bare.message.contains("404 Not Found. What"),
            "{}",
            bare.message
        );
    }

    #[test]
    fn a_write_beside_another_one_is_not_taken_for_a_file_that_is_there() {
        let answer = |status: &str, code: &str| {
            let text =
                format!("Server returned non-2xx status code: {status}: <Code>{code}</Code>");
            Told::read(&text).is_there()
        };
        assert!(answer("412 Precondition Failed", "PreconditionFailed"));
        assert!(answer("409 Conflict", "FileAlreadyExists"));
        assert!(!answer("409 Conflict", "ConditionalRequestConflict"));
        assert!(!answer("403 Forbidden", "AccessDenied"));
    }

    #[test]
    fn each_kind_of_failure_has_its_advice() {
        let cases = [
            ("Connection refused (os error 111)", "may connect"),
            ("invalid peer certificate: UnknownIssuer", "caRef"),
            (
                "Received redirect without LOCATION, this normally",
                "region",
            ),
            (
                "Server returned non-2xx status code: 503 Slow Down: <Code>SlowDown</Code>",
                "tried again",
            ),
            (
                "Server returned error response: <Code>InternalError</Code>",
                "tried again",
            ),
            (
                "Server returned non-2xx status code: 501 Not Implemented: ",
                "If-None-Match",
            ),
            (
                "Server returned non-2xx status code: 403 Forbidden: <Code>RequestTimeTooSkewed</Code>",
                "clock",
            ),
        ];
        for (text, words) in cases {
            let error = said(text);
            assert_eq!(error.reason, FailureReason::StoreUnreachable, "{text}");
            assert!(error.message.contains(words), "{}", error.message);
        }
    }

    #[test]
    fn a_long_answer_is_cut() {
        let page = "ü ".repeat(10_000);
        assert!(said(&page).message.chars().count() < 600);
    }

    #[test]
    fn the_last_cause_is_what_is_told() {
        let cause = std::io::Error::other("a wire is cut");
        let error = object_store::Error::Generic {
            store: "S3",
            source: Box::new(cause),
        };
        assert_eq!(Told::of(&error).text, "a wire is cut");
    }
}
