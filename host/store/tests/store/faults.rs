use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use hera_core::backup::{FailureReason, StoreAccess};
use hera_store::{LIMIT, Store, StoreError};
use hera_testbed::gateway::{ACCESS_KEY, Gateway, SECRET_KEY, access_at};
use tokio::net::TcpListener;

use crate::proxy::{Proxy, Way};
use crate::{BUCKET, PREFIX, gateway, noise, open};

/// What every request says, one after the other.
async fn all_fail(access: &StoreAccess) -> Vec<StoreError> {
    let store = Store::open(access).unwrap();
    vec![
        store.create("a", vec![1]).await.unwrap_err(),
        store.put("a", vec![1]).await.unwrap_err(),
        store.get("a").await.unwrap_err(),
        store.size("a").await.unwrap_err(),
        store.get_range("a", 0..1).await.unwrap_err(),
        store.upload("a").await.unwrap_err(),
        store.list("a").await.unwrap_err(),
        store.list_after("a", "a/b", 9).await.unwrap_err(),
        store.delete("a").await.unwrap_err(),
        store.delete_all(&["a".to_owned()]).await.unwrap_err(),
    ]
}

/// The same, all at the same time.
async fn all_fail_at_once(store: &Store) -> Vec<StoreError> {
    let requests: Vec<BoxFuture<'_, Option<StoreError>>> = vec![
        Box::pin(async { store.create("a", vec![1]).await.err() }),
        Box::pin(async { store.put("a", vec![1]).await.err() }),
        Box::pin(async { store.get("a").await.err() }),
        Box::pin(async { store.size("a").await.err() }),
        Box::pin(async { store.get_range("a", 0..1).await.err() }),
        Box::pin(async { store.upload("a").await.err() }),
        Box::pin(async { store.list("a").await.err() }),
        Box::pin(async { store.list_after("a", "a/b", 9).await.err() }),
        Box::pin(async { store.delete("a").await.err() }),
    ];
    let failed = join_all(requests).await.into_iter();
    failed.map(Option::unwrap).collect()
}

/// By that proxy.
fn open_by(proxy: &Proxy) -> Store {
    Store::open(&access_at(&proxy.endpoint(), BUCKET, PREFIX)).unwrap()
}

#[tokio::test]
async fn a_wrong_key_is_refused_at_once_and_stands_in_no_words() {
    let gateway = gateway();
    let mut other_secret = gateway.access(BUCKET, PREFIX);
    other_secret.s3.secret_access_key = "another-secret".to_owned();
    let mut other_id = gateway.access(BUCKET, PREFIX);
    other_id.s3.access_key_id = "another-id".to_owned();

    let start = Instant::now();
    for access in [other_secret, other_id] {
        for error in all_fail(&access).await {
            assert_eq!(error.reason, FailureReason::CredentialsRefused, "{error}");
            assert!(error.message.contains("Check the access key"), "{error}");
            for key in [ACCESS_KEY, SECRET_KEY, "another-secret", "another-id"] {
                assert!(!error.message.contains(key), "{error}");
            }
        }
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "it was tried again"
    );
}

#[test]
fn a_key_with_a_line_break_is_refused_with_the_field_that_names_it() {
    let nowhere = "http://127.0.0.1:1";
    for field in ["accessKeyIdRef", "secretAccessKeyRef"] {
        let mut access = access_at(nowhere, BUCKET, "");
        let key = match field {
            "accessKeyIdRef" => &mut access.s3.access_key_id,
            _ => &mut access.s3.secret_access_key,
        };
        key.push('\n');
        let error = Store::open(&access).unwrap_err();
        assert_eq!(error.reason, FailureReason::CredentialsRefused, "{error}");
        assert!(error.message.contains(field), "{error}");
        assert!(error.message.contains("Store gateway"), "{error}");
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named() {
    let gateway = gateway();
    for error in all_fail(&gateway.access("no-such-bucket", PREFIX)).await {
        assert_eq!(error.reason, FailureReason::StoreUnreachable, "{error}");
        assert!(error.message.contains("no-such-bucket"), "{error}");
        assert!(error.message.contains("Make the bucket"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_store_is_not_taken_for_one_without_the_file() {
    let gateway = gateway();
    let proxy = Proxy::start(gateway.address(), vec![Way::Page]).await;
    let store = open_by(&proxy);
    for error in [
        store.get("a").await.unwrap_err(),
        store.size("a").await.unwrap_err(),
        store.delete("a").await.unwrap_err(),
        store.delete_all(&["a".to_owned()]).await.unwrap_err(),
    ] {
        assert_eq!(error.reason, FailureReason::StoreUnreachable, "{error}");
        assert!(error.message.contains("is not S3"), "{error}");
    }
}

#[tokio::test]
async fn a_dead_endpoint_is_tried_again_and_then_told() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let access = access_at(&format!("http://{address}"), BUCKET, PREFIX);
    let store = Store::open(&access).unwrap();
    let start = Instant::now();
    let error = store.get("a").await.unwrap_err();
    assert_eq!(error.reason, FailureReason::StoreUnreachable, "{error}");
    assert!(error.message.contains("refused"), "{error}");
    assert!(error.message.contains(&address.to_string()), "{error}");
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}

/// Takes as long as it says: all at the same time.
#[tokio::test]
async fn a_store_that_never_answers_is_given_up_within_the_limit() {
    let gateway = gateway();
    let proxy = Proxy::start(gateway.address(), vec![Way::Hole]).await;
    let store = open_by(&proxy);
    let start = Instant::now();
    let failed = all_fail_at_once(&store).await;
    let took = start.elapsed();
    for error in failed {
        assert_eq!(error.reason, FailureReason::StoreUnreachable, "{error}");
    }
    assert!(took < LIMIT + Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn of_an_answer_without_end_no_more_is_read_than_an_answer_has() {
    let gateway = gateway();
    // What lies in the sockets is beside it.
    let (refusal, answer) = (16 << 20, 24 << 20);
    let proxy = Proxy::start(
        gateway.address(),
        vec![Way::Endless("500 Internal Server Error")],
    )
    .await;
    let store = open_by(&proxy);
    for error in all_fail_at_once(&store).await {
        assert_eq!(error.reason, FailureReason::StoreUnreachable, "{error}");
        assert!(error.message.contains("tried again"), "{error}");
        assert!(error.message.len() < 1_000, "{error}");
    }
    assert!(proxy.most() < refusal, "{}", proxy.most());

    let proxy = Proxy::start(gateway.address(), vec![Way::Endless("200 OK")]).await;
    let store = open_by(&proxy);
    let error = store.list("a").await.unwrap_err();
    assert_eq!(error.reason, FailureReason::StoreUnreachable, "{error}");
    assert!(error.message.contains("longer than an answer"), "{error}");
    assert!(proxy.most() < answer, "{}", proxy.most());
}

#[tokio::test]
async fn an_upload_whose_connections_are_cut_is_whole_in_the_end() {
    let gateway = gateway();
    // The first begins the upload; then parts are cut in the middle and at their end.
    let ways = vec![
        Way::CutSending(3 << 20),
        Way::CutSending(5 << 20),
        Way::CutReceiving(1),
        Way::Open,
    ];
    let proxy = Proxy::start(gateway.address(), ways).await;
    let store = open_by(&proxy);
    let content = noise(20 << 20);
    let mut upload = store.upload("data").await.unwrap();
    for part in content.chunks(8 << 20) {
        upload.part(part.to_vec()).await.unwrap();
    }
    upload.finish().await.unwrap();

    let length = u64::try_from(content.len()).unwrap();
    let read = open(&gateway).get_range("data", 0..length).await.unwrap();
    assert!(read == content, "the content is another one");
}

#[tokio::test]
async fn a_download_whose_connection_is_cut_goes_on_where_it_was() {
    let gateway = gateway();
    let content = noise(8 << 20);
    let direct = open(&gateway);
    let mut upload = direct.upload("data").await.unwrap();
    upload.part(content.clone()).await.unwrap();
    upload.finish().await.unwrap();

    let ways = vec![
        Way::CutReceiving(1 << 20),
        Way::CutReceiving(2 << 20),
        Way::Open,
    ];
    let proxy = Proxy::start(gateway.address(), ways).await;
    let store = open_by(&proxy);
    let read = store.get_range("data", 0..8 << 20).await.unwrap();
    assert!(read == content, "the content is another one");
}

#[tokio::test]
async fn an_upload_to_a_store_that_dies_says_so_and_a_new_one_works_once_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let first = Gateway::start().unwrap();
    let address: SocketAddr = first.address();
    drop(first);
    let gateway = Gateway::start_at(address, &root).unwrap();
    gateway.make_bucket(BUCKET).unwrap();
    let store = open(&gateway);
    store.create("kept", vec![7]).await.unwrap();
    let mut upload = store.upload("data").await.unwrap();
    drop(gateway);
    let sent = upload.part(noise(1000)).await;
    let finished = upload.finish().await;
    sent.unwrap();
    let error = finished.unwrap_err();
    assert_eq!(error.reason, FailureReason::StoreUnreachable, "{error}");

    let _gateway = Gateway::start_at(address, &root).unwrap();
    assert_eq!(store.get("kept").await.unwrap(), Some(vec![7]));
    assert_eq!(store.size("data").await.unwrap(), None);
    let mut upload = store.upload("data").await.unwrap();
    upload.part(noise(1000)).await.unwrap();
    upload.finish().await.unwrap();
    assert_eq!(store.size("data").await.unwrap(), Some(1000));
}
