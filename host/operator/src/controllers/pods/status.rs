//! What the status of every kind has.

use hera_api::names::ObjectName;
use hera_api::{Auth, Binding, Engine};

/// Messages are for people and stay short.
const MESSAGE_CHARS: usize = 1000;

/// As much of a message as a condition has.
pub fn shorten(message: &str) -> String {
    message.chars().take(MESSAGE_CHARS).collect()
}

/// What an application binds to: the Secret that the user named, or the one that is made.
pub fn binding(auth: &Auth, name: &ObjectName) -> Binding {
    let own = auth.password_secret_ref.as_ref();
    Binding {
        name: own.map_or_else(|| name.app_secret(), |own| own.name.clone()),
    }
}

/// The engine of this name.
pub fn engine(text: &str) -> Option<Engine> {
    [Engine::Redis, Engine::Valkey]
        .into_iter()
        .find(|engine| engine.as_str() == text)
}

/// What was rejected and why, for people.
pub fn list<'a>(rejected: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let each = rejected.into_iter();
    let each = each.map(|(name, why)| format!("{name}: {why}"));
    each.collect::<Vec<_>>().join("; ")
}
