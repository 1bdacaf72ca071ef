//! The built-in ACL policy: rights by preset.
