//! The server is held down until its data is there.

use std::fs;
use std::io::ErrorKind;

use hera_core::agent::{Role, ServerState};
use hera_core::backup::RecoveryNews;
use serde::Deserialize;
use tracing::{info, warn};

use super::{Ordered, Recovery, end, fetch, files};
use crate::agent::Agent;
use crate::settings::Settings;
use crate::state::remembered::State;
use crate::state::state_file::StateFile;

/// Beside the mounted configuration: the object's data comes from a backup.
const DUE: &str = "recovery.json";

/// What stands in it.
#[derive(Deserialize)]
struct Due {
    /// Uid of the object.
    uid: String,
}

impl Recovery {
    /// How far it is when the agent starts. What an earlier agent had noted and did not finish is finished.
    pub fn find(settings: &Settings, state_file: &StateFile) -> Self {
        Self::new(found(settings, state_file))
    }
}

fn found(settings: &Settings, state_file: &StateFile) -> Option<RecoveryNews> {
    if let Some(note) = files::noted(settings) {
        let filling = note.filling()?;
        let remember = |source| {
            let recovered = |state: &mut State| state.is_recovered(source);
            state_file.change(recovered, |_| {}).map(drop)
        };
        return Some(match files::take_up(settings, &filling, remember) {
            Ok(()) => filling.done(),
            Err(failure) => RecoveryNews::Failed { failure },
        });
    }
    if !is_due(settings) {
        return None;
    }
    Some(match files::data(&settings.data) {
        Some(file) => RecoveryNews::Failed {
            failure: files::present(&file),
        },
        None => {
            files::discard(settings);
            RecoveryNews::Waiting
        }
    })
}

/// A file that says nothing of an object counts for one: whoever starts without data that was to come is empty.
fn is_due(settings: &Settings) -> bool {
    let path = settings.config.with_file_name(DUE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return false,
        Err(error) => {
            warn!(path = %path.display(), %error, "whose recovery is due cannot be read");
            return true;
        }
    };
    match serde_json::from_slice::<Due>(&text) {
        Ok(due) => due.uid == settings.object_uid,
        Err(error) => {
            warn!(path = %path.display(), %error, "whose recovery is due cannot be read");
            true
        }
    }
}

/// Completes once the server may start, or is to stop for good: carries out what is ordered until then.
pub async fn wait(agent: &Agent) {
    let mut news = agent.recovery.state.subscribe();
    loop {
        let (state, ordered) = {
            let ordered = agent.recovery.ordered();
            (news.borrow_and_update().clone(), ordered.clone())
        };
        let Some(why) = why(state.as_ref()) else {
            return;
        };
        agent.board.change(|status| {
            status.server = ServerState::Fenced;
            status.role = Role::Unknown;
            status.link = None;
            status.waiting_for = Some(why);
        });
        match ordered {
            Some(Ordered { from, store }) => {
                let filled = tokio::select! {
                    filled = Box::pin(fetch::fill(agent, &from, &store)) => filled,
                    () = agent.until_stopping() => return,
                };
                end(agent, filled);
            }
            None => tokio::select! {
                _ = news.changed() => info!("the recovery goes on"),
                () = agent.until_stopping() => return,
            },
        }
    }
}

/// Why the server does not run; none if it may.
fn why(state: Option<&RecoveryNews>) -> Option<String> {
    match state? {
        RecoveryNews::Done { .. } => None,
        RecoveryNews::Waiting => {
            Some("the operator says from which backup the data comes".to_owned())
        }
        RecoveryNews::Running => Some("the data comes from a backup".to_owned()),
        RecoveryNews::Failed { failure } => Some(format!(
            "the data cannot come from a backup: {}: {}",
            failure.reason.as_str(),
            failure.message
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::failed;
    use crate::backup::recovery::append_only;
    use crate::backup::recovery::files::Filling;
    use crate::state::remembered::Source;
    use hera_core::backup::FailureReason;
    use std::path::Path;

    /// A pod of the object `o`.
    struct Volume {
        settings: Settings,
        state_file: StateFile,
    }

    impl Volume {
        fn in_folder(folder: &Path) -> Self {
            let mut settings = Settings::of_a_pod();
            settings.data = folder.to_owned();
            settings.config = folder.join("server.json");
            fs::create_dir(settings.own()).unwrap();
            let state_file = StateFile::open(settings.own().join("state"));
            Self {
                settings,
                state_file,
            }
        }

        fn is_due_for(&self, text: &str) {
            fs::write(self.settings.data.join(DUE), text).unwrap();
        }

        fn found(&self) -> Option<RecoveryNews> {
            found(&self.settings, &self.state_file)
        }
    }

    fn base() -> Filling {
        let base = serde_json::from_value(serde_json::json!({
            "v": 1, "uid": "old", "shard": "0", "engine": "redis", "version": "7.0.15",
            "magic": "REDIS0010", "replicationId": "r", "offset": 7, "streamDb": 0,
            "takenUnixMs": 9, "pod": "p-0", "role": "primary", "rawBytes": 5, "storedBytes": 5,
            "sha256": "", "crc64": "0", "usedMemory": 1, "path": "shop.cache/old/base/0/r-7"
        }));
        Filling {
            base: base.unwrap(),
            reached_unix_ms: None,
        }
    }

    #[test]
    fn a_recovery_is_due_for_the_object_that_it_names_and_for_whoever_cannot_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::in_folder(folder.path());
        assert_eq!(volume.found(), None);
        volume.is_due_for(r#"{"uid": "another"}"#);
        assert_eq!(volume.found(), None);
        for text in [r#"{"uid": "o"}"#, "", "{"] {
            volume.is_due_for(text);
            assert_eq!(volume.found(), Some(RecoveryNews::Waiting), "{text:?}");
        }
    }

    #[test]
    fn what_came_without_a_note_is_removed_and_what_was_noted_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::in_folder(folder.path());
        volume.is_due_for(r#"{"uid": "o"}"#);
        let settings = &volume.settings;
        let (incoming, dump) = (files::incoming(settings), settings.data.join("dump.rdb"));
        fs::write(&incoming, "half").unwrap();
        assert_eq!(volume.found(), Some(RecoveryNews::Waiting));
        assert!(!incoming.exists());

        fs::write(&incoming, "whole").unwrap();
        files::note(settings, Some(&base())).unwrap();
        for _ in 0..2 {
            assert_eq!(volume.found(), Some(base().done()));
            assert_eq!(fs::read(&dump).unwrap(), b"whole");
            assert!(!incoming.exists());
        }
        let state = volume.state_file.get();
        assert_eq!((state.unread, state.source), (true, Some(Source::Rdb)));
    }

    #[test]
    fn a_base_and_its_log_take_their_place_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::in_folder(folder.path());
        volume.is_due_for(r#"{"uid": "o"}"#);
        let settings = &volume.settings;
        let comes = || {
            append_only::begin(settings).unwrap();
            fs::write(append_only::base(settings), "base").unwrap();
            fs::write(append_only::log(settings), "log").unwrap();
            append_only::finish(settings).unwrap();
        };
        comes();
        assert_eq!(volume.found(), Some(RecoveryNews::Waiting));
        assert!(!append_only::incoming(settings).exists(), "without a note");

        comes();
        let filling = Filling {
            reached_unix_ms: Some(70),
            ..base()
        };
        files::note(settings, Some(&filling)).unwrap();
        // An empty folder is no data.
        let place = append_only::folder(&settings.data);
        fs::create_dir(&place).unwrap();
        for _ in 0..2 {
            assert_eq!(volume.found(), Some(filling.done()));
            let files = fs::read_dir(&place).unwrap().count();
            assert_eq!(files, 3);
            assert!(!append_only::incoming(settings).exists());
        }
        let state = volume.state_file.get();
        assert_eq!((state.unread, state.source), (true, Some(Source::Aof)));
    }

    #[test]
    fn what_somebody_put_there_meanwhile_stays_and_what_came_waits() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::in_folder(folder.path());
        let settings = &volume.settings;
        append_only::begin(settings).unwrap();
        let filling = Filling {
            reached_unix_ms: Some(70),
            ..base()
        };
        files::note(settings, Some(&filling)).unwrap();
        fs::write(settings.data.join("dump.rdb"), "somebody's").unwrap();
        let Some(RecoveryNews::Failed { failure }) = volume.found() else {
            panic!("{:?}", volume.found());
        };
        assert_eq!(failure.reason, FailureReason::DataPresent);
        assert!(append_only::incoming(settings).exists());
        assert_eq!(volume.state_file.get().source, None);
    }

    #[test]
    fn data_that_nobody_noted_is_present_unless_the_server_was_to_start_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::in_folder(folder.path());
        volume.is_due_for(r#"{"uid": "o"}"#);
        fs::write(volume.settings.data.join("dump.rdb"), "somebody's").unwrap();
        let Some(RecoveryNews::Failed { failure }) = volume.found() else {
            panic!("{:?}", volume.found());
        };
        assert_eq!(failure.reason, FailureReason::DataPresent);
        assert!(failure.message.contains("dump.rdb"), "{failure:?}");
        files::note(&volume.settings, None).unwrap();
        assert_eq!(volume.found(), None);
    }

    #[test]
    fn a_note_of_another_object_says_nothing_of_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut volume = Volume::in_folder(folder.path());
        files::note(&volume.settings, Some(&base())).unwrap();
        volume.settings.object_uid = "p".to_owned();
        assert_eq!(volume.found(), None);
        volume.is_due_for(r#"{"uid": "p"}"#);
        assert_eq!(volume.found(), Some(RecoveryNews::Waiting));
        assert!(files::noted(&volume.settings).is_none());
    }

    #[test]
    fn only_a_server_that_may_start_waits_for_nothing() {
        let failure = failed(FailureReason::DataPresent, "the volume has /data/dump.rdb");
        let failed = RecoveryNews::Failed { failure };
        assert!(
            why(Some(&failed))
                .unwrap()
                .contains("DataPresent: the volume has")
        );
        assert!(why(Some(&RecoveryNews::Waiting)).is_some());
        assert_eq!(why(None), None);
    }
}
