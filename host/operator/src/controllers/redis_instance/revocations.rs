//! Users whose rights go beyond the spec while changes of it wait.

use hera_core::acl::{AclSet, CommandTable, UserRequest, revocations};

use super::site::Site;
use crate::controllers::pods::server_facts::server_facts;

impl Site<'_> {
    /// Users who have more than these requests allow, for people, while nothing is taken away.
    pub(super) async fn revocations(
        &self,
        known: Option<&AclSet>,
        requests: &[UserRequest],
    ) -> Vec<String> {
        let Some(known) = known else {
            return Vec::new();
        };
        let server = match self.running() {
            Some(asked) => server_facts(self.shared, asked).await,
            None => None,
        };
        let table = server.map(|server| CommandTable::new(&server.categories));
        let default_user = self.object.spec.common.auth.default_user;
        revocations(known, requests, default_user, table.as_ref())
    }
}
