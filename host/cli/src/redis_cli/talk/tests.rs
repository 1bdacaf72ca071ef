//! Against real servers, through a stream that is no forwarded port.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::*;
use crate::reach::{Announced, Opened, Opens};

const LIMIT: Duration = Duration::from_secs(20);

/// A server on a socket, with the users `app` and `reader`, each with its name as its password.
struct Server {
    folder: TempDir,
    child: Child,
}

impl Server {
    async fn start(engine: &str, version: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "port 0\nsave \"\"\ndir {0}\nunixsocket {0}/socket\nuser default off\n\
             user app on >app ~* &* +@all\nuser reader on >reader ~* +get +ping\n",
            folder.path().display()
        );
        std::fs::write(folder.path().join("server.conf"), config).unwrap();
        let child = Command::new(hera_testbed::servers::path(engine, version).unwrap())
            .arg(folder.path().join("server.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { folder, child };
        let start = Instant::now();
        while server.open().await.is_err() {
            assert!(start.elapsed() < LIMIT, "the server does not listen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Opens for Server {
    type Stream = UnixStream;

    async fn open(&self) -> anyhow::Result<Opened<UnixStream>> {
        Ok(Opened {
            pod: "shop-0".to_owned(),
            stream: UnixStream::connect(self.folder.path().join("socket")).await?,
            why: Box::pin(std::future::ready(None)),
        })
    }
}

impl Follows for Server {
    async fn open_at(&self, at: &Announced) -> anyhow::Result<Opened<UnixStream>> {
        panic!("it is alone, and leads to {at:?}")
    }
}

/// Lines of a person, and the prompts that he saw.
pub struct Typed(pub Vec<&'static str>, pub Vec<String>);

impl Lines for Typed {
    fn next(&mut self, prompt: &str) -> io::Result<Option<Vec<u8>>> {
        self.1.push(prompt.to_owned());
        let line = (!self.0.is_empty()).then(|| self.0.remove(0));
        Ok(line.map(|line| line.as_bytes().to_vec()))
    }
}

fn talk<'a>(server: &'a Server, out: &'a mut Vec<u8>, style: Style) -> Talk<'a, Server> {
    Talk {
        opens: server,
        login: Credentials::new("app", "app"),
        out,
        style,
        shards: None,
    }
}

fn words(line: &str) -> Vec<Vec<u8>> {
    split(line.as_bytes()).unwrap()
}

async fn one(server: &Server, line: &str, style: Style) -> (Verdict, String) {
    let mut out = Vec::new();
    let verdict = talk(server, &mut out, style)
        .one(&words(line))
        .await
        .unwrap();
    (verdict, String::from_utf8(out).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_is_answered_as_redis_cli_prints_it() {
    for (engine, version) in [("redis", "7.0"), ("valkey", "8.1")] {
        let server = Server::start(engine, version).await;
        let ask = async |line, style| one(&server, line, style).await;
        let yes = |text: &str| (Verdict::Yes, text.to_owned());
        let value = r#"SET greeting "hello \x00 \"you\"""#;
        assert_eq!(ask(value, Style::Quoted).await, yes("OK\n"));
        let quoted = ask("GET greeting", Style::Quoted).await;
        assert_eq!(quoted, yes("\"hello \\x00 \\\"you\\\"\"\n"));
        let raw = ask("GET greeting", Style::Raw).await;
        assert_eq!(raw, yes("hello \0 \"you\"\n"));
        ask("RPUSH list a b", Style::Raw).await;
        let list = ask("LRANGE list 0 -1", Style::Quoted).await;
        assert_eq!(list, yes("1) \"a\"\n2) \"b\"\n"));
        let nothing = ask("GET nothing", Style::Quoted).await;
        assert_eq!(nothing, yes("(nil)\n"));
        let info = ask("INFO server", Style::Quoted).await.1;
        assert!(info.starts_with("# Server\r\n"), "{info}");

        let (verdict, text) = ask("INCR greeting", Style::Quoted).await;
        assert_eq!(verdict, Verdict::No);
        assert!(
            text.starts_with("(error) ERR value is not an integer"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_pipe_are_all_taken_and_one_error_makes_the_answer_no() {
    let server = Server::start("redis", "7.2").await;
    let mut out = Vec::new();
    let lines = "SET a 1\n\nINCR a\nNOSUCH\n\"open\nGET a";
    let verdict = talk(&server, &mut out, Style::Raw)
        .all(&mut Piped(lines.as_bytes()))
        .await
        .unwrap();
    assert_eq!(verdict, Verdict::No);
    let text = String::from_utf8(out).unwrap();
    let told: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(&told[..2], ["OK", "2"]);
    assert!(told[2].starts_with("ERR unknown command"), "{text}");
    assert_eq!(&told[3..], ["(error) a quote is not closed", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_goes_on_after_errors_and_after_a_connection_that_broke() {
    let server = Server::start("redis", "7.2").await;
    let mut out = Vec::new();
    let mut lines = Typed(
        vec![
            "SET a 1",
            "NOSUCH",
            "CLIENT KILL TYPE normal SKIPME no",
            "GET a",
            "GET a",
            "quit",
            "GET a",
        ],
        Vec::new(),
    );
    let verdict = talk(&server, &mut out, Style::Quoted)
        .with_person(&mut lines)
        .await
        .unwrap();
    assert_eq!(verdict, Verdict::Yes);
    assert_eq!(lines.0, ["GET a"], "what follows quit is not read");
    assert_eq!(lines.1[0], "shop-0> ");
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.starts_with("OK\n(error) ERR unknown command"),
        "{text}"
    );
    assert!(text.ends_with("\"1\"\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_says_who_is_not_let_in_and_no_password() {
    let server = Server::start("redis", "7.2").await;
    let mut out = Vec::new();
    let mut talk = talk(&server, &mut out, Style::Raw);
    talk.login = Credentials::new("app", "s3cret");
    let error = talk.one(&words("PING")).await.err().unwrap();
    let text = format!("{error:#}");
    assert!(
        text.contains("user app is not let in by pod shop-0"),
        "{text}"
    );
    assert!(!text.contains("s3cret") && !format!("{error:?}").contains("s3cret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_channel_brings_is_printed_until_the_connection_ends() {
    let server = Server::start("redis", "7.2").await;
    let publish = async {
        let start = Instant::now();
        loop {
            let heard = one(&server, "PUBLISH news hello", Style::Raw).await.1;
            if heard == "1\n" {
                break;
            }
            assert!(start.elapsed() < LIMIT, "nobody listens");
        }
        one(&server, "CLIENT KILL TYPE pubsub", Style::Raw).await;
    };
    let mut out = Vec::new();
    let subscribe = words("SUBSCRIBE news");
    let listen = talk(&server, &mut out, Style::Raw).one(&subscribe);
    let (ended, ()) = tokio::join!(listen, publish);
    assert!(ended.is_err(), "nobody said that it ends");
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, "subscribe\nnews\n1\nmessage\nnews\nhello\n");
}
