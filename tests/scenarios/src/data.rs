//! Copies of the data. All that ever was written is a tree: each promotion begins a branch.

/// A copy: the first `len` writes on the way to and along a branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Replication id, as it were.
    pub branch: u32,
    /// Offset.
    pub len: u32,
}

/// All branches.
#[derive(Debug)]
pub struct Branches(Vec<Data>);

impl Branches {
    /// Only the root, on which nothing is written.
    pub fn new() -> Self {
        Self(vec![Data::default()])
    }

    /// A new branch.
    pub fn fork(&mut self, from: Data) -> Data {
        self.0.push(from);
        Data {
            branch: u32::try_from(self.0.len() - 1).unwrap_or(u32::MAX),
            len: from.len,
        }
    }

    /// True if all of `part` is in `whole`.
    pub fn contains(&self, whole: Data, part: Data) -> bool {
        let part = self.plain(part);
        let mut whole = whole;
        loop {
            if part.len == 0 || part.branch == whole.branch {
                return part.len <= whole.len;
            }
            if whole.branch == 0 {
                return false;
            }
            let parent = self.0[whole.branch as usize];
            whole = Data {
                branch: parent.branch,
                len: parent.len.min(whole.len),
            };
        }
    }

    /// The same copy, named by the branch on which its last write is.
    fn plain(&self, mut data: Data) -> Data {
        while data.branch != 0 {
            let parent = self.0[data.branch as usize];
            if data.len > parent.len {
                break;
            }
            data.branch = parent.branch;
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_in_another_if_it_is_on_its_way() {
        let mut all = Branches::new();
        let first = Data {
            len: 9,
            ..all.fork(Data::default())
        };
        let second = Data {
            len: 12,
            ..all.fork(Data { len: 7, ..first })
        };
        let short = Data { len: 7, ..first };
        assert!(all.contains(second, short) && !all.contains(second, first));
        assert!(all.contains(first, Data { len: 6, ..second }));
        assert!(!all.contains(first, Data { len: 8, ..second }));
        assert!(all.contains(first, Data::default()) && !all.contains(Data::default(), first));
    }
}
