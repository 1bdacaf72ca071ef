//! Grants everybody every key and channel.

use hera_policy_sdk::acl::{KeyAccess, KeyGrant};

hera_policy_hostile::policy!(|_, input| {
    let mut answer = hera_policy_hostile::honest(input);
    for user in &mut answer.users {
        user.keys = vec![KeyGrant {
            pattern: "*".to_owned(),
            access: KeyAccess::ReadWrite,
        }];
        user.channels = vec!["*".to_owned()];
    }
    Ok(answer)
});
