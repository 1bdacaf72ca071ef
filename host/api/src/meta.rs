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
/// Value of [`LABEL_NAME`] at all that belongs to a `RedisInstance`, whatever its engine.
pub const NAME_OF_INSTANCE: &str = "redis-instance";
/// Value of [`LABEL_NAME`] at all that belongs to a `RedisCluster`.
pub const NAME_OF_CLUSTER: &str = "redis-cluster";
/// Label of Kubernetes: the name of the resource that an object belongs to.
pub const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";
/// Label of Kubernetes: the part that an object plays.
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
/// Label at what belongs to one shard of a `RedisCluster`: its number, from 0.
pub const LABEL_SHARD: &str = "cache.hera.io/shard";
/// Label of Kubernetes: who maintains an object.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label on the operator's ConfigMap of a default policy; its value is the decision.
pub const LABEL_DEFAULT_POLICY: &str = "cache.hera.io/default-policy";
/// Label on a ConfigMap of the operator whose entries, if its value is `overrides`, take the place of those
/// of the catalog of images.
pub const LABEL_IMAGE_CATALOG: &str = "cache.hera.io/image-catalog";
/// Label on a ConfigMap in which the operator keeps a module that decides somewhere; its value is
/// the decision.
pub const LABEL_KEPT_POLICY: &str = "cache.hera.io/kept-policy";

/// Annotation on a pod: hash of what in the spec needed a new pod when this one was made.
pub const ANNOTATION_REVISION: &str = "cache.hera.io/revision";
/// Label on a pod, for people: `primary` or `replica`, as its server says.
pub const LABEL_ROLE: &str = "cache.hera.io/role";
/// Label of pods that serve no metrics, so that what leads a Prometheus to all pods leaves them out.
pub const LABEL_METRICS: &str = "cache.hera.io/metrics";
/// Value of [`LABEL_METRICS`].
pub const METRICS_DISABLED: &str = "Disabled";
/// Annotation on a claim: uid of the object whose data it holds.
pub const ANNOTATION_OWNER_UID: &str = "cache.hera.io/owner-uid";
/// Annotation on a claim that somebody made under the name of a pod's: name of the object that is to use it.
/// Without it such a claim is left alone. It is used as it is, and never owned, grown or deleted.
pub const ANNOTATION_ADOPT: &str = "cache.hera.io/adopt";
/// Annotation on a claim: `true` if it is that of a temporary pod; the pod's uid once the claim is
/// to go with it; `false` once the pod is to stay.
pub const ANNOTATION_TEMPORARY: &str = "cache.hera.io/temporary";
/// Annotation on a claim: `new` until an agent was heard on its volume; then which history its data is of,
/// as JSON. It stays when the object goes, and says whose copy is the latest to one of the same name.
pub const ANNOTATION_LINEAGE: &str = "cache.hera.io/lineage";
/// Annotation on the ConfigMap of an object: `made` from before the object gets a PodMonitor until that is gone. So
/// nobody looks for one where there never was any.
pub const ANNOTATION_POD_MONITOR: &str = "cache.hera.io/pod-monitor";

/// Annotation on an object, a request: name of the pod that is to become the primary.
pub const ANNOTATION_PROMOTE: &str = "cache.hera.io/promote";
/// Annotation on an object, a request: names of pods, separated by commas, or `*` for all. Their
/// servers are killed and stay down while the annotation names them. A primary that serves is not: one that a script
/// keeps busy is, where a replica is in sync. Of a RedisCluster `*` is refused while a primary serves.
pub const ANNOTATION_FENCE: &str = "cache.hera.io/fence";
/// Annotation on an object, a request: any text. Another text than before replaces each pod once,
/// as an upgrade would.
pub const ANNOTATION_RESTART: &str = "cache.hera.io/restart";
/// Annotation on an object, a request: any text. The generated password of its application user is replaced
/// once for each text; the operator takes the annotation away when it begins.
pub const ANNOTATION_ROTATE: &str = "cache.hera.io/rotate";
/// Annotation on an object, a request: any text. The password with which its servers log in at each other is replaced
/// once for each text; the operator takes the annotation away when it begins.
pub const ANNOTATION_ROTATE_REPLICATION: &str = "cache.hera.io/rotate-replication";
/// Annotation on an object, a request: while it is `true` there are no pods; the data stays.
pub const ANNOTATION_HIBERNATE: &str = "cache.hera.io/hibernate";
/// Annotation on an object, a request: any text. Another text than before asks its policies once more,
/// though nothing else changed.
pub const ANNOTATION_ASK_POLICIES: &str = "cache.hera.io/ask-policies";
/// Annotation on an object: digest of the plan that may be carried out.
pub const ANNOTATION_APPROVE: &str = "cache.hera.io/approve";
/// Annotation on a RedisCluster, a request: [`REBALANCE_PAUSED`] or [`REBALANCE_CANCEL`].
pub const ANNOTATION_REBALANCE: &str = "cache.hera.io/rebalance";
/// Value of [`ANNOTATION_REBALANCE`]: while it stands there no slot moves.
pub const REBALANCE_PAUSED: &str = "Paused";
/// Value of [`ANNOTATION_REBALANCE`]: the plan is dropped, and what moved stays where it is. The operator takes it
/// away.
pub const REBALANCE_CANCEL: &str = "Cancel";
/// Annotation on a RedisCluster, a request: digest of the plan by which slots may move. The operator takes it away
/// when it begins.
pub const ANNOTATION_REBALANCE_APPROVE: &str = "cache.hera.io/rebalance-approve";
/// Annotation on a RedisCluster, a request: any text. The policy is asked now which slots are to move; the operator
/// takes the annotation away when it has asked.
pub const ANNOTATION_REBALANCE_NOW: &str = "cache.hera.io/rebalance-now";

/// Label on a RedisBackup that the operator made: why, one of [`CAUSES`]. Without it somebody asked for it.
pub const LABEL_BACKUP_CAUSE: &str = "cache.hera.io/backup-cause";
/// Values of [`LABEL_BACKUP_CAUSE`].
pub const CAUSES: [&str; 4] = ["schedule", "age", "replay", "gap"];
/// Label on a RedisBackup that a schedule wants: its name.
pub const LABEL_BACKUP_SCHEDULE: &str = "cache.hera.io/backup-schedule";
/// Annotation on a RedisBackup that the operator made: since when it is wanted, RFC 3339.
pub const ANNOTATION_BACKUP_DUE: &str = "cache.hera.io/backup-due";
/// Annotation on a RedisBackup that the operator made: then it begins whatever a policy says, RFC 3339.
pub const ANNOTATION_BACKUP_LATEST: &str = "cache.hera.io/backup-latest";
/// Annotation on a RedisBackup, a request: while it is `true` the backup is not deleted, whatever its age.
pub const ANNOTATION_BACKUP_KEEP: &str = "cache.hera.io/keep";
/// Annotation on a RedisBackup, a request: any text. Its data is deleted in the store, and the object with it, unless
/// something needs it; the operator takes the annotation away when it refuses.
pub const ANNOTATION_BACKUP_DROP: &str = "cache.hera.io/drop";

/// Name of the application user unless the spec says another.
pub const APP_USER: &str = "app";
/// Key in the application Secret of what it leads to.
pub const KEY_TYPE: &str = "type";
/// Key of the user's name in the application Secret.
pub const KEY_USERNAME: &str = "username";
/// Key of the password in the application Secret, the operator's or the user's.
pub const KEY_PASSWORD: &str = "password";
