//! The file in which a server of a cluster keeps what it knows. Pure.

/// Its name on the data volume.
pub const NAME: &str = "nodes.conf";

/// The id of the server that wrote it.
pub fn own_id(text: &str) -> Option<&str> {
    own(text)?.split_whitespace().next()
}

/// The epoch of what it said of its slots; 0 if that is not told.
pub fn own_epoch(text: &str) -> u64 {
    let word = own(text).and_then(|line| line.split_whitespace().nth(6));
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// True if that one replicated another.
pub fn is_replicas(text: &str) -> bool {
    own(text).is_some_and(|line| flags(line).any(|flag| flag == "slave"))
}

fn own(text: &str) -> Option<&str> {
    text.lines()
        .find(|line| flags(line).any(|flag| flag == "myself"))
}

fn flags(line: &str) -> impl Iterator<Item = &str> {
    let flags = line.split_whitespace().nth(2).unwrap_or_default();
    flags.split(',')
}

/// The file without what its server cannot read again, by what that printed before it gave up: Redis 7.2 and
/// Valkey 8.1 write such (P36). Whom it was about is met again; who the server is and what it has stays. None
/// if that is lost as well, or nothing is wrong with the file.
pub fn mended(text: &str, words: &[String]) -> Option<String> {
    let bad = words.iter().find_map(|line| {
        let (_, quoted) = line.split_once("corrupted cluster config file \"")?;
        quoted.split_whitespace().next()
    });
    let is_bad = |line: &&str| match bad {
        Some(id) => line.starts_with(id),
        // An assertion names no line: it is about replicas, and in which shard they are.
        None => flags(line).any(|flag| flag == "slave") && flags(line).all(|flag| flag != "myself"),
    };
    let kept: Vec<&str> = text.lines().filter(|line| !is_bad(line)).collect();
    let kept = kept.join("\n") + "\n";
    (own(&kept).is_some() && kept != text).then_some(kept)
}

/// True if a server gave up for what it keeps there.
pub fn is_blamed(words: &[String]) -> bool {
    words.iter().any(|line| tells(line))
}

/// True for a line that blames the file.
pub fn tells(line: &str) -> bool {
    line.contains("corrupted cluster config file") || line.contains("clusterLoadConfig")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
        aa 10.0.0.1:6379@16379,,shard-id=s1 myself,master - 0 0 1 connected 0-5460\n\
        bb 10.0.0.2:6379@16379,,shard-id=s2 slave aa 0 0 1 connected\n\
        cc 10.0.0.3:6379@16379,,shard-id=s3 master - 0 0 2 connected 5461-16383\n\
        vars currentEpoch 3 lastVoteEpoch 0\n";

    #[test]
    fn it_tells_who_its_server_was() {
        assert_eq!(own_id(TEXT), Some("aa"));
        assert!(!is_replicas(TEXT));
        assert!(is_replicas(
            &TEXT.replace("myself,master -", "myself,slave cc")
        ));
        assert_eq!(own_id(""), None);
        assert_eq!(own_epoch(TEXT), 1);
        assert_eq!(own_epoch(""), 0);
    }

    /// P36.
    #[test]
    fn p36_what_a_server_cannot_read_again_goes_and_its_own_id_and_slots_stay() {
        let named = ["Unrecoverable error: corrupted cluster config file \"cc 10.0.0.3 ...\"."];
        let mended_text = mended(TEXT, &named.map(str::to_owned)).unwrap();
        assert!(mended_text.contains("aa ") && !mended_text.contains("cc 10"));
        assert!(mended_text.contains("vars currentEpoch 3"));
        let asserted = ["clusterLoadConfig+0x1f2".to_owned()];
        assert!(is_blamed(&asserted));
        let mended_text = mended(TEXT, &asserted).unwrap();
        assert!(!mended_text.contains("bb 10") && mended_text.contains("cc 10"));
        assert_eq!(
            mended(&mended_text, &asserted),
            None,
            "nothing is left to take out"
        );
        let own = ["corrupted cluster config file \"aa 10.0.0.1\"".to_owned()];
        assert_eq!(mended(TEXT, &own), None);
    }
}
