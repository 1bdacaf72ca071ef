//! The objects, and what is done with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use json_patch::{Patch, PatchOperation};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// Code and words.
#[derive(Debug)]
pub struct Failed(pub u16, pub String);

impl Failed {
    pub fn not_found(what: &str) -> Self {
        Self(404, format!("{what} not found"))
    }

    fn conflict(name: &str) -> Self {
        let words = format!(
            "the object {name} has been modified; apply your changes to the latest version"
        );
        Self(409, words)
    }
}

/// What somebody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`.
    pub verb: &'static str,
    pub api_version: String,
    pub plural: String,
    pub namespace: String,
    pub name: String,
    /// A subresource.
    pub part: String,
}

impl Request {
    /// True if it changes something.
    pub fn writes(&self) -> bool {
        matches!(self.verb, "create" | "update" | "patch" | "delete")
    }
}

/// What a test lets a request come to.
pub enum Answer {
    Refuse(u16, String),
    /// None ever, as of a webhook that is not there.
    Hang,
    /// As usual, after something else happened.
    After(Box<dyn FnOnce(&Store) + Send>),
}

type Rule = Box<dyn Fn(&Request, bool) -> Option<Answer> + Send>;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    plural: String,
    namespace: String,
    name: String,
    group: String,
}

impl Key {
    /// The least of those that begin so.
    fn from(plural: &str, namespace: &str, name: &str) -> Self {
        Self {
            plural: plural.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            group: String::new(),
        }
    }
}

#[derive(Default)]
struct Inner {
    version: u64,
    objects: BTreeMap<Key, Value>,
    /// Of all objects.
    uids: BTreeSet<String>,
    /// What each manager applied last.
    applied: BTreeMap<(Key, String), Value>,
    /// Version, `ADDED`, `MODIFIED` or `DELETED`, key, object.
    history: Vec<(u64, &'static str, Key, Value)>,
    rules: Vec<Rule>,
    asked: Vec<Request>,
    /// By plural, how late watches are.
    delays: BTreeMap<String, Duration>,
}

pub struct Store {
    inner: Mutex<Inner>,
    version: watch::Sender<u64>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            version: watch::channel(0).0,
        }
    }
}

impl Store {
    /// From now on `rule` says what is refused: it sees each request, and whether the object is there.
    pub fn refuse(&self, rule: impl Fn(&Request, bool) -> Option<Answer> + Send + 'static) {
        self.lock().rules.push(Box::new(rule));
    }

    /// From now on nothing is refused.
    pub fn relent(&self) {
        self.lock().rules.clear();
    }

    /// From now on watches of a kind tell of each change that much later.
    pub fn delay(&self, plural: &str, late: Duration) {
        self.lock().delays.insert(plural.to_owned(), late);
    }

    /// Tells of each change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// How many requests so far were such.
    pub fn count(&self, such: impl Fn(&Request) -> bool) -> usize {
        self.lock().asked.iter().filter(|asked| such(asked)).count()
    }

    /// Everything that was asked for so far.
    pub fn asked(&self) -> Vec<Request> {
        self.lock().asked.clone()
    }

    /// Puts an object there, in place of one of its name, as a person or a controller does; as it is
    /// then.
    pub fn put(&self, plural: &str, object: Value) -> Value {
        let key = key_of(plural, &object);
        let mut inner = self.lock();
        inner.keep(key.clone(), object);
        self.tell(&inner);
        inner.objects[&key].clone()
    }

    /// Changes an object that is there.
    pub fn edit(&self, plural: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut inner = self.lock();
        let key = inner.key(plural, namespace, name).expect("no such object");
        let mut object = inner.objects[&key].clone();
        change(&mut object);
        inner.keep(key, object);
        self.tell(&inner);
    }

    /// An object, if it is there.
    pub fn find(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let inner = self.lock();
        inner
            .objects
            .get(&inner.key(plural, namespace, name)?)
            .cloned()
    }

    /// All objects of a kind.
    pub fn all(&self, plural: &str) -> Vec<Value> {
        let inner = self.lock();
        let of_kind = inner.of_kind(plural);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    /// Takes an object away, and what it owns.
    pub fn remove(&self, plural: &str, namespace: &str, name: &str) {
        let mut inner = self.lock();
        let key = inner.key(plural, namespace, name).expect("no such object");
        inner.remove(&key);
        self.tell(&inner);
    }

    pub(super) fn verdict(&self, asked: &Request) -> Option<Answer> {
        let mut inner = self.lock();
        inner.asked.push(asked.clone());
        let is_there = inner.objects.contains_key(&key(asked));
        inner.rules.iter().find_map(|rule| rule(asked, is_there))
    }

    pub(super) fn get(&self, asked: &Request) -> Result<Value, Failed> {
        let inner = self.lock();
        let found = inner.objects.get(&key(asked)).cloned();
        found.ok_or_else(|| Failed::not_found(&asked.name))
    }

    pub(super) fn list(&self, asked: &Request, query: &BTreeMap<String, String>) -> Value {
        let inner = self.lock();
        let chosen = inner.of_kind(&asked.plural);
        let chosen = chosen.filter(|(key, object)| concerns(asked, query, key, object));
        let items: Vec<_> = chosen.map(|(_, object)| object.clone()).collect();
        json!({
            "apiVersion": asked.api_version, "kind": "List",
            "metadata": {"resourceVersion": inner.version.to_string()}, "items": items,
        })
    }

    pub(super) fn create(&self, asked: &Request, mut object: Value) -> Result<Value, Failed> {
        let mut inner = self.lock();
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        object["metadata"]["namespace"] = json!(asked.namespace);
        let key = Key { name, ..key(asked) };
        if inner.objects.contains_key(&key) {
            return Err(Failed(409, format!("{} already exists", key.name)));
        }
        inner.keep(key.clone(), object);
        let kept = inner.objects[&key].clone();
        inner.collect(&key);
        self.tell(&inner);
        Ok(kept)
    }

    pub(super) fn update(&self, asked: &Request, object: Value) -> Result<Value, Failed> {
        let mut inner = self.lock();
        let key = key(asked);
        let live = inner.objects.get(&key);
        let live = live.ok_or_else(|| Failed::not_found(&asked.name))?;
        check(live, &object)?;
        inner.keep(key.clone(), object);
        let kept = inner.objects[&key].clone();
        inner.collect(&key);
        self.tell(&inner);
        Ok(kept)
    }

    pub(super) fn patch(
        &self,
        asked: &Request,
        content_type: &str,
        manager: &str,
        patch: Value,
    ) -> Result<Value, Failed> {
        let mut inner = self.lock();
        let key = key(asked);
        let live = inner.objects.get(&key).cloned();
        let applies = content_type.starts_with("application/apply-patch");
        let mut object = match live {
            Some(live) => live,
            None if applies && asked.part.is_empty() && patch["metadata"]["uid"].is_null() => {
                json!({"metadata": {"namespace": asked.namespace}})
            }
            None => return Err(Failed::not_found(&asked.name)),
        };
        if applies {
            check(&object, &patch)?;
            let managed = (key.clone(), format!("{manager} {}", asked.part));
            let patch = without_preconditions(patch);
            if let Some(before) = inner.applied.insert(managed, patch.clone()) {
                take_away(&mut object, &before, &patch);
            }
            json_patch::merge(&mut object, &patch);
        } else if content_type.starts_with("application/json-patch") {
            patch_operations(&mut object, patch)?;
        } else {
            check(&object, &patch)?;
            json_patch::merge(&mut object, &without_preconditions(patch));
        }
        inner.keep(key.clone(), object);
        let kept = inner.objects[&key].clone();
        inner.collect(&key);
        self.tell(&inner);
        Ok(kept)
    }

    pub(super) fn delete(&self, asked: &Request, options: &Value) -> Result<Value, Failed> {
        let mut inner = self.lock();
        let key = key(asked);
        let live = inner.objects.get(&key).cloned();
        let live = live.ok_or_else(|| Failed::not_found(&asked.name))?;
        check(&live, &json!({"metadata": options["preconditions"]}))?;
        inner.remove(&key);
        self.tell(&inner);
        Ok(live)
    }

    /// What changed since a version, once something did, and the version by then.
    pub(super) async fn changes(
        &self,
        asked: &Request,
        query: &BTreeMap<String, String>,
        since: u64,
    ) -> (Vec<Value>, u64) {
        let mut version = self.version.subscribe();
        // The sender lives as long as this does.
        let _ = version.wait_for(|now| *now > since).await;
        let late = self.lock().delays.get(&asked.plural).copied();
        if let Some(late) = late {
            tokio::time::sleep(late).await;
        }
        let inner = self.lock();
        let known = inner
            .history
            .partition_point(|(version, ..)| *version <= since);
        let news = inner.history[known..].iter();
        let news = news.filter(|(_, _, key, object)| concerns(asked, query, key, object));
        let events = news.map(|(_, type_, _, object)| json!({"type": type_, "object": object}));
        (events.collect(), inner.version)
    }

    fn tell(&self, inner: &Inner) {
        self.version.send_replace(inner.version);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

impl Inner {
    fn key(&self, plural: &str, namespace: &str, name: &str) -> Option<Key> {
        let mut keys = self.objects.range(Key::from(plural, namespace, name)..);
        let (key, _) = keys.next()?;
        let is_it = key.plural == plural && key.namespace == namespace && key.name == name;
        is_it.then(|| key.clone())
    }

    fn of_kind(&self, plural: &str) -> impl Iterator<Item = (&Key, &Value)> {
        let from = self.objects.range(Key::from(plural, "", "")..);
        from.take_while(move |(key, _)| key.plural == plural)
    }

    /// Keeps an object, if it differs from what is there.
    fn keep(&mut self, key: Key, mut object: Value) {
        let live = self.objects.get(&key);
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.name);
        if let Some(live) = live {
            for field in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
                metadata[field] = live["metadata"][field].clone();
            }
            if *live == object {
                return;
            }
        }
        let is_new = live.is_none();
        let changed = live.is_none_or(|live| live["spec"] != object["spec"]);
        self.version += 1;
        let metadata = &mut object["metadata"];
        if is_new {
            let uid = format!("uid-{}", self.version);
            metadata["uid"] = json!(uid);
            self.uids.insert(uid);
            metadata["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        if changed {
            let generation = metadata["generation"].as_i64().unwrap_or(0);
            metadata["generation"] = json!(generation + 1);
        }
        metadata["resourceVersion"] = json!(self.version.to_string());
        let type_ = if is_new { "ADDED" } else { "MODIFIED" };
        self.history
            .push((self.version, type_, key.clone(), object.clone()));
        self.objects.insert(key, object);
    }

    /// What is made for an owner that is gone by then goes as well.
    fn collect(&mut self, key: &Key) {
        let owners = self.objects[key]["metadata"]["ownerReferences"].as_array();
        let owners: Vec<_> = owners
            .into_iter()
            .flatten()
            .map(|owner| &owner["uid"])
            .collect();
        let lives = |uid: &&Value| uid.as_str().is_some_and(|uid| self.uids.contains(uid));
        if !owners.is_empty() && !owners.iter().any(lives) {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: &Key) {
        let Some(mut object) = self.objects.remove(key) else {
            return;
        };
        self.applied.retain(|(of, _), _| of != key);
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let uid = object["metadata"]["uid"].clone();
        self.uids.remove(uid.as_str().unwrap_or_default());
        self.history
            .push((self.version, "DELETED", key.clone(), object));
        let owned = |object: &Value| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == uid))
        };
        let left: Vec<_> = self
            .objects
            .iter()
            .filter(|(_, object)| owned(object))
            .collect();
        let left: Vec<_> = left.into_iter().map(|(key, _)| key.clone()).collect();
        for key in left {
            self.remove(&key);
        }
    }
}

fn group(api_version: &str) -> String {
    match api_version.split_once('/') {
        Some((group, _)) => group.to_owned(),
        None => String::new(),
    }
}

fn key(asked: &Request) -> Key {
    let Request {
        api_version,
        plural,
        namespace,
        name,
        ..
    } = asked.clone();
    Key {
        group: group(&api_version),
        plural,
        namespace,
        name,
    }
}

fn key_of(plural: &str, object: &Value) -> Key {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    Key {
        group: group(object["apiVersion"].as_str().unwrap_or_default()),
        plural: plural.to_owned(),
        namespace: text(&metadata["namespace"]),
        name: text(&metadata["name"]),
    }
}

fn concerns(asked: &Request, query: &BTreeMap<String, String>, key: &Key, object: &Value) -> bool {
    key.group == group(&asked.api_version)
        && key.plural == asked.plural
        && (asked.namespace.is_empty() || key.namespace == asked.namespace)
        && selected(query.get("labelSelector"), |label| {
            object["metadata"]["labels"][label].as_str()
        })
        && selected(query.get("fieldSelector"), |field| {
            object
                .pointer(&format!("/{}", field.replace('.', "/")))?
                .as_str()
        })
}

/// Only `name`, `name=value` and several of them are known.
fn selected<'a>(selector: Option<&String>, value: impl Fn(&str) -> Option<&'a str>) -> bool {
    let parts = selector.map_or("", String::as_str).split(',');
    let mut parts = parts.filter(|part| !part.is_empty());
    parts.all(|part| match part.split_once('=') {
        Some((name, wanted)) => value(name) == Some(wanted.trim_start_matches('=')),
        None => value(part).is_some(),
    })
}

/// Uid and version in what is sent must be those of the object.
fn check(live: &Value, sent: &Value) -> Result<(), Failed> {
    for field in ["uid", "resourceVersion"] {
        let wanted = &sent["metadata"][field];
        if !wanted.is_null() && *wanted != live["metadata"][field] {
            let name = live["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Failed::conflict(name));
        }
    }
    Ok(())
}

fn without_preconditions(mut patch: Value) -> Value {
    if let Some(metadata) = patch["metadata"].as_object_mut() {
        metadata.retain(|field, _| field != "uid" && field != "resourceVersion");
    }
    patch
}

/// Takes away what a manager applied before and does not any more.
fn take_away(object: &mut Value, before: &Value, now: &Value) {
    let (Some(object), Some(before)) = (object.as_object_mut(), before.as_object()) else {
        return;
    };
    let nothing = Map::new();
    let now = now.as_object().unwrap_or(&nothing);
    for (field, known) in before {
        match (now.get(field), object.get_mut(field)) {
            (None, _) => drop(object.remove(field)),
            (Some(now), Some(live)) => take_away(live, known, now),
            (Some(_), None) => {}
        }
    }
}

/// A test for null passes where nothing is.
fn patch_operations(object: &mut Value, patch: Value) -> Result<(), Failed> {
    let invalid = |error: String| Failed(422, error);
    let Patch(mut operations) =
        serde_json::from_value(patch).map_err(|error| invalid(error.to_string()))?;
    operations.retain(|operation| match operation {
        PatchOperation::Test(test) if test.value.is_null() => object
            .pointer(test.path.as_str())
            .is_some_and(|value| !value.is_null()),
        _ => true,
    });
    json_patch::patch(object, &operations).map_err(|error| invalid(error.to_string()))
}
