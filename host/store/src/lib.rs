//! Files in an object store. A file is made once and never changed, but for those that say how far something is; every
//! request ends within [`LIMIT`]; every failure says in words what people can do.

mod answers;
mod connect;
mod error;
mod store;
mod upload;

pub use error::{LIMIT, StoreError};
pub use store::{Created, Entry, MOST_ENTRIES, MOST_WHOLE, Store};
pub use upload::Upload;
