//! What the built-in presets are worth on servers: an owner does what client libraries, queues and exporters do,
//! and who copies all data takes it as a replica does, and nothing else.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};
use std::time::Duration;

use hera_core::acl::AclUser;
use hera_core::digest::sha256_hex;
use hera_policy_sdk::acl::{CommandRule, Preset, UserRequest};
use hera_policy_sdk::presets;
use hera_policy_sdk::testing::{acl_input, user};
use hera_redis::{Error, Server, Value};

use crate::on_all;
use crate::process::{Process, Program, say, until};

on_all!(
    an_owner_does_what_client_libraries_queues_and_exporters_do,
    an_owner_steers_nothing,
    who_copies_all_data_takes_it_and_nothing_else,
    who_copies_all_data_promotes_nobody,
    libraries_are_taken_alone_too,
    a_copy_ends_with_the_rights_of_its_user,
);
crate::facts_on!(
    redis_6_2,
    "redis",
    "6.2",
    an_owner_does_what_client_libraries_queues_and_exporters_do,
    an_owner_steers_nothing,
    who_copies_all_data_takes_it_and_nothing_else,
    who_copies_all_data_promotes_nobody,
    a_copy_ends_with_the_rights_of_its_user,
);

/// Does not wait for other replicas before a copy begins.
const AT_ONCE: [&str; 2] = ["--repl-diskless-sync-delay", "0"];

/// The user as the built-in policy has it on this server.
async fn granted(server: &Server, request: UserRequest) -> AclUser {
    let categories = server.categories().await.unwrap();
    let table: Vec<(&str, String)> = categories
        .iter()
        .map(|(name, commands)| {
            let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
            (name.as_str(), commands.join(" "))
        })
        .collect();
    let table: Vec<(&str, &str)> = table
        .iter()
        .map(|(name, commands)| (*name, commands.as_str()))
        .collect();
    let input = acl_input(vec![request.clone()], &table);
    let grants = presets::grants(&input, &request);
    let commands = grants.commands.iter().map(|rule| match rule {
        CommandRule::AllowCommand(name) => format!("+{name}"),
        CommandRule::DenyCommand(name) => format!("-{name}"),
        CommandRule::AllowCategory(name) => format!("+@{name}"),
        CommandRule::DenyCategory(name) => format!("-@{name}"),
    });
    let keys = grants.keys.iter().map(|key| format!("~{}", key.pattern));
    let channels = grants.channels.iter().map(|channel| format!("&{channel}"));
    AclUser {
        name: request.name,
        password_sha256: vec![sha256_hex(b"secret")],
        rules: commands.chain(keys).chain(channels).collect(),
    }
}

/// A server with such a user: as its operator, and as the user.
async fn with_user(process: &Process, preset: Preset) -> (Server, Server) {
    let operator = process.connect().await;
    let request = user("app", preset).keys(&["*"]).channels(&["*"]);
    let user = granted(&operator, request).await;
    operator.set_user(&user).await.unwrap();
    let login = process.login(Some(("app", "secret"))).await.unwrap();
    (operator, login)
}

async fn ask(server: &Server, line: &str) -> Result<Value, Error> {
    let words: Vec<&str> = line.split(' ').collect();
    let mut command = hera_redis::command(words[0]);
    command.arg(&words[1..]);
    server.ask(words[0], &command).await
}

fn is_denied(answer: &Result<Value, Error>) -> bool {
    matches!(answer, Err(Error::Refused { code, .. }) if code == "NOPERM")
}

async fn an_owner_does_what_client_libraries_queues_and_exporters_do(program: Program) {
    let process = program.start(&[]).await;
    let (_, owner) = with_user(&process, Preset::Owner).await;
    for line in [
        "SET a 1",
        "SCAN 0 MATCH a* COUNT 10",
        "KEYS *",
        "RANDOMKEY",
        "DBSIZE",
        "DUMP a",
        "MEMORY USAGE a",
        "MEMORY STATS",
        "MEMORY DOCTOR",
        "OBJECT ENCODING a",
        "CLIENT SETNAME queue",
        "CLIENT GETNAME",
        "CLIENT ID",
        "CLIENT LIST",
        "INFO",
        "INFO commandstats",
        "ROLE",
        "LASTSAVE",
        "COMMAND COUNT",
        "ACL WHOAMI",
        "SLOWLOG GET 10",
        "SLOWLOG LEN",
        "SLOWLOG RESET",
        "LATENCY LATEST",
        "LATENCY HISTORY command",
        "LATENCY DOCTOR",
        "LATENCY RESET",
        "EVAL return{KEYS[1]} 1 a",
        "XADD jobs * kind mail",
        "XGROUP CREATE jobs workers 0",
        "XREADGROUP GROUP workers one COUNT 1 STREAMS jobs >",
        "LPUSH waiting 3 1 2",
        "BRPOPLPUSH waiting active 1",
        "SORT waiting",
        "MULTI",
        "DISCARD",
        "PUBLISH news hello",
        "SWAPDB 0 1",
        "FLUSHDB",
        "FLUSHALL",
    ] {
        let answer = ask(&owner, line).await;
        assert!(answer.is_ok(), "{line}: {answer:?}");
    }
    let script = ask(&owner, "SCRIPT LOAD return").await.unwrap();
    let Value::BulkString(digest) = script else {
        panic!("{script:?}");
    };
    let run = format!("EVALSHA {} 0", String::from_utf8(digest).unwrap());
    ask(&owner, &run).await.unwrap();

    let mut copied = hera_redis::command("DUMP");
    copied.arg("a");
    say(&owner, &["SET", "a", "1"]).await;
    let dump: Vec<u8> = owner.ask("DUMP", &copied).await.unwrap();
    let mut restore = hera_redis::command("RESTORE");
    restore.arg("b").arg(0).arg(dump);
    owner.ask::<()>("RESTORE", &restore).await.unwrap();
}

async fn an_owner_steers_nothing(program: Program) {
    let process = program.start(&[]).await;
    let (_, owner) = with_user(&process, Preset::Owner).await;
    for line in [
        "CONFIG GET maxmemory",
        "CONFIG SET maxmemory 0",
        "CONFIG RESETSTAT",
        "CLIENT KILL ID 1",
        "CLIENT PAUSE 1",
        "CLIENT UNPAUSE",
        "MIGRATE 127.0.0.1 1 a 0 10",
        "MONITOR",
        "ACL LIST",
        "ACL GETUSER app",
        "ACL SETUSER app nopass",
        "SAVE",
        "BGSAVE",
        "REPLICAOF NO ONE",
        "PSYNC ? -1",
        "SHUTDOWN NOSAVE",
    ] {
        let answer = ask(&owner, line).await;
        assert!(is_denied(&answer), "{line}: {answer:?}");
    }
}

/// Runs the tool that comes with the server, as the user.
fn tool(program: Program, process: &Process, arguments: &[&str]) -> Output {
    let server = hera_testbed::servers::path(program.0, program.1).unwrap();
    let name = format!("{}-cli", program.0);
    Command::new(server.with_file_name(name))
        .arg("-s")
        .arg(process.folder.path().join("socket"))
        .args(["--user", "app", "--no-auth-warning"])
        .args(arguments)
        .env("REDISCLI_AUTH", "secret")
        .env("VALKEYCLI_AUTH", "secret")
        .output()
        .unwrap()
}

/// What it writes to a file.
fn taken(program: Program, process: &Process, how: &str) -> Vec<u8> {
    let file = process.folder.path().join("taken.rdb");
    let output = tool(program, process, &[how, file.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    std::fs::read(file).unwrap()
}

fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|at| at == word)
}

async fn who_copies_all_data_takes_it_and_nothing_else(program: Program) {
    let process = program.start(&AT_ONCE).await;
    let (operator, copies) = with_user(&process, Preset::Replication).await;
    say(&operator, &["SET", "key", "treasure"]).await;
    let rdb = taken(program, &process, "--rdb");
    assert!(has(&rdb, b"treasure"), "{} bytes", rdb.len());
    for line in [
        "GET key",
        "SET key x",
        "INFO",
        "CLIENT ID",
        "SUBSCRIBE news",
        "CONFIG GET masterauth",
        "REPLICAOF NO ONE",
    ] {
        let answer = ask(&copies, line).await;
        assert!(is_denied(&answer), "{line}: {answer:?}");
    }
    ask(&copies, "PING").await.unwrap();
}

async fn who_copies_all_data_promotes_nobody(program: Program) {
    let process = program.start(&[]).await;
    let (operator, copies) = with_user(&process, Preset::Replication).await;
    let info = async || -> String {
        let mut command = hera_redis::command("INFO");
        command.arg("replication");
        operator.ask("INFO", &command).await.unwrap()
    };
    say(&operator, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let told = info().await;
    let id = told
        .lines()
        .find_map(|line| line.strip_prefix("master_replid:"));
    let promotes = format!("PSYNC {} 1 FAILOVER", id.unwrap());
    let answer = ask(&copies, &promotes).await;
    assert!(is_denied(&answer), "{answer:?}");
    assert!(info().await.contains("role:slave"));
    // The same from somebody with every right shows what is held back.
    let _ = ask(&operator, &promotes).await;
    let again = process.connect().await;
    let role = ask(&again, "ROLE").await.unwrap();
    assert!(format!("{role:?}").contains("master"), "{role:?}");
}

async fn libraries_are_taken_alone_too(program: Program) {
    let process = program.start(&AT_ONCE).await;
    let (operator, _) = with_user(&process, Preset::Replication).await;
    say(&operator, &["SET", "key", "treasure"]).await;
    let library = "#!lua name=shared\nredis.register_function('shared', function() return 1 end)";
    say(&operator, &["FUNCTION", "LOAD", library]).await;
    let rdb = taken(program, &process, "--functions-rdb");
    assert!(has(&rdb, b"shared") && !has(&rdb, b"treasure"));
}

async fn a_copy_ends_with_the_rights_of_its_user(program: Program) {
    let process = program.start(&AT_ONCE).await;
    let (operator, _) = with_user(&process, Preset::Replication).await;
    let mut stream = UnixStream::connect(process.folder.path().join("socket")).unwrap();
    stream.write_all(b"AUTH app secret\r\n").unwrap();
    // A server copies to nobody who has not read what it answered.
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n");
    stream.write_all(b"PSYNC ? -1\r\n").unwrap();
    let mut list = hera_redis::command("CLIENT");
    list.arg(&["LIST", "TYPE", "replica"]);
    until("it follows", async || {
        let clients: String = operator.ask("CLIENT LIST", &list).await.unwrap();
        clients.contains("user=app").then_some(())
    })
    .await;
    let request = user("app", Preset::ReadOnly).keys(&["*"]);
    let reads = granted(&operator, request).await;
    operator.set_user(&reads).await.unwrap();
    let changed = ["app"].into_iter().collect();
    operator.end_streams_of(&changed).await.unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    // What it was sent before is still there to be read.
    let ended = stream.read_to_end(&mut Vec::new());
    assert!(ended.is_ok(), "the copy goes on: {ended:?}");
}
