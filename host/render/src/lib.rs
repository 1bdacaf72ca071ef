//! From a validated spec to Kubernetes objects and server configuration.
