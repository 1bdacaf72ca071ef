//! Talks RESP to one server: reads what it is, carries out what the core decided.
