use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use futures::TryStreamExt as _;
use futures::future::join_all;
use hera_core::backup::{FailureReason, StoreAccess};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode};

use crate::connect;
use crate::error::{Named, StoreError, Told, within};
use crate::upload::Upload;

/// Of a file that is read as a whole: those that say what the others are.
pub const MOST_WHOLE: u64 = 4 << 20;
/// Of what is listed at once.
pub const MOST_ENTRIES: usize = 100_000;
/// Files that are removed at the same time.
const REMOVED_AT_ONCE: usize = 16;

/// A store. Paths are below its prefix; every request ends within [`LIMIT`](crate::LIMIT).
#[derive(Clone)]
pub struct Store {
    s3: AmazonS3,
    prefix: Path,
    names: Arc<Named>,
}

/// Whether a file was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is there now, with this content.
    New,
    /// There is a file of this name. It may be this very one: the store's answer to an earlier try may have been lost.
    /// Who must know reads it and compares.
    Exists,
}

/// A file in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path, as every method takes it.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// When it was stored, in milliseconds since 1970, by the store's clock.
    pub modified_unix_ms: u64,
}

/// Nothing secret.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({}, {})", self.s3, self.prefix)
    }
}

impl Store {
    /// The store that is reached like this. Nothing is sent yet.
    ///
    /// # Errors
    /// When that cannot be: an endpoint that is no address, a key with a line break, a certificate that is none.
    pub fn open(access: &StoreAccess) -> Result<Self, StoreError> {
        use FailureReason::{CredentialsRefused, StoreUnreachable};
        let names = Named::new(access);
        let s3 = &access.s3;
        let keys = [
            (&s3.access_key_id, "accessKeyIdRef"),
            (&s3.secret_access_key, "secretAccessKeyRef"),
        ];
        if let Some((_, field)) = keys.iter().find(|(key, _)| !connect::is_key(key)) {
            let words = format!(
                "what {field} names is empty, or has a blank or a line break in it: make the Secret anew"
            );
            return Err(names.error(CredentialsRefused, &words));
        }
        let prefix = Path::parse(&s3.prefix).map_err(|error| {
            names.error(StoreUnreachable, &format!("its prefix is no path: {error}"))
        })?;
        let s3 = connect::bucket(s3).map_err(|words| names.error(StoreUnreachable, &words))?;
        Ok(Self {
            s3,
            prefix,
            names: Arc::new(names),
        })
    }

    /// Makes a file, unless there is one of this name.
    ///
    /// # Errors
    /// When the store does not do it. It may be made all the same, if only the answer was lost.
    pub async fn create(&self, path: &str, content: Vec<u8>) -> Result<Created, StoreError> {
        let at = self.at(path)?;
        let put = self
            .s3
            .put_opts(&at, content.into(), PutMode::Create.into());
        match within(put).await {
            Ok(_) => Ok(Created::New),
            Err(told) if told.is_there() => Ok(Created::Exists),
            Err(told) => Err(self.failed("write", path, &told)),
        }
    }

    /// Makes a file, or replaces the one of this name: for what says how far something is, and for nothing else.
    ///
    /// # Errors
    /// When the store does not do it. It may be made all the same, if only the answer was lost.
    pub async fn put(&self, path: &str, content: Vec<u8>) -> Result<(), StoreError> {
        let at = self.at(path)?;
        let put = self
            .s3
            .put_opts(&at, content.into(), PutMode::Overwrite.into());
        match within(put).await {
            Ok(_) => Ok(()),
            Err(told) => Err(self.failed("write", path, &told)),
        }
    }

    /// The whole of a file; none if there is no such file.
    ///
    /// # Errors
    /// When the store does not give it. `Corrupt` if it is longer than [`MOST_WHOLE`].
    pub async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self
            .read(&self.at(path)?, GetOptions::new(), MOST_WHOLE)
            .await
        {
            Ok(Some(content)) => Ok(Some(content)),
            Ok(None) => Err(self.corrupt(path, "is longer than a file of its kind can be")),
            Err(told) if told.is_missing() => Ok(None),
            Err(told) => Err(self.failed("read", path, &told)),
        }
    }

    /// The first bytes of a file: so many, or all of it; none if there is no such file.
    ///
    /// # Errors
    /// When the store does not give them.
    pub async fn first(&self, path: &str, bytes: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let options = GetOptions::new().with_range(Some(0..bytes));
        match self.read(&self.at(path)?, options, bytes).await {
            Ok(Some(content)) => Ok(Some(content)),
            Ok(None) => Err(self.corrupt(path, "gave more than was asked for")),
            // It is empty.
            Err(told) if told.is_beyond() => Ok(Some(Vec::new())),
            Err(told) if told.is_missing() => Ok(None),
            Err(told) => Err(self.failed("read", path, &told)),
        }
    }

    /// Bytes of a file; none if there is no such file.
    ///
    /// # Errors
    /// When the store does not tell.
    pub async fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let at = self.at(path)?;
        let head = self.s3.get_opts(&at, GetOptions::new().with_head(true));
        let found = match within(head).await {
            // Only an answer to a request for the file itself says what is missing: the file, or the bucket.
            Err(told) if told.is_without_words() => {
                within(self.s3.get_opts(&at, GetOptions::new())).await
            }
            found => found,
        };
        match found {
            Ok(found) => Ok(Some(found.meta.size)),
            Err(told) if told.is_missing() => Ok(None),
            Err(told) => Err(self.failed("look at", path, &told)),
        }
    }

    /// A range of a file.
    ///
    /// # Errors
    /// When the store does not give it. `Corrupt` if there is no such file, or it ends within the range.
    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let wanted = range.end.saturating_sub(range.start);
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let options = GetOptions::new().with_range(Some(range));
        match self.read(&self.at(path)?, options, wanted).await {
            Ok(Some(content)) if u64::try_from(content.len()) == Ok(wanted) => Ok(content),
            Ok(Some(_)) => Err(self.corrupt(path, "ends too early")),
            Ok(None) => Err(self.corrupt(path, "gave more than was asked for")),
            Err(told) if told.is_beyond() => Err(self.corrupt(path, "ends too early")),
            Err(told) if told.is_missing() => Err(self.corrupt(path, "is not there")),
            Err(told) => Err(self.failed("read", path, &told)),
        }
    }

    /// Begins a file that comes in parts. There is none before [`Upload::finish`]; one that is there is replaced then.
    ///
    /// # Errors
    /// When the store does not begin it.
    pub async fn upload(&self, path: &str) -> Result<Upload, StoreError> {
        let at = self.at(path)?;
        match within(self.s3.put_multipart(&at)).await {
            Ok(begun) => Ok(Upload::new(self.clone(), path, begun)),
            Err(told) => Err(self.failed("write", path, &told)),
        }
    }

    /// The files below a folder, in the order of their paths.
    ///
    /// # Errors
    /// When the store does not tell, or there are more than [`MOST_ENTRIES`].
    pub async fn list(&self, folder: &str) -> Result<Vec<Entry>, StoreError> {
        let at = self.at(folder)?;
        let mut found = self.s3.list(Some(&at));
        let mut entries = Vec::new();
        loop {
            match within(found.try_next()).await {
                Ok(None) => return Ok(entries),
                Ok(Some(_)) if entries.len() >= MOST_ENTRIES => {
                    let words = format!("there are more than {MOST_ENTRIES} files below {folder}");
                    return Err(self.names.error(FailureReason::StoreUnreachable, &words));
                }
                Ok(Some(meta)) => entries.push(self.entry(&meta)),
                Err(told) => return Err(self.failed("list", folder, &told)),
            }
        }
    }

    /// The next files below a folder, in the order of their paths: those behind the path `after`, which need not be
    /// there, and `most` of them at most. None are left if there are fewer.
    ///
    /// # Errors
    /// When the store does not tell.
    pub async fn list_after(
        &self,
        folder: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let (at, after) = (self.at(folder)?, self.at(after)?);
        let mut found = self.s3.list_with_offset(Some(&at), &after);
        let mut entries = Vec::new();
        while entries.len() < most {
            match within(found.try_next()).await {
                Ok(None) => break,
                Ok(Some(meta)) => entries.push(self.entry(&meta)),
                Err(told) => return Err(self.failed("list", folder, &told)),
            }
        }
        Ok(entries)
    }

    /// Names of the folders in a folder, in their order.
    ///
    /// # Errors
    /// When the store does not tell.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let at = self.at(folder)?;
        match within(self.s3.list_with_delimiter(Some(&at))).await {
            Ok(found) => {
                let names = found.common_prefixes.iter().filter_map(Path::filename);
                Ok(names.map(str::to_owned).collect())
            }
            Err(told) => Err(self.failed("list", folder, &told)),
        }
    }

    /// Removes a file. One that is not there is no error.
    ///
    /// # Errors
    /// When the store does not do it.
    pub async fn delete(&self, path: &str) -> Result<(), StoreError> {
        let at = self.at(path)?;
        match within(self.s3.delete(&at)).await {
            Ok(()) => Ok(()),
            Err(told) if told.is_missing() => Ok(()),
            Err(told) => Err(self.failed("delete", path, &told)),
        }
    }

    /// Removes files, many at the same time. One that is not there is no error.
    ///
    /// # Errors
    /// When the store does not do it with one of them. Any of the others may be removed then.
    pub async fn delete_all(&self, paths: &[String]) -> Result<(), StoreError> {
        for lot in paths.chunks(REMOVED_AT_ONCE) {
            let removed = join_all(lot.iter().map(|path| self.delete(path))).await;
            removed.into_iter().collect::<Result<(), StoreError>>()?;
        }
        Ok(())
    }

    /// The store did not do it.
    pub(crate) fn failed(&self, what: &str, path: &str, told: &Told) -> StoreError {
        self.names.failed(&format!("{what} {path}"), told)
    }

    fn corrupt(&self, path: &str, words: &str) -> StoreError {
        self.names
            .error(FailureReason::Corrupt, &format!("{path} {words}"))
    }

    /// All that comes; none if it is more than `most`.
    async fn read(
        &self,
        at: &Path,
        options: GetOptions,
        most: u64,
    ) -> Result<Option<Vec<u8>>, Told> {
        within(fetch(&self.s3, at, options, most)).await
    }

    fn at(&self, path: &str) -> Result<Path, StoreError> {
        Path::parse(format!("{}/{path}", self.prefix)).map_err(|error| {
            let words = format!("{path} is no path: {error}");
            self.names.error(FailureReason::StoreUnreachable, &words)
        })
    }

    fn entry(&self, meta: &ObjectMeta) -> Entry {
        let modified = u64::try_from(meta.last_modified.timestamp_millis());
        Entry {
            path: self.below(&meta.location),
            bytes: meta.size,
            modified_unix_ms: modified.unwrap_or(0),
        }
    }

    fn below(&self, at: &Path) -> String {
        let whole = at.as_ref();
        let below = whole.strip_prefix(self.prefix.as_ref()).unwrap_or(whole);
        below.trim_start_matches('/').to_owned()
    }
}

/// Counts what comes: a store may send more than it says.
async fn fetch(
    s3: &AmazonS3,
    at: &Path,
    options: GetOptions,
    most: u64,
) -> object_store::Result<Option<Vec<u8>>> {
    let found = s3.get_opts(at, options).await?;
    let told = found.range.end.saturating_sub(found.range.start);
    let mut content = Vec::with_capacity(usize::try_from(told.min(most)).unwrap_or(0));
    let mut pieces = found.into_stream();
    while let Some(piece) = pieces.try_next().await? {
        content.extend_from_slice(&piece);
        if u64::try_from(content.len()).is_ok_and(|length| length > most) {
            return Ok(None);
        }
    }
    Ok(Some(content))
}
