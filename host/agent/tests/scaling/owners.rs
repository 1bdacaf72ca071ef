//! Who has which slot of a cluster that is at rest, to ask without being sent on.

use hera_core::cluster::SlotSet;
use hera_redis::{Cmd, Server};

/// A command and its arguments.
pub type Words = Vec<Vec<u8>>;

/// As it is sent.
pub fn command(words: &[Vec<u8>]) -> Cmd {
    let name = std::str::from_utf8(&words[0]).unwrap();
    let mut command = hera_redis::command(name);
    command.arg(&words[1..]);
    command
}

/// Who has which slot.
pub struct Owners(Vec<(SlotSet, Server)>);

impl Owners {
    pub fn new(owners: Vec<(SlotSet, Server)>) -> Self {
        Self(owners)
    }

    pub fn of(&self, slot: u16) -> &Server {
        let mut owners = self.0.iter();
        let owner = owners.find(|(slots, _)| slots.contains(slot));
        &owner.unwrap_or_else(|| panic!("nobody has slot {slot}")).1
    }
}
