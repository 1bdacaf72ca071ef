//! Users, their passwords and their Secrets.

use std::time::Duration;

use anyhow::{Result, ensure};
use hera_api::conditions::{degraded, ready};
use hera_tests_e2e::{Login, Scenario, Space, is_denied, is_wrong_login, text, wait_for};
use serde_json::json;

pub const ALL: &[Scenario] = scenarios![Together;
    a_new_password_takes_the_place_of_the_old_one,
    a_missing_secret_is_said_and_its_user_comes_with_it,
    a_client_that_sends_only_a_password_is_let_in_if_the_spec_says_so,
];

const SOME: Duration = Duration::from_secs(20);

/// Row: password Secret changed; the generated one, and one of the user's.
async fn a_new_password_takes_the_place_of_the_old_one(space: &Space<'_>) -> Result<()> {
    space
        .put_secret("worker", &[("password", "first-of-worker")])
        .await?;
    let spec = json!({"users": [{
        "name": "worker", "preset": "ReadWrite", "keys": ["*"],
        "passwordSecretRef": {"name": "worker"},
    }]});
    let instance = space.ready("cache", spec).await?;
    let run_id = instance.run_id().await?;
    let app = instance.app().await?;
    let worker = Login::new(&app.host, "worker", "first-of-worker");
    for login in [&app, &worker] {
        let _: String = login.ask(&["PING"]).await?;
    }
    space
        .put_secret("worker", &[("password", "second-of-worker")])
        .await?;
    space
        .put_secret("cache-app", &[("password", "second-of-app")])
        .await?;
    for (old, new) in [(&worker, "second-of-worker"), (&app, "second-of-app")] {
        wait_for("the new password is taken", SOME, async || {
            Ok(old.with_password(new).connect().await.map(drop)?)
        })
        .await?;
        let refused = old.connect().await;
        ensure!(
            refused.err().is_some_and(|error| is_wrong_login(&error)),
            "the old one is taken"
        );
    }
    ensure!(space.secret("cache-app", "password").await? == "second-of-app");
    wait_for("the uri has the new password", SOME, async || {
        let uri = space.secret("cache-app", "uri").await?;
        ensure!(uri.contains(":second-of-app@"), "it has the old one");
        Ok(())
    })
    .await?;
    ensure!(
        instance.run_id().await? == run_id,
        "the server was started again"
    );
    Ok(())
}

/// Row: missing Secret, of a user and of the application.
async fn a_missing_secret_is_said_and_its_user_comes_with_it(space: &Space<'_>) -> Result<()> {
    let spec = json!({
        "auth": {"username": "shop", "passwordSecretRef": {"name": "mine", "key": "redis-password"}},
        "users": [{
            "name": "reader", "preset": "ReadOnly", "keys": ["app:*"],
            "passwordSecretRef": {"name": "reader", "key": "secret"},
        }],
    });
    let instance = space.make("cache", spec).await?;
    let words = instance
        .wait_condition(ready::TYPE, "False", ready::SECRET_MISSING)
        .await?;
    ensure!(
        words.contains("mine"),
        "the message names no Secret: {words}"
    );
    space
        .put_secret("mine", &[("redis-password", "of-the-shop")])
        .await?;

    instance
        .wait_condition(ready::TYPE, "True", ready::SERVING)
        .await?;
    let words = instance
        .wait_condition(degraded::TYPE, "True", degraded::SECRET_MISSING)
        .await?;
    ensure!(
        words.contains("reader") && words.contains("secret"),
        "the message is {words}"
    );
    space.wait_event("cache", degraded::SECRET_MISSING).await?;
    let shop = Login::new(&instance.cluster_ip().await?, "shop", "of-the-shop");
    let _: String = shop.ask(&["SET", "app:key", "value"]).await?;
    let reader = Login::new(&shop.host, "reader", "of-the-reader");
    let refused = reader.connect().await;
    ensure!(
        refused.err().is_some_and(|error| is_wrong_login(&error)),
        "reader is let in"
    );

    space
        .put_secret("reader", &[("secret", "of-the-reader")])
        .await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;
    let mut reading = reader.connect().await?;
    ensure!(text(&mut reading, &["GET", "app:key"]).await? == "value");
    for forbidden in [["SET", "app:key", "x"].as_slice(), &["GET", "other"]] {
        let answer = text(&mut reading, forbidden).await;
        ensure!(
            answer.err().is_some_and(|error| is_denied(&error)),
            "{forbidden:?} is allowed"
        );
    }

    // A Secret that goes missing later takes nothing away.
    space
        .bed()
        .kubectl(&["-n", space.namespace(), "delete", "secret", "reader"])
        .await?;
    instance
        .wait_condition(degraded::TYPE, "True", degraded::SECRET_MISSING)
        .await?;
    let value: String = reader.ask(&["GET", "app:key"]).await?;
    ensure!(value == "value");

    // A user that the spec no longer names is gone.
    instance.patch_spec(json!({"users": []})).await?;
    wait_for("reader is gone", SOME, async || {
        let refused = reader.connect().await;
        ensure!(
            refused.err().is_some_and(|error| is_wrong_login(&error)),
            "it is let in"
        );
        Ok(())
    })
    .await
}

/// The server's `default` user (redis-facts §4.1): shut, unless `auth.defaultUser` opens it.
async fn a_client_that_sends_only_a_password_is_let_in_if_the_spec_says_so(
    space: &Space<'_>,
) -> Result<()> {
    let instance = space.ready("cache", json!({})).await?;
    let app = instance.app().await?;
    let plain = Login {
        user: None,
        ..app.clone()
    };
    ensure!(plain.connect().await.is_err(), "a password alone is enough");
    instance
        .patch_spec(json!({"auth": {"defaultUser": true}}))
        .await?;
    wait_for("a password alone is enough", SOME, async || {
        Ok(plain.connect().await.map(drop)?)
    })
    .await?;
    // Connections of before the user changed are closed, and one may have been made just then.
    wait_for("it writes", SOME, async || {
        let _: String = plain.ask(&["SET", "key", "value"]).await?;
        Ok(())
    })
    .await?;
    instance
        .patch_spec(json!({"auth": {"defaultUser": false}}))
        .await?;
    wait_for("a password alone is not enough", SOME, async || {
        ensure!(plain.connect().await.is_err(), "it is");
        Ok(())
    })
    .await?;
    let _: String = app.ask(&["GET", "key"]).await?;
    Ok(())
}
