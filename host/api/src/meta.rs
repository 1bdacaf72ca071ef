//! Names of labels, annotations and keys that are part of the API.

/// API group of every kind here.
pub const GROUP: &str = "cache.hera.io";
/// Version of every kind here.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of every kind here.
pub const API_VERSION: &str = "cache.hera.io/v1alpha1";

/// Value of `app.kubernetes.io/managed-by` on every object that the operator makes.
pub const MANAGED_BY: &str = "hera-operator";

/// Label of Kubernetes: what kind of thing an object belongs to.
pub const LABEL_NAME: &str = "app.kubernetes.io/name";
/// Label of Kubernetes: the name of the resource that an object belongs to.
pub const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";
/// Label of Kubernetes: the part that an object plays.
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
/// Label of Kubernetes: who maintains an object.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label on the operator's ConfigMap of a default policy; its value is the decision.
pub const LABEL_DEFAULT_POLICY: &str = "cache.hera.io/default-policy";
/// Label on a ConfigMap in which the operator keeps a module that decides somewhere; its value is
/// the decision.
pub const LABEL_KEPT_POLICY: &str = "cache.hera.io/kept-policy";

/// Annotation on a pod: hash of what in the spec needed a new pod when this one was made.
pub const ANNOTATION_REVISION: &str = "cache.hera.io/revision";
/// Annotation on a claim: uid of the object whose data it holds.
pub const ANNOTATION_OWNER_UID: &str = "cache.hera.io/owner-uid";

/// Name of the application user unless a Secret of the user's names another.
pub const APP_USER: &str = "app";
/// Key of the user's name in the application Secret, the operator's or the user's.
pub const KEY_USERNAME: &str = "username";
/// Key of the password in the application Secret, the operator's or the user's.
pub const KEY_PASSWORD: &str = "password";
