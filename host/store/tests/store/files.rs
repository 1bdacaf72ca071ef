use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hera_core::backup::FailureReason;
use hera_store::{Created, MOST_WHOLE, Store};

use crate::{BUCKET, PREFIX, gateway, noise, open};

const PART: usize = 8 << 20;

#[tokio::test]
async fn a_file_is_made_once_and_below_the_prefix() {
    let gateway = gateway();
    let store = open(&gateway);
    let made = store.create("a/owner.json", b"mine".to_vec()).await;
    assert_eq!(made.unwrap(), Created::New);
    let again = store.create("a/owner.json", b"yours".to_vec()).await;
    assert_eq!(again.unwrap(), Created::Exists);

    let content = store.get("a/owner.json").await.unwrap();
    assert_eq!(content.as_deref(), Some(&b"mine"[..]));
    assert_eq!(store.size("a/owner.json").await.unwrap(), Some(4));
    let file = gateway
        .root()
        .join(BUCKET)
        .join(PREFIX)
        .join("a/owner.json");
    assert_eq!(fs::read(file).unwrap(), b"mine");
}

#[tokio::test]
async fn a_file_that_says_how_far_something_is_is_replaced() {
    let gateway = gateway();
    let store = open(&gateway);
    for content in ["one", "another", "2"] {
        store.put("log/alive.json", content.into()).await.unwrap();
        let read = store.get("log/alive.json").await.unwrap();
        assert_eq!(read.as_deref(), Some(content.as_bytes()));
    }
    let again = store.create("log/alive.json", b"3".to_vec()).await;
    assert_eq!(again.unwrap(), Created::Exists);
    let listed = store.list("log").await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
}

#[tokio::test]
async fn without_a_prefix_a_file_lies_in_the_bucket_itself() {
    let gateway = gateway();
    let store = Store::open(&gateway.access(BUCKET, "")).unwrap();
    store.create("x", b"1".to_vec()).await.unwrap();
    assert_eq!(
        fs::read(gateway.root().join(BUCKET).join("x")).unwrap(),
        b"1"
    );
    let listed = store.list("").await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0].path, "x");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_no_error_and_may_be_deleted() {
    let gateway = gateway();
    let store = open(&gateway);
    assert_eq!(store.get("a/none").await.unwrap(), None);
    assert_eq!(store.size("a/none").await.unwrap(), None);
    assert_eq!(store.list("a").await.unwrap(), vec![]);
    store.delete("a/none").await.unwrap();

    store.create("a/one", b"1".to_vec()).await.unwrap();
    store.delete("a/one").await.unwrap();
    store.delete("a/one").await.unwrap();
    assert_eq!(store.get("a/one").await.unwrap(), None);
}

#[tokio::test]
async fn many_files_are_deleted_and_no_others_and_again_is_no_error() {
    let gateway = gateway();
    let store = open(&gateway);
    let paths: Vec<String> = (0..100).map(|number| format!("a/{number:03}")).collect();
    for path in &paths {
        store.create(path, b"x".to_vec()).await.unwrap();
    }
    store.delete_all(&[]).await.unwrap();
    store.delete_all(&paths[..50]).await.unwrap();
    let left = store.list("a").await.unwrap().into_iter();
    let left: Vec<String> = left.map(|entry| entry.path).collect();
    assert_eq!(left, paths[50..]);
    store.delete_all(&paths).await.unwrap();
    assert_eq!(store.list("a").await.unwrap(), vec![]);
}

#[tokio::test]
async fn a_list_tells_path_size_and_time_of_what_is_below_a_folder() {
    let gateway = gateway();
    let store = open(&gateway);
    for (path, length) in [("a/1", 1), ("a/b/2", 2), ("ab/3", 3)] {
        store.create(path, noise(length)).await.unwrap();
    }
    let listed = store.list("a").await.unwrap();
    let told: Vec<_> = listed
        .iter()
        .map(|entry| (entry.path.as_str(), entry.bytes))
        .collect();
    assert_eq!(told, [("a/1", 1), ("a/b/2", 2)]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for entry in &listed {
        let age = now.abs_diff(Duration::from_millis(entry.modified_unix_ms));
        assert!(age < Duration::from_secs(60), "{entry:?}");
        let size = store.size(&entry.path).await.unwrap();
        assert_eq!(size, Some(entry.bytes));
    }
}

#[tokio::test]
async fn a_list_of_many_pages_is_whole() {
    let gateway = gateway();
    let folder = gateway.root().join(BUCKET).join(PREFIX).join("many");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..2_500 {
        fs::write(folder.join(format!("{number:04}")), b"x").unwrap();
    }
    let listed = open(&gateway).list("many").await.unwrap();
    let paths: Vec<_> = listed.into_iter().map(|entry| entry.path).collect();
    let all: Vec<_> = (0..2_500)
        .map(|number| format!("many/{number:04}"))
        .collect();
    assert_eq!(paths, all);
}

#[tokio::test]
async fn what_is_behind_a_path_is_listed_page_by_page() {
    let gateway = gateway();
    let folder = gateway.root().join(BUCKET).join(PREFIX).join("many");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..2_507 {
        fs::write(folder.join(format!("{number:04}")), b"x").unwrap();
    }
    let store = open(&gateway);
    store.create("other", b"x".to_vec()).await.unwrap();
    let page = async |after: &str| {
        let page = store.list_after("many", after, 2_500).await.unwrap();
        let first = page.first().map(|entry| entry.path.clone());
        (page.len(), first.unwrap_or_default())
    };
    assert_eq!(page("many").await, (2_500, "many/0000".to_owned()));
    assert_eq!(page("many/2499").await, (7, "many/2500".to_owned()));
    assert_eq!(page("many/2505x").await, (1, "many/2506".to_owned()));
    assert_eq!(page("many/2506").await.0, 0);
    let none = store.list_after("none", "none", 10).await.unwrap();
    assert_eq!(none, vec![]);
}

#[tokio::test]
async fn the_first_bytes_of_a_file_are_all_of_it_where_it_is_shorter() {
    let gateway = gateway();
    let store = open(&gateway);
    let content = noise(100);
    store.create("a", content.clone()).await.unwrap();
    for (bytes, came) in [(10, 10), (100, 100), (5_000, 100)] {
        let first = store.first("a", bytes).await.unwrap();
        assert_eq!(first.as_deref(), Some(&content[..came]), "{bytes}");
    }
    assert_eq!(store.first("none", 10).await.unwrap(), None);
}

#[tokio::test]
async fn the_folders_in_a_folder_are_told_without_what_is_in_them() {
    let gateway = gateway();
    let store = open(&gateway);
    for path in ["a/1", "a/c/2", "a/c/d/3", "a/b/4", "ab/5"] {
        store.create(path, noise(1)).await.unwrap();
    }
    assert_eq!(store.folders("a").await.unwrap(), ["b", "c"]);
    assert_eq!(store.folders("a/b").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.folders("none").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_of_parts_is_there_once_it_is_finished_and_its_ranges_are_right() {
    let gateway = gateway();
    let store = open(&gateway);
    let content = noise(2 * PART + PART / 2);
    let mut upload = store.upload("base/data").await.unwrap();
    for part in content.chunks(PART) {
        upload.part(part.to_vec()).await.unwrap();
    }
    assert_eq!(store.size("base/data").await.unwrap(), None);
    assert_eq!(store.list("base").await.unwrap(), vec![]);
    upload.finish().await.unwrap();

    let length = u64::try_from(content.len()).unwrap();
    assert_eq!(store.size("base/data").await.unwrap(), Some(length));
    // Not the ranges of its parts.
    let step = 7_654_321;
    let mut read = Vec::new();
    for number in 0..length.div_ceil(step) {
        let range = number * step..length.min((number + 1) * step);
        read.extend(store.get_range("base/data", range).await.unwrap());
    }
    assert!(read == content, "the content is another one");
    assert_eq!(
        store.get_range("base/data", 5..5).await.unwrap(),
        Vec::<u8>::new()
    );
}

#[tokio::test]
async fn of_an_upload_that_is_given_up_nothing_is_left() {
    let gateway = gateway();
    let store = open(&gateway);
    let mut upload = store.upload("base/data").await.unwrap();
    upload.part(noise(PART)).await.unwrap();
    upload.part(noise(PART)).await.unwrap();
    upload.abort().await;
    assert_eq!(store.size("base/data").await.unwrap(), None);
    assert_eq!(store.list("").await.unwrap(), vec![]);
}

#[tokio::test]
async fn a_range_that_is_not_there_is_named_as_corrupt() {
    let gateway = gateway();
    let store = open(&gateway);
    store.create("data", noise(100)).await.unwrap();
    for range in [50..101, 100..101, 500..600] {
        let error = store.get_range("data", range).await.unwrap_err();
        assert_eq!(error.reason, FailureReason::Corrupt, "{error}");
        assert!(error.message.contains("data ends too early"), "{error}");
    }
    let error = store.get_range("none", 0..1).await.unwrap_err();
    assert_eq!(error.reason, FailureReason::Corrupt, "{error}");
    assert!(error.message.contains("none is not there"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_too_long_is_not_read_as_a_whole() {
    let gateway = gateway();
    let store = open(&gateway);
    let most = usize::try_from(MOST_WHOLE).unwrap();
    store.create("most", noise(most)).await.unwrap();
    let content = store.get("most").await.unwrap().unwrap();
    assert_eq!(content.len(), most);
    store.create("more", noise(most + 1)).await.unwrap();
    let error = store.get("more").await.unwrap_err();
    assert_eq!(error.reason, FailureReason::Corrupt, "{error}");
}
