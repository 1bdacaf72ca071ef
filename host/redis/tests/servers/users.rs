//! Users of a server.

use hera_core::acl::AclUser;
use hera_core::digest::sha256_hex;
use hera_redis::{Error, Server, patterns};

use crate::on_all;
use crate::process::{Program, say};

on_all!(
    a_user_is_set_as_a_whole_and_listed,
    a_live_connection_keeps_what_its_user_keeps,
    a_deleted_user_is_out,
    a_refused_user_stays_as_it_was,
    patterns_are_read_back_as_they_were_set,
    the_servers_words_show_no_hash,
);

fn user(name: &str, rules: &[&str]) -> AclUser {
    AclUser {
        name: name.to_owned(),
        password_sha256: vec![sha256_hex(b"secret")],
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
    }
}

async fn get(server: &Server) -> Result<Option<String>, Error> {
    let mut command = hera_redis::command("GET");
    command.arg("a");
    server.ask("GET", &command).await
}

async fn a_user_is_set_as_a_whole_and_listed(program: Program) {
    let process = program.start(&[]).await;
    let server = process.connect().await;
    let wide = ["resetkeys", "resetchannels", "-@all", "+@all", "~*", "&*"];
    server.set_user(&user("bob", &wide)).await.unwrap();
    let narrow = ["-@all", "+get", "%R~b:*", "&c"];
    server.set_user(&user("bob", &narrow)).await.unwrap();
    let listed = server.users().await.unwrap();
    let names: Vec<&str> = listed.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["bob", "default"]);
    let bob = &listed[0];
    assert!(bob.enabled && !bob.nopass);
    assert_eq!(bob.password_sha256, [sha256_hex(b"secret")]);
    for rule in ["%R~b:*", "&c", "+get", "-@all"] {
        assert!(bob.rules.iter().any(|is| is == rule), "{rule}: {bob:?}");
    }
    assert!(
        !bob.rules
            .iter()
            .any(|is| is == "~*" || is == "&*" || is == "+@all")
    );
    assert!(process.login(Some(("bob", "other"))).await.is_err());
}

async fn a_live_connection_keeps_what_its_user_keeps(program: Program) {
    let process = program.start(&[]).await;
    let server = process.connect().await;
    let wide = user("bob", &["+@all", "~*"]);
    server.set_user(&wide).await.unwrap();
    let bob = process.login(Some(("bob", "secret"))).await.unwrap();
    server
        .set_user(&user("bob", &["+get", "~*"]))
        .await
        .unwrap();
    get(&bob).await.unwrap();
    let refused = bob.save_in_background().await.unwrap_err();
    assert!(refused.is_answer() && !refused.is_broken(), "{refused:?}");
    server.kill_connections_of("bob").await.unwrap();
    assert!(get(&bob).await.unwrap_err().is_broken());
}

async fn a_deleted_user_is_out(program: Program) {
    let process = program.start(&[]).await;
    let server = process.connect().await;
    server
        .set_user(&user("bob", &["+@all", "~*"]))
        .await
        .unwrap();
    let bob = process.login(Some(("bob", "secret"))).await.unwrap();
    server.delete_user("bob").await.unwrap();
    assert!(get(&bob).await.unwrap_err().is_broken());
    assert!(process.login(Some(("bob", "secret"))).await.is_err());
    // Once more is no error.
    server.delete_user("bob").await.unwrap();
    server.kill_connections_of("bob").await.unwrap();
}

async fn a_refused_user_stays_as_it_was(program: Program) {
    let process = program.start(&[]).await;
    let server = process.connect().await;
    let before = server.users().await.unwrap();
    let bad = [
        ("+nosuchcommand", "nosuchcommand"),
        ("+@nosuchcategory", "nosuchcategory"),
        ("%X~a", "%X~a"),
        ("nonsense", "nonsense"),
    ];
    for (rule, words) in bad {
        let refused = server.set_user(&user("new", &["+get", rule])).await;
        assert!(refused.unwrap_err().to_string().contains(words), "{rule}");
    }
    assert_eq!(server.users().await.unwrap(), before, "no user was made");

    let good = user("bob", &["-@all", "+@read", "+config|get", "%RW~a:*", "&x"]);
    server.set_user(&good).await.unwrap();
    let with_bob = server.users().await.unwrap();
    for (rule, _) in bad {
        let refused = server.set_user(&user("bob", &["+@all", rule])).await;
        assert!(refused.is_err(), "{rule}");
    }
    assert_eq!(server.users().await.unwrap(), with_bob);
}

async fn patterns_are_read_back_as_they_were_set(program: Program) {
    let process = program.start(&[]).await;
    let server = process.connect().await;
    for rules in [
        ["~a:*", "~b:*", "&c", "&d:*"].as_slice(),
        &["%R~a", "%W~b", "%RW~c", "%R~d", "%W~d"],
        &["~*", "&*", "+@all"],
        &["+get"],
    ] {
        let bob = user("bob", rules);
        server.set_user(&bob).await.unwrap();
        let listed = server.users().await.unwrap();
        let is = listed.iter().find(|user| user.name == "bob").unwrap();
        assert_eq!(patterns(&is.rules), patterns(&bob.rules), "{is:?}");
    }
}

async fn the_servers_words_show_no_hash(program: Program) {
    let process = program.start(&[]).await;
    let server = process.connect().await;
    let mut bad = user("bob", &["+get"]);
    let hash = sha256_hex(b"x");
    bad.password_sha256 = vec![hash[..63].to_owned()];
    let error = server.set_user(&bad).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(&hash[..63]));
    say(&server, &["PING"]).await;
}
