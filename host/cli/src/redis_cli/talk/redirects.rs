//! Servers that lead to each other, by a script.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex};

use super::tests::Typed;
use super::*;
use crate::reach::{Announced, Opens};

/// What a server answers to a line; `true` if it was told to be asked for once.
type Script = fn(server: &str, line: &str, asking: bool) -> String;

/// Servers called by their hosts; the first is `a`.
struct Servers {
    script: Script,
    opened: AtomicUsize,
}

impl Servers {
    fn serve(&self, host: &str) -> Opened<DuplexStream> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let (stream, server) = duplex(1024);
        tokio::spawn(answer(self.script, host.to_owned(), server));
        Opened {
            pod: host.to_owned(),
            stream,
            why: Box::pin(std::future::ready(None)),
        }
    }
}

impl Opens for Servers {
    type Stream = DuplexStream;

    async fn open(&self) -> anyhow::Result<Opened<DuplexStream>> {
        Ok(self.serve("a"))
    }
}

impl Follows for Servers {
    async fn open_at(&self, at: &Announced) -> anyhow::Result<Opened<DuplexStream>> {
        anyhow::ensure!(at.host != "nowhere", "no pod is there");
        Ok(self.serve(&at.host))
    }
}

async fn answer(script: Script, host: String, stream: DuplexStream) {
    let mut stream = BufReader::new(stream);
    let mut asking = false;
    while let Some(line) = command(&mut stream).await {
        let answer = match line.as_str() {
            "AUTH app app" => "+OK".to_owned(),
            line => script(&host, line, asking),
        };
        asking = line == "ASKING";
        let answer = format!("{answer}\r\n");
        stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
    }
}

/// A command as a client sends it: none at the end.
async fn command(stream: &mut BufReader<DuplexStream>) -> Option<String> {
    let mut next = async || {
        let mut line = String::new();
        let count = stream.read_line(&mut line).await.unwrap();
        (count > 0).then(|| line.trim_end().to_owned())
    };
    let count: usize = next().await?[1..].parse().unwrap();
    let mut words = Vec::new();
    for _ in 0..count {
        next().await?;
        words.push(next().await?);
    }
    Some(words.join(" "))
}

fn servers(script: Script) -> Servers {
    Servers {
        script,
        opened: AtomicUsize::new(0),
    }
}

fn talk<'a>(servers: &'a Servers, out: &'a mut Vec<u8>) -> Talk<'a, Servers> {
    Talk {
        opens: servers,
        login: Credentials::new("app", "app"),
        out,
        style: Style::Quoted,
        shards: Some(Shards {
            reads_replica: false,
            tells: false,
        }),
    }
}

async fn one(servers: &Servers, line: &str) -> (Verdict, String) {
    let mut out = Vec::new();
    let words = split(line.as_bytes()).unwrap();
    let verdict = talk(servers, &mut out).one(&words).await.unwrap();
    (verdict, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn a_command_is_asked_again_where_its_key_is_and_a_program_hears_nothing_of_it() {
    let servers = servers(|server, line, _| match server {
        "b" => format!("+{line}"),
        _ => "-MOVED 15495 b:6379".to_owned(),
    });
    let answer = one(&servers, "GET a").await;
    assert_eq!(answer, (Verdict::Yes, "GET a\n".to_owned()));
}

#[tokio::test]
async fn a_slot_that_moves_is_asked_for_once() {
    let servers = servers(|server, line, asking| match (server, line, asking) {
        ("b", "ASKING", _) => "+OK".to_owned(),
        ("b", _, true) => "+there".to_owned(),
        ("b", _, false) => "-MOVED 1 a:6379".to_owned(),
        _ => "-ASK 1 b:6379".to_owned(),
    });
    let answer = one(&servers, "GET a").await;
    assert_eq!(answer, (Verdict::Yes, "there\n".to_owned()));
}

#[tokio::test]
async fn servers_that_lead_round_in_circles_are_followed_five_times() {
    let servers = servers(|server, _, _| match server {
        "a" => "-MOVED 1 b:6379".to_owned(),
        _ => "-MOVED 1 a:6379".to_owned(),
    });
    let (verdict, words) = one(&servers, "GET a").await;
    assert_eq!(verdict, Verdict::No);
    assert!(words.starts_with("(error) MOVED 1 a:6379"), "{words}");
    assert_eq!(servers.opened.load(Ordering::SeqCst), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_told_who_answers_and_goes_on_with_that_one() {
    let servers = servers(|server, line, _| match (server, line) {
        ("a", "GET lost") => "-MOVED 7 nowhere:6379".to_owned(),
        ("a", "GET b") => "-MOVED 3300 b:6379".to_owned(),
        ("b", "GET a") => "-MOVED 15495 a:6379".to_owned(),
        _ => format!("+{server} has it"),
    });
    let mut out = Vec::new();
    let mut lines = Typed(
        vec!["GET a", "GET b", "GET b", "GET a", "GET lost", "GET a"],
        Vec::new(),
    );
    let mut talk = talk(&servers, &mut out);
    talk.shards.as_mut().unwrap().tells = true;
    talk.with_person(&mut lines).await.unwrap();
    let expected = "a has it\n\
        -> Redirected to slot [3300] located at b\nb has it\nb has it\n\
        -> Redirected to slot [15495] located at a\na has it\n\
        no pod is there\na has it\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let prompts = ["a> ", "a> ", "b> ", "b> ", "a> ", "not connected> ", "a> "];
    assert_eq!(lines.1, prompts);
}

#[tokio::test]
async fn a_replica_answers_reads_where_it_was_asked_for() {
    let servers = servers(|_, line, _| match line {
        "READONLY" => "-NOPERM it may not say so".to_owned(),
        line => format!("+{line}"),
    });
    let mut out = Vec::new();
    let mut talk = talk(&servers, &mut out);
    talk.shards.as_mut().unwrap().reads_replica = true;
    let words = split(b"GET a").unwrap();
    assert_eq!(talk.one(&words).await.unwrap(), Verdict::Yes);
    assert_eq!(String::from_utf8(out).unwrap(), "GET a\n");
}

#[tokio::test]
async fn an_instance_leads_nowhere() {
    let servers = servers(|_, _, _| "-MOVED 1 b:6379".to_owned());
    let mut out = Vec::new();
    let mut talk = talk(&servers, &mut out);
    talk.shards = None;
    let words = split(b"GET a").unwrap();
    assert_eq!(talk.one(&words).await.unwrap(), Verdict::No);
    assert_eq!(servers.opened.load(Ordering::SeqCst), 1);
}
