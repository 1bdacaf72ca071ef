//! What the cluster promises to tests, on a running testbed: `make testbed-up` first, then
//! `cargo test -p hera-testbed --test cluster -- --ignored`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use hera_testbed::{Signal, Testbed};

const NAMESPACE: &str = "testbed-self-test";

fn bed() -> Testbed {
    Testbed::attach(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// Runs the words of a line in the test's namespace.
fn kubectl(bed: &Testbed, line: &str) -> anyhow::Result<String> {
    let mut words = vec!["--namespace", NAMESPACE];
    words.extend(line.split(' '));
    bed.kubectl(&words)
}

/// Sends one command in the inline form and gives the first line of the answer.
fn ask(address: &str, line: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(
        &format!("{address}:6379").parse().unwrap(),
        Duration::from_secs(1),
    )
    .ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
    let mut buffer = [0; 128];
    let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
    Some(String::from_utf8_lossy(&buffer[..length]).trim().to_owned())
}

fn within(seconds: u64, what: &str, mut test: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !test() {
        assert!(
            start.elapsed() < Duration::from_secs(seconds),
            "{what} did not happen within {seconds} s"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("{what}: {:.1} s", start.elapsed().as_secs_f64());
    start.elapsed()
}

fn pods_field(bed: &Testbed, pod: &str, path: &str) -> String {
    let path = format!("jsonpath={{{path}}}");
    kubectl(bed, &format!("get pod {pod} -o {path}")).unwrap_or_default()
}

fn ip(bed: &Testbed, pod: &str) -> String {
    pods_field(bed, pod, ".status.podIP")
}

fn uid(bed: &Testbed, pod: &str) -> String {
    pods_field(bed, pod, ".metadata.uid")
}

fn node_ready(bed: &Testbed, node: &str) -> bool {
    let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    bed.kubectl(&["get", "node", node, "-o", path])
        .is_ok_and(|status| status == "True")
}

fn rolled_out(bed: &Testbed) {
    within(90, "three ready pods", || {
        let path = "jsonpath={.status.readyReplicas}";
        kubectl(bed, &format!("get statefulset r -o {path}")).is_ok_and(|ready| ready == "3")
    });
}

#[test]
#[ignore = "needs a running testbed, and breaks its nodes"]
fn the_cluster_serves_and_can_be_broken_and_mended() {
    let bed = bed();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/redis.yaml")
        .display()
        .to_string();
    let _ = bed.kubectl(&[
        "delete",
        "namespace",
        NAMESPACE,
        "--ignore-not-found",
        "--wait=true",
        "--request-timeout=60s",
    ]);
    bed.kubectl(&["apply", "-f", &manifest]).unwrap();
    rolled_out(&bed);
    serves(&bed);
    volumes_grow(&bed);
    a_full_volume_is_full(&bed);
    processes(&bed);
    freezing(&bed);
    requests_are_counted(&bed);
    the_api_server_pauses(&bed);
    the_api_server_dies(&bed);
    blocking(&bed);
    partition(&bed);
    power_cut(&bed);
    bed.kubectl(&[
        "delete",
        "namespace",
        NAMESPACE,
        "--wait=true",
        "--request-timeout=90s",
    ])
    .unwrap();
    within(30, "the removal of the volumes", || {
        let claims = bed.kubectl(&[
            "get",
            "pv",
            "-o",
            "jsonpath={.items[*].spec.claimRef.namespace}",
        ]);
        claims.is_ok_and(|claims| !claims.contains(NAMESPACE))
    });
}

fn serves(bed: &Testbed) {
    for pod in ["r-0", "r-1", "r-2"] {
        assert_eq!(
            ask(&ip(bed, pod), "PING").as_deref(),
            Some("+PONG"),
            "{pod} from the host"
        );
    }
    let service = kubectl(bed, "get service r -o jsonpath={.spec.clusterIP}").unwrap();
    within(10, "an answer of the ClusterIP to the host", || {
        ask(&service, "PING").as_deref() == Some("+PONG")
    });
    assert_eq!(
        hera_testbed::resolve(&format!("r.{NAMESPACE}.svc.cluster.local")).unwrap(),
        service
    );
    for _ in 0..6 {
        // Some of these reach the pod itself through its Service.
        let pong = kubectl(bed, "exec r-0 -- redis-cli -h r ping").unwrap();
        assert_eq!(pong.trim(), "PONG");
    }
}

fn volumes_grow(bed: &Testbed) {
    let patch = r#"{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}"#;
    kubectl(bed, &format!("patch pvc data-r-0 -p {patch}")).unwrap();
    within(15, "the growth of a volume", || {
        let path = "jsonpath={.status.capacity.storage}";
        let text = kubectl(bed, &format!("get pvc data-r-0 -o {path}")).unwrap();
        text == "2Gi"
    });
    let name = kubectl(bed, "get pvc data-r-0 -o jsonpath={.spec.volumeName}").unwrap();
    assert!(bed.volume_folder(&name).join("appendonlydir").is_dir());
}

fn a_full_volume_is_full(bed: &Testbed) {
    let pod = "limited";
    within(30, "a pod with a limited volume", || {
        ask(&ip(bed, pod), "PING").as_deref() == Some("+PONG")
    });
    let path = "jsonpath={.spec.volumeName}";
    let volume = kubectl(bed, &format!("get pvc limited -o {path}")).unwrap();
    let file = bed.volume_folder(&volume).join("filler");
    let full = std::fs::write(&file, vec![0; 32 << 20]).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(28), "{full}");
    std::fs::remove_file(file).unwrap();
}

fn processes(bed: &Testbed) {
    let id = uid(bed, "r-1");
    let before = bed.pod_processes(&id).unwrap();
    assert!(
        before.len() == 1 && before[0].cmdline.starts_with("redis-server"),
        "{before:?}"
    );
    bed.kill_process(before[0].pid, Signal::SIGSTOP).unwrap();
    assert_eq!(
        ask(&ip(bed, "r-1"), "PING"),
        None,
        "a stopped server does not answer"
    );
    bed.kill_process(before[0].pid, Signal::SIGCONT).unwrap();
    assert_eq!(bed.kill_pod(&id).unwrap(), 1);
    within(30, "a restarted container", || {
        ask(&ip(bed, "r-1"), "PING").as_deref() == Some("+PONG")
    });
    within(30, "a counted restart", || {
        pods_field(bed, "r-1", ".status.containerStatuses[0].restartCount") == "1"
    });
    assert_ne!(bed.pod_processes(&id).unwrap()[0].pid, before[0].pid);
}

fn freezing(bed: &Testbed) {
    let address = ip(bed, "r-2");
    let frozen = bed.freeze_pod(&uid(bed, "r-2")).unwrap();
    assert_eq!(ask(&address, "PING"), None, "a frozen pod does not answer");
    frozen.end().unwrap();
    assert_eq!(ask(&address, "PING").as_deref(), Some("+PONG"));
}

fn the_api_server_pauses(bed: &Testbed) {
    let paused = bed.pause_api().unwrap();
    assert!(
        bed.kubectl(&["get", "--raw", "/readyz", "--request-timeout=2s"])
            .is_err()
    );
    paused.end().unwrap();
    within(20, "an answer of the API server", || {
        bed.kubectl(&["get", "--raw", "/readyz", "--request-timeout=2s"])
            .is_ok()
    });
}

fn requests_are_counted(bed: &Testbed) {
    kubectl(bed, "create serviceaccount counted").unwrap();
    let token = kubectl(bed, "create token counted").unwrap();
    let user = format!("system:serviceaccount:{NAMESPACE}:counted");
    let flag = format!("--token={}", token.trim());
    // Only the server's address and certificate are the administrator's.
    let config = std::fs::read_to_string(bed.kubeconfig()).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["users"][0]["user"] = serde_json::json!({});
    let file = std::env::temp_dir().join(format!("hera-testbed-config-{}", std::process::id()));
    std::fs::write(&file, config.to_string()).unwrap();
    let kubeconfig = format!("--kubeconfig={}", file.display());
    for verb in ["get", "delete"] {
        assert!(
            bed.kubectl(&[&kubeconfig, &flag, verb, "configmap/none"])
                .is_err()
        );
    }
    std::fs::remove_file(file).unwrap();
    let requests = bed.requests(&user).unwrap();
    let seen = |verb: &str| {
        requests
            .iter()
            .any(|one| one.verb == verb && one.resource == "configmaps" && one.code == 403)
    };
    assert!(seen("get") && seen("delete"), "{requests:?}");
    assert!(
        bed.requests("system:serviceaccount:nobody:counted")
            .unwrap()
            .is_empty()
    );
}

fn the_api_server_dies(bed: &Testbed) {
    let dead = bed.kill_api().unwrap();
    assert!(
        bed.kubectl(&["get", "--raw", "/readyz", "--request-timeout=2s"])
            .is_err()
    );
    dead.end().unwrap();
    bed.kubectl(&["get", "--raw", "/readyz", "--request-timeout=2s"])
        .unwrap();
}

fn blocking(bed: &Testbed) {
    let (zero, one) = (ip(bed, "r-0"), ip(bed, "r-1"));
    let from = |pod: &str, to: &str| {
        let kubectl = bed.kubeconfig().with_file_name("bin/kubectl");
        let mut command = std::process::Command::new("timeout");
        command
            .arg("3")
            .arg(kubectl)
            .arg("--kubeconfig")
            .arg(bed.kubeconfig());
        command.args([
            "-n",
            NAMESPACE,
            "exec",
            pod,
            "--",
            "redis-cli",
            "-h",
            to,
            "ping",
        ]);
        command.output().unwrap().stdout == b"PONG\n"
    };
    let blocked = bed.block(&zero, &one).unwrap();
    assert!(
        !from("r-0", &one) && ask(&one, "PING").is_some(),
        "only the two are cut off from each other"
    );
    blocked.end().unwrap();
    assert!(from("r-0", &one));
}

fn partition(bed: &Testbed) {
    let node = pods_field(bed, "r-0", ".spec.nodeName");
    let cut = bed.partition_node(&node).unwrap();
    assert_eq!(ask(&ip(bed, "r-0"), "PING"), None);
    within(60, "a partitioned node is not ready", || {
        !node_ready(bed, &node)
    });
    assert!(
        !bed.pod_processes(&uid(bed, "r-0")).unwrap().is_empty(),
        "the server beyond the cut runs on"
    );
    cut.end().unwrap();
    within(30, "the node is ready again", || node_ready(bed, &node));
    within(30, "its pod answers", || {
        ask(&ip(bed, "r-0"), "PING").as_deref() == Some("+PONG")
    });
}

fn power_cut(bed: &Testbed) {
    let node = pods_field(bed, "r-0", ".spec.nodeName");
    let id = uid(bed, "r-0");
    let dead = bed.kill_node(&node).unwrap();
    assert!(bed.pod_processes(&id).is_err() || bed.pod_processes(&id).unwrap().is_empty());
    within(60, "a dead node is not ready", || !node_ready(bed, &node));
    dead.end().unwrap();
    within(30, "the node is ready again", || node_ready(bed, &node));
    rolled_out(bed);
    within(60, "its pod answers", || {
        ask(&ip(bed, "r-0"), "PING").as_deref() == Some("+PONG")
    });
}
