//! How an agent behaves to who asks it: as ours do, or as a tenant's pod may that speaks in its place.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use futures::{StreamExt as _, stream};
use hera_core::agent::{News, PATH_EVENTS};

use super::agent::Told;

/// How an agent behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As ours.
    Plain,
    /// It takes what it is asked, and says nothing. Its news is as ever.
    Silent,
    /// It takes what is handed over, and never says that it has; as with storage that hangs.
    Hanging,
    /// What it answers has no end, nor has a line of its news.
    Endless,
    /// Its news has no end.
    Flooding,
}

/// Whether an agent is not to be heard for now.
pub type Away = Arc<AtomicBool>;

/// Answers in its manner.
pub async fn behave(
    State((manner, told, away)): State<(Manner, Told, Away)>,
    request: Request,
    next: Next,
) -> Response {
    let is_news = request.uri().path() == PATH_EVENTS;
    if away.load(Ordering::SeqCst) {
        let mut nothing = Response::new(Body::empty());
        *nothing.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return nothing;
    }
    if is_news && manner == Manner::Plain {
        // Its news ends with the first line that it would tell while it is away.
        let lines = next.run(request).await.into_body().into_data_stream();
        let here =
            move |_: &Result<Bytes, axum::Error>| std::future::ready(!away.load(Ordering::SeqCst));
        return Response::new(Body::from_stream(lines.take_while(here)));
    }
    match manner {
        Manner::Silent if !is_news => std::future::pending().await,
        Manner::Hanging if request.method() == Method::PUT => std::future::pending().await,
        Manner::Endless if is_news => {
            let first = stream::once(async move { line(&told, 0) });
            without_end(first.chain(stream::repeat(Bytes::from_static(&[b'x'; 65_536]))))
        }
        Manner::Endless => {
            // As much memory as can be had for a byte.
            let begin = stream::once(async { Bytes::from_static(b"{\"known\":[{}") });
            let entries = Bytes::from(",{}".repeat(20_000));
            let entries = stream::repeat_with(move || entries.clone());
            without_end(begin.chain(entries))
        }
        Manner::Flooding if is_news => {
            let numbers = stream::iter(0_u64..);
            without_end(numbers.map(move |number| line(&told, number)))
        }
        Manner::Plain | Manner::Silent | Manner::Hanging | Manner::Flooding => {
            next.run(request).await
        }
    }
}

/// News that is none: its server has started again.
fn line(told: &Told, restarts: u64) -> Bytes {
    let mut status = told.borrow().clone();
    status.restarts = restarts;
    let news = serde_json::to_string(&News::Status(Box::new(status))).unwrap();
    Bytes::from(news + "\n")
}

fn without_end(chunks: impl stream::Stream<Item = Bytes> + Send + 'static) -> Response {
    Response::new(Body::from_stream(chunks.map(Ok::<_, Infallible>)))
}
