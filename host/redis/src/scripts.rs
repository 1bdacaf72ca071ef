use crate::{Error, Server};

/// What became of a script or function that was to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptEnd {
    /// It ends.
    Ends,
    /// It goes on: it has written, so only the end of the server ends it.
    HasWritten,
    /// There is none any more.
    Nothing,
}

impl Server {
    /// Ends the script or function that keeps the server busy.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn end_script(&self) -> Result<ScriptEnd, Error> {
        match self.kill("SCRIPT").await {
            // That is for functions, which came with 7.0.
            Err(Error::Refused { code, .. }) if code == "BUSY" => self.kill("FUNCTION").await,
            ended => ended,
        }
    }

    async fn kill(&self, kind: &str) -> Result<ScriptEnd, Error> {
        let mut command = redis::cmd(kind);
        command.arg("KILL");
        match self.ask::<()>(&format!("{kind} KILL"), &command).await {
            Ok(()) => Ok(ScriptEnd::Ends),
            Err(Error::Refused { code, .. }) if code == "UNKILLABLE" => Ok(ScriptEnd::HasWritten),
            Err(Error::Refused { code, .. }) if code == "NOTBUSY" => Ok(ScriptEnd::Nothing),
            Err(error) => Err(error),
        }
    }
}
