//! How much of what a store answers is read: nothing that it says fills our memory. Files are streamed, and who reads
//! one counts what comes.

use std::io;

use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use object_store::client::{
    HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use reqwest::Method;

/// Of the words of a refusal. What stands behind them is not read.
const WORDS: usize = 64 << 10;
/// Of every other answer but a file: a page of a list has a thousand names of a thousand bytes, each maybe escaped.
const ANSWER: usize = 8 << 20;

/// The library reads all of an answer that is no file.
#[derive(Debug)]
pub struct Bounded(pub reqwest::Client);

impl HttpService for Bounded {
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> BoxFuture<'f, Result<HttpResponse, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let is_of_file = is_of_file(&request);
            let answer = HttpService::call(&self.0, request).await?;
            let is_success = answer.status().is_success();
            if is_success && is_of_file {
                return Ok(answer);
            }
            let (head, body) = answer.into_parts();
            let body: HttpResponseBody = match is_success {
                true => whole(body).await?.into(),
                false => words(body).await.into(),
            };
            Ok(HttpResponse::from_parts(head, body))
        })
    }
}

/// True of a request for what is in a file.
fn is_of_file(request: &HttpRequest) -> bool {
    let is_no_list = |query: &str| !query.contains("list-type=");
    request.method() == Method::GET && request.uri().query().is_none_or(is_no_list)
}

/// What is said before an answer breaks off, or gets too long: its status tells more than its words.
async fn words(body: HttpResponseBody) -> String {
    let mut words = Vec::new();
    let mut pieces = body.bytes_stream();
    while words.len() < WORDS
        && let Ok(Some(piece)) = pieces.try_next().await
    {
        words.extend_from_slice(&piece);
    }
    words.truncate(WORDS);
    String::from_utf8_lossy(&words).into_owned()
}

async fn whole(body: HttpResponseBody) -> Result<Vec<u8>, HttpError> {
    let mut answer = Vec::new();
    let mut pieces = body.bytes_stream();
    while let Some(piece) = pieces.try_next().await? {
        answer.extend_from_slice(&piece);
        if answer.len() > ANSWER {
            let words = io::Error::other("its answer is longer than an answer can be");
            return Err(HttpError::new(HttpErrorKind::Decode, words));
        }
    }
    Ok(answer)
}
