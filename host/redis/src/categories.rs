use std::collections::BTreeSet;

use hera_core::acl::Categories;

use crate::{Error, Server};

impl Server {
    /// The server's own table of command categories.
    ///
    /// From 7.0 on subcommands are listed as `config|set`; before, only their commands are.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn categories(&self) -> Result<Categories, Error> {
        let mut command = redis::cmd("ACL");
        command.arg("CAT");
        let names: Vec<String> = self.ask("ACL CAT", &command).await?;
        let mut pipeline = redis::pipe();
        for name in &names {
            pipeline.cmd("ACL").arg("CAT").arg(name);
        }
        if names.is_empty() {
            return Err(Error::unexpected("ACL CAT", "no category at all"));
        }
        let commands: Vec<BTreeSet<String>> = self.ask_all("ACL CAT", &pipeline).await?;
        if commands.len() != names.len() {
            return Err(Error::unexpected("ACL CAT", "an answer is missing"));
        }
        Ok(names.into_iter().zip(commands).collect())
    }
}
