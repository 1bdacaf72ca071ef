//! Kubernetes plumbing: server-side apply, leader election, Events, status writing.
