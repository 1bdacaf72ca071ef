//! Requests as the API server reads them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::Method;
use axum::response::Response;
use futures::stream;
use serde_json::{Value, json};

use super::store::{Answer, Failed, Request, Store};

/// The agents' certificates and modules are small.
const BODY_LIMIT: usize = 4 << 20;

pub async fn serve(listener: tokio::net::TcpListener, store: Arc<Store>) {
    let app = Router::new().fallback(answer).with_state(store);
    axum::serve(listener, app).await.unwrap();
}

async fn answer(State(store): State<Arc<Store>>, request: HttpRequest) -> Response {
    let (head, body) = request.into_parts();
    let query = pairs(head.uri.query().unwrap_or_default());
    let Some(mut asked) = path(head.uri.path()) else {
        return failure(&Failed::not_found(head.uri.path()));
    };
    asked.verb = match head.method {
        Method::GET if query.get("watch").is_some_and(|text| text == "true") => "watch",
        Method::GET if asked.name.is_empty() => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    };
    let content_type = head.headers.get("content-type");
    let content_type = content_type.and_then(|text| text.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let body = to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    match store.verdict(&asked) {
        Some(Answer::Refuse(code, words)) => return failure(&Failed(code, words)),
        Some(Answer::Hang) => std::future::pending().await,
        Some(Answer::After(happens)) => happens(&store),
        None => {}
    }
    let manager = query.get("fieldManager").map(String::as_str);
    let done = match asked.verb {
        "watch" => return watch(store, asked, &query),
        "list" => Ok(store.list(&asked, &query)),
        "get" => store.get(&asked),
        "create" => store.create(&asked, body),
        "update" => store.update(&asked, body),
        "patch" => store.patch(&asked, &content_type, manager.unwrap_or_default(), body),
        "delete" => store.delete(&asked, &body),
        _ => Err(Failed(405, "no such method".to_owned())),
    };
    match done {
        Ok(object) => send(200, &object),
        Err(failed) => failure(&failed),
    }
}

/// What is asked for by a path; none for what is not an object or a list of them.
fn path(path: &str) -> Option<Request> {
    let mut words: Vec<_> = path.trim_matches('/').split('/').collect();
    let api_version = match *words.first()? {
        "api" if words.len() > 2 => words.drain(..2).nth(1)?.to_owned(),
        "apis" if words.len() > 3 => words.drain(..3).skip(1).collect::<Vec<_>>().join("/"),
        _ => return None,
    };
    let namespace = match words.first() == Some(&"namespaces") && words.len() > 2 {
        true => words.drain(..2).nth(1)?.to_owned(),
        false => String::new(),
    };
    let word = |at: usize| words.get(at).copied().unwrap_or_default().to_owned();
    Some(Request {
        verb: "",
        api_version,
        plural: word(0),
        namespace,
        name: word(1),
        part: word(2),
    })
}

fn pairs(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect()
}

/// Percent and plus signs as a query has them.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = || u8::from_str_radix(std::str::from_utf8(after.get(..2)?).ok()?, 16).ok();
        match (first, hex()) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn watch(store: Arc<Store>, asked: Request, query: &BTreeMap<String, String>) -> Response {
    let since = query
        .get("resourceVersion")
        .and_then(|text| text.parse().ok());
    let begin = (store, asked, query.clone(), since.unwrap_or(0));
    let lines = stream::unfold(begin, |(store, asked, query, since)| async move {
        let (events, now) = store.changes(&asked, &query, since).await;
        // The type comes first, as the real one writes it.
        let line = |event: &Value| {
            let (type_, object) = (&event["type"], &event["object"]);
            format!("{{\"type\":{type_},\"object\":{object}}}\n")
        };
        let lines: String = events.iter().map(line).collect();
        Some((
            Ok::<_, Infallible>(Bytes::from(lines)),
            (store, asked, query, now),
        ))
    });
    let response = Response::builder().header("content-type", "application/json");
    response.body(Body::from_stream(lines)).unwrap()
}

fn failure(Failed(code, words): &Failed) -> Response {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        // Told apart by the client.
        409 if words.contains("already exists") => "AlreadyExists",
        409 => "Conflict",
        422 => "Invalid",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": words, "reason": reason, "code": code,
    });
    send(*code, &status)
}

fn send(code: u16, body: &Value) -> Response {
    let response = Response::builder()
        .status(code)
        .header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}
