//! Stories of one fault each.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::lab::{LIMIT, Lab};
use crate::{Engine, on_all};

on_all!(two:
    it_forms_and_a_dead_primary_is_followed_at_once,
    p28_all_pods_come_back_at_other_addresses,
    p01_a_lost_nodes_conf_loses_no_key,
    p22_most_primaries_die_together,
    a_lost_volume_is_filled_again,
);
on_all!(@ redis_7_0_killed, ("redis", "7.0"), a_copy_that_died_while_it_joined_joins);
on_all!(@ redis_8_0_killed, ("redis", "8.0"), a_copy_that_died_while_it_joined_joins);
on_all!(@ valkey_8_1_killed, ("valkey", "8.1"), a_copy_that_died_while_it_joined_joins);
on_all!(@ redis_6_2_exchanged, ("redis", "6.2"), the_last_copy_of_a_shard_is_not_overwritten_by_who_has_its_primarys_address);
on_all!(@ redis_7_2_exchanged, ("redis", "7.2"), the_last_copy_of_a_shard_is_not_overwritten_by_who_has_its_primarys_address);
on_all!(@ redis_8_0_exchanged, ("redis", "8.0"), the_last_copy_of_a_shard_is_not_overwritten_by_who_has_its_primarys_address);
on_all!(@ valkey_8_1_exchanged, ("valkey", "8.1"), the_last_copy_of_a_shard_is_not_overwritten_by_who_has_its_primarys_address);
on_all!(@ redis_7_2_without_the_hold, ("redis", "7.2"), p05_an_empty_server_that_replicas_follow_empties_them);

async fn with_keys(engine: Engine) -> (Lab, Client) {
    let mut lab = Lab::formed(engine, 3, 1).await;
    let mut client = Client::default();
    client.write(&lab, "first", 150).await;
    lab.note("== 150 keys");
    (lab, client)
}

fn figure(engine: Engine, what: &str, took: Duration) {
    let (name, version) = engine;
    println!("FIGURE {name} {version}: {what}: {} ms", took.as_millis());
}

async fn it_forms_and_a_dead_primary_is_followed_at_once(engine: Engine) {
    let mut lab = Lab::new(engine, 3, 1);
    let took = lab.until_whole("it forms").await;
    figure(engine, "formed", took);
    let mut client = Client::default();
    client.write(&lab, "first", 150).await;
    let primary = lab.primary(1).await;
    lab.nodes[primary].kill();
    lab.note("== the primary of shard 1 is killed");
    let since = Instant::now();
    while lab.primary_or_none(1).await.is_none() {
        lab.pass(usize::MAX).await;
    }
    let took = since.elapsed();
    figure(engine, "a primary killed: until another leads", took);
    client.send_all(&lab, "second", 60).await;
    lab.nodes[primary].start();
    let took = lab.until_whole("it comes back").await;
    figure(engine, "it comes back: until all is whole", took);
    client.check(&lab).await;
}

async fn p28_all_pods_come_back_at_other_addresses(engine: Engine) {
    let (mut lab, mut client) = with_keys(engine).await;
    for at in 0..lab.nodes.len() {
        lab.restart_elsewhere(at);
    }
    let took = lab.until_whole("all have other addresses").await;
    figure(engine, "all addresses are others: until all is whole", took);
    client.check(&lab).await;
}

/// P01, P02: that slots are missing does not mean that it is new.
async fn p01_a_lost_nodes_conf_loses_no_key(engine: Engine) {
    let (mut lab, mut client) = with_keys(engine).await;
    let replica = lab.replica(0).await;
    lab.nodes[replica].kill();
    lab.nodes[replica].lose("nodes.conf");
    lab.nodes[replica].start();
    lab.until_whole("a replica lost its nodes.conf").await;
    client.check(&lab).await;
    // The replica is gone for good, and the primary is what is left.
    let (primary, replica) = (lab.primary(2).await, lab.replica(2).await);
    lab.nodes[replica].kill();
    lab.nodes[replica].lose_volume();
    lab.nodes[primary].kill();
    lab.nodes[primary].lose("nodes.conf");
    lab.nodes[primary].start();
    lab.nodes[replica].start();
    lab.until_whole("the only copy lost its nodes.conf").await;
    client.check(&lab).await;
}

/// P21, P22: as with the power of a zone.
async fn p22_most_primaries_die_together(engine: Engine) {
    let (mut lab, mut client) = with_keys(engine).await;
    let (one, other) = (lab.primary(0).await, lab.primary(1).await);
    lab.nodes[one].kill();
    lab.nodes[other].kill();
    lab.note("== two of three primaries are killed");
    while lab.primary_or_none(0).await.is_none() || lab.primary_or_none(1).await.is_none() {
        lab.pass(usize::MAX).await;
    }
    lab.nodes[one].start();
    lab.nodes[other].start();
    lab.until_whole("they come back").await;
    client.check(&lab).await;
}

async fn a_lost_volume_is_filled_again(engine: Engine) {
    let (mut lab, mut client) = with_keys(engine).await;
    for at in [lab.replica(0).await, lab.primary(1).await] {
        lab.nodes[at].kill();
        lab.nodes[at].lose_volume();
        lab.nodes[at].start();
        lab.until_whole("a volume is lost").await;
        client.check(&lab).await;
    }
}

/// Its slots are another's by then, and its keys not deleted yet: Redis before 8.0 takes such slots for half moved.
async fn a_copy_that_died_while_it_joined_joins(engine: Engine) {
    let (mut lab, mut client) = with_keys(engine).await;
    let replica = lab.replica(0).await;
    lab.nodes[replica].kill();
    lab.nodes[replica].forget_its_primary();
    client.send_all(&lab, "second", 60).await;
    lab.nodes[replica].start();
    lab.until_whole("a copy has keys and no slots").await;
    client.check(&lab).await;
}

/// Power is lost, pods come at one another's addresses, and one primary's volume is gone: its replica has the
/// last copy, and another shard's primary is at the address that it followed.
async fn the_last_copy_of_a_shard_is_not_overwritten_by_who_has_its_primarys_address(
    engine: Engine,
) {
    let (mut lab, mut client) = with_keys(engine).await;
    let (lost, other) = (lab.primary(0).await, lab.primary(2).await);
    let by = (lost + lab.nodes.len() - other) % lab.nodes.len();
    lab.exchange_addresses(by, |nodes| {
        nodes[lost].lose_volume();
        nodes[other].go();
    });
    lab.until_whole("addresses are exchanged").await;
    client.check(&lab).await;
}

/// P05, P27, and why a server that led is held back: its replicas copy whatever is at its address (Valkey 8.1 does
/// not, in the time of this test).
async fn p05_an_empty_server_that_replicas_follow_empties_them(engine: Engine) {
    let (mut lab, _) = with_keys(engine).await;
    let (primary, replica) = (lab.primary(1).await, lab.replica(1).await);
    let keys = async |lab: &Lab| lab.nodes[replica].ask().await.map(|server| server.keys);
    assert_ne!(keys(&lab).await, Some(0));
    lab.nodes[primary].kill();
    lab.nodes[primary].lose_volume();
    lab.nodes[primary].go();
    let since = Instant::now();
    while keys(&lab).await != Some(0) {
        assert!(since.elapsed() < LIMIT, "{}", lab.tell());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
