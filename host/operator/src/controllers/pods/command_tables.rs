//! The command tables of servers, as their agents tell them: of each pod its own, as an agent may lie.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hera_core::acl::Categories;

/// Commands and subcommands of a server are about 400, each in a few categories; of one with modules some more.
const MOST_NAMES: usize = 16_384;

/// Tables by pod. Servers of one version have one in memory.
#[derive(Default)]
pub struct CommandTables(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// By the pod's uid, with the id of the server's run.
    of_pods: HashMap<String, (String, Arc<Categories>)>,
    distinct: Vec<Weak<Categories>>,
}

impl CommandTables {
    /// That of a pod's server in this run.
    pub fn get(&self, pod_uid: &str, run_id: &str) -> Option<Arc<Categories>> {
        let known = self.lock();
        let (run, table) = known.of_pods.get(pod_uid)?;
        (run == run_id).then(|| table.clone())
    }

    /// Takes one in; none if no server has so many commands.
    pub fn put(&self, pod_uid: &str, run_id: &str, table: Categories) -> Option<Arc<Categories>> {
        let names: usize = table.values().map(BTreeSet::len).sum();
        if names.saturating_add(table.len()) > MOST_NAMES {
            return None;
        }
        let mut known = self.lock();
        known.distinct.retain(|known| known.strong_count() > 0);
        let mut same = known.distinct.iter().filter_map(Weak::upgrade);
        let table = match same.find(|known| **known == table) {
            Some(known) => known,
            None => {
                let table = Arc::new(table);
                known.distinct.push(Arc::downgrade(&table));
                table
            }
        };
        let of_pod = (run_id.to_owned(), table.clone());
        known.of_pods.insert(pod_uid.to_owned(), of_pod);
        Some(table)
    }

    /// The pod is gone.
    pub fn forget(&self, pod_uid: &str) {
        self.lock().of_pods.remove(pod_uid);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(command: &str) -> Categories {
        [("read".to_owned(), [command.to_owned()].into())].into()
    }

    #[test]
    fn what_one_pod_tells_of_its_server_is_no_table_of_another() {
        let tables = CommandTables::default();
        tables.put("mine", "run", table("get")).unwrap();
        tables.put("theirs", "run", table("flushall")).unwrap();
        assert_eq!(*tables.get("mine", "run").unwrap(), table("get"));
        assert!(tables.get("mine", "another run").is_none());
        tables.forget("mine");
        assert!(tables.get("mine", "run").is_none());
    }

    #[test]
    fn servers_of_one_version_have_one_table_in_memory() {
        let tables = CommandTables::default();
        let one = tables.put("a", "run", table("get")).unwrap();
        let other = tables.put("b", "run", table("get")).unwrap();
        assert!(Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn a_table_of_more_commands_than_a_server_has_is_none() {
        let endless = (0..MOST_NAMES).map(|number| number.to_string()).collect();
        let endless = [("read".to_owned(), endless)].into();
        assert!(CommandTables::default().put("a", "run", endless).is_none());
    }
}
