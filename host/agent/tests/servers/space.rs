//! Volumes that are full: a file system of memory, as large as the test says.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use hera_core::agent::{Order, RefusedWrites, Role, Space};
use hera_redis::Server;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::client::Client as _;
use crate::engine::Engine;
use crate::group::{Group, is_linked};
use crate::pod::{Pod, is_running, server_pid};

on_both!(
    a_full_append_only_file_is_told_with_the_servers_words_and_growing_heals_it,
    a_snapshot_that_does_not_fit_is_told_and_growing_heals_it,
    a_server_that_ends_at_a_full_volume_is_told_as_one_that_refuses,
    a_replica_whose_volume_is_full_says_so_and_goes_on,
    an_agent_keeps_what_it_promises_on_a_volume_without_a_byte_left,
    an_agent_that_cannot_write_its_state_says_so_until_it_can,
);
facts_on!(
    redis_8_0,
    REDIS_8_0,
    a_full_append_only_file_is_told_with_the_servers_words_and_growing_heals_it,
    a_replica_whose_volume_is_full_says_so_and_goes_on
);

const EVERY_SECOND: [(&str, &str); 3] = [
    ("appendonly", "yes"),
    ("appendfsync", "everysec"),
    ("save", "\"\""),
];

/// The data folder of a pod, on a file system of its own.
struct Volume(PathBuf);

impl Volume {
    fn of(pod: &Pod, mib: u32) -> Self {
        let volume = Self(pod.path("data"));
        volume.mount(mib, MsFlags::empty());
        volume
    }

    fn grow(&self, mib: u32) {
        self.mount(mib, MsFlags::MS_REMOUNT);
    }

    fn mount(&self, mib: u32, flags: MsFlags) {
        let size = format!("size={mib}m");
        mount(
            Some("tmpfs"),
            &self.0,
            Some("tmpfs"),
            flags,
            Some(size.as_str()),
        )
        .expect("these tests mount file systems, which takes root");
    }

    /// Takes all that is free.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        for block in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; block]).is_ok() {}
        }
        path
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// What takes a MiB of any file: it cannot be made smaller.
fn value() -> String {
    (0..1 << 15)
        .map(|_| format!("{:032x}", rand::random::<u128>()))
        .collect()
}

/// Sets values until one is refused; answers why.
async fn write_until_refused(server: &Server) -> String {
    for number in 0..80 {
        if let Err(error) = server.set(&format!("key:{number}"), &value()).await {
            return error.to_string();
        }
    }
    panic!("all were taken")
}

async fn until_refused(pod: &Pod) -> RefusedWrites {
    let status = pod
        .until("it is told", |s| s.volume.refused_writes.is_some())
        .await;
    status.volume.refused_writes.unwrap()
}

async fn until_healed(pod: &Pod) {
    pod.until("it is over", |status| {
        status.volume.refused_writes.is_none() && status.volume.space == Space::Enough
    })
    .await;
}

async fn a_full_append_only_file_is_told_with_the_servers_words_and_growing_heals_it(
    engine: Engine,
) {
    let mut pod = Pod::new(engine);
    let volume = Volume::of(&pod, 16);
    pod.mount_config(1, &EVERY_SECOND);
    pod.serve().await;
    let server = pod.app().await;
    for number in 0..9 {
        server
            .set(&format!("key:{number}"), &value())
            .await
            .unwrap();
    }
    let warned = pod
        .until("it is warned of", |s| s.volume.space == Space::Low)
        .await;
    assert_eq!(warned.volume.refused_writes, None);
    let scraped = pod.scrape().await;
    assert!(scraped.contains("hera_volume_low 1\n"), "{scraped}");
    assert!(scraped.contains("hera_writes_refused 0\n"), "{scraped}");

    let words = write_until_refused(&server).await;
    assert!(words.contains("MISCONF"), "{words}");
    let told = until_refused(&pod).await;
    assert!(
        told.full && told.words.contains("No space left"),
        "{told:?}"
    );
    let scraped = pod.scrape().await;
    assert!(scraped.contains("hera_writes_refused 1\n"), "{scraped}");
    // It is measured once a second.
    pod.until("how much is free is told", |status| {
        let refused = status.volume.refused_writes.as_ref();
        refused.is_some_and(|refused| refused.free_below_mib.is_some_and(|mib| mib <= 2))
    })
    .await;
    let status = pod.status().await.unwrap();
    assert_eq!(
        (status.role, pod.probe("/readyz").await),
        (Role::Primary, 200)
    );
    assert!(server.get("key:0").await.unwrap().is_some(), "reads work");

    volume.grow(64);
    until_healed(&pod).await;
    server.set("key", "1").await.unwrap();
}

async fn a_snapshot_that_does_not_fit_is_told_and_growing_heals_it(engine: Engine) {
    let mut pod = Pod::new(engine);
    let volume = Volume::of(&pod, 8);
    pod.mount_config(1, &[("appendonly", "no"), ("save", "\"1 1\"")]);
    pod.serve().await;
    let server = pod.app().await;
    for number in 0..16 {
        let _ = server.set(&format!("key:{number}"), &value()).await;
    }
    let told = until_refused(&pod).await;
    assert!(told.full && told.words.contains("MISCONF"), "{told:?}");
    assert_eq!(pod.probe("/readyz").await, 200);
    volume.grow(64);
    until_healed(&pod).await;
    server.set("key", "1").await.unwrap();
}

/// With `appendfsync always` it does not refuse: it ends, and so does each server after it.
async fn a_server_that_ends_at_a_full_volume_is_told_as_one_that_refuses(engine: Engine) {
    let mut pod = Pod::new(engine);
    let volume = Volume::of(&pod, 8);
    let always = [EVERY_SECOND[0], ("appendfsync", "always"), EVERY_SECOND[2]];
    pod.mount_config(1, &always);
    pod.serve().await;
    let pid = server_pid(&pod.status().await.unwrap()).unwrap();
    write_until_refused(&pod.app().await).await;
    pod.until_primary_again(pid).await;
    let told = until_refused(&pod).await;
    assert!(told.full && told.words.contains("ended"), "{told:?}");
    volume.grow(64);
    until_healed(&pod).await;
    pod.app().await.set("key", &value()).await.unwrap();
}

async fn a_replica_whose_volume_is_full_says_so_and_goes_on(engine: Engine) {
    let mut group = Group::new(engine, 2);
    let volume = Volume::of(&group[1], 12);
    let on = [
        EVERY_SECOND[0],
        EVERY_SECOND[2],
        ("repl-diskless-sync-delay", "0"),
        ("replica-ignore-disk-write-errors", "yes"),
    ];
    group[1].mount_config(1, &on);
    group.lead().await;
    let server = group[0].app().await;
    for number in 0..20 {
        server
            .set(&format!("key:{number}"), &value())
            .await
            .unwrap();
    }
    server.set("last", "1").await.unwrap();
    let told = until_refused(&group[1]).await;
    assert!(told.full, "{told:?}");
    group.until_has(1, "last", "1").await;
    let status = group[1].status().await.unwrap();
    assert!(is_linked(&status) && status.restarts == 0);
    group[1]
        .until("its volume has less", |s| s.memory.unsaved)
        .await;
    assert_eq!(group[1].probe("/readyz").await, 200);
    let primary = group[0].status().await.unwrap();
    assert_eq!(primary.volume.refused_writes, None);
    volume.grow(96);
    until_healed(&group[1]).await;
    group[1]
        .until("its volume has all", |s| !s.memory.unsaved)
        .await;
}

async fn held(engine: Engine) -> (Pod, Volume) {
    let mut pod = Pod::new(engine);
    let volume = Volume::of(&pod, 8);
    pod.lone = false;
    pod.mount_config(1, &EVERY_SECOND);
    pod.start().await;
    pod.until("the server answers", is_running).await;
    pod.push_users(1, &[crate::client::app()]).await.unwrap();
    (pod, volume)
}

async fn an_agent_keeps_what_it_promises_on_a_volume_without_a_byte_left(engine: Engine) {
    let (mut pod, volume) = held(engine).await;
    volume.fill();
    for epoch in 2..9 {
        let status = pod.order(1, Order::Promise { epoch }).await.unwrap();
        assert_eq!(status.memory.promised_epoch, epoch);
    }
    pod.promote_for(1, 9).await.unwrap();
    pod.until("it is told", |status| status.volume.space == Space::Full)
        .await;
    pod.kill_agent();
    pod.start().await;
    let memory = pod.status().await.unwrap().memory;
    assert_eq!((memory.epoch, memory.promised_epoch), (9, 8));
    assert_eq!(pod.status().await.unwrap().volume.state_error, None);
}

async fn an_agent_that_cannot_write_its_state_says_so_until_it_can(engine: Engine) {
    let (pod, volume) = held(engine).await;
    // As the agents of earlier releases leave it.
    fs::remove_file(pod.path("data/.hera/state.spare")).unwrap();
    let filler = volume.fill();
    let refused = pod.order(1, Order::Promise { epoch: 7 }).await.unwrap_err();
    assert!(refused.1.message.contains("No space left"), "{refused:?}");
    let status = pod
        .until("it says so", |s| s.volume.state_error.is_some())
        .await;
    let words = status.volume.state_error.unwrap();
    assert!(words.contains(".hera/state"), "{words}");
    assert_eq!(status.memory.promised_epoch, 0);
    fs::remove_file(filler).unwrap();
    pod.until("it is over", |s| s.volume.state_error.is_none())
        .await;
    pod.order(1, Order::Promise { epoch: 7 }).await.unwrap();
}
