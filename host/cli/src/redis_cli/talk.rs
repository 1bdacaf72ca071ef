//! The conversation: commands in, answers out.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use hera_redis::{Credentials, Error, Session, Value};

use super::answer::{Style, is_error, print};
use super::redirect::Redirect;
use super::words::split;
use crate::Verdict;
use crate::reach::{Follows, Opened};

/// A login that takes longer leads nowhere.
const LOGIN_LIMIT: Duration = Duration::from_secs(10);
/// Servers that know of a change lead to the right one at once; more go round in circles.
const REDIRECTS: usize = 5;

/// Where lines come from.
pub trait Lines {
    /// The next line; none at the end. `prompt` is for people.
    ///
    /// # Errors
    /// When nothing can be read.
    fn next(&mut self, prompt: &str) -> io::Result<Option<Vec<u8>>>;
}

/// Lines of a file or pipe.
pub struct Piped<R>(pub R);

impl<R: BufRead> Lines for Piped<R> {
    fn next(&mut self, _: &str) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let count = self.0.read_until(b'\n', &mut line)?;
        Ok((count > 0).then_some(line))
    }
}

/// A conversation with the server that is meant.
pub struct Talk<'a, O: Follows> {
    /// The way to it.
    pub opens: &'a O,
    /// As whom.
    pub login: Credentials,
    /// Where answers go.
    pub out: &'a mut (dyn Write + Send),
    /// How they look.
    pub style: Style,
    /// Of a cluster, where a server may lead to another.
    pub shards: Option<Shards>,
}

/// How servers of a cluster are spoken with.
#[derive(Clone, Copy, Debug)]
pub struct Shards {
    /// A replica that is asked first answers reads itself.
    pub reads_replica: bool,
    /// It is told who answers instead, as redis-cli tells a person.
    pub tells: bool,
}

/// A connection that is logged in.
struct Line<S> {
    pod: String,
    session: Session<S>,
}

impl<O: Follows> Talk<'_, O> {
    /// One command. The answer is no if the server's is an error.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn one(mut self, words: &[Vec<u8>]) -> anyhow::Result<Verdict> {
        let mut line = self.connect().await?;
        self.ask(&mut line, words).await
    }

    /// Commands line by line, to the end. The answer is no if one of the server's was an error.
    ///
    /// # Errors
    /// When the server cannot be asked any more.
    pub async fn all(mut self, lines: &mut dyn Lines) -> anyhow::Result<Verdict> {
        let mut line = self.connect().await?;
        let mut verdict = Verdict::Yes;
        while let Some(words) = self.words(lines, "")? {
            match words {
                Some(words) if is_end(&words) => break,
                Some(words) if words.is_empty() => {}
                Some(words) => {
                    if self.ask(&mut line, &words).await? == Verdict::No {
                        verdict = Verdict::No;
                    }
                }
                None => verdict = Verdict::No,
            }
        }
        Ok(verdict)
    }

    /// Commands of a person, until he has enough. A connection that broke is made anew for the next
    /// command: to another pod, if that leads by then.
    ///
    /// # Errors
    /// When nothing can be read or written.
    pub async fn with_person(mut self, lines: &mut dyn Lines) -> anyhow::Result<Verdict> {
        let mut line = Some(self.connect().await?);
        loop {
            let prompt = match &line {
                Some(line) => format!("{}> ", line.pod),
                None => "not connected> ".to_owned(),
            };
            let words = match self.words(lines, &prompt)? {
                None => return Ok(Verdict::Yes),
                Some(Some(words)) if is_end(&words) => return Ok(Verdict::Yes),
                Some(Some(words)) if !words.is_empty() => words,
                Some(_) => continue,
            };
            let asked = match &mut line {
                Some(line) => self.ask(line, &words).await,
                None => match self.connect().await {
                    Ok(made) => {
                        let made = line.insert(made);
                        self.ask(made, &words).await
                    }
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = asked {
                writeln!(self.out, "{error:#}")?;
                line = None;
            }
        }
    }

    /// The words of the next line; none at the end, and none in it if they mean nothing.
    #[allow(
        clippy::option_option,
        reason = "the end is no line that means nothing"
    )]
    fn words(
        &mut self,
        lines: &mut dyn Lines,
        prompt: &str,
    ) -> anyhow::Result<Option<Option<Vec<Vec<u8>>>>> {
        let line = tokio::task::block_in_place(|| lines.next(prompt))?;
        let Some(line) = line else {
            return Ok(None);
        };
        match split(&line) {
            Ok(words) => Ok(Some(Some(words))),
            Err(bad) => {
                writeln!(self.out, "(error) {bad}")?;
                Ok(Some(None))
            }
        }
    }

    async fn connect(&self) -> anyhow::Result<Line<O::Stream>> {
        let mut line = self.log_in(self.opens.open().await?).await?;
        if self.shards.is_some_and(|shards| shards.reads_replica) {
            // Whoever may not say so is led to the primary.
            let _ = line.session.ask(&["READONLY"]).await?;
        }
        Ok(line)
    }

    async fn log_in(&self, opened: Opened<O::Stream>) -> anyhow::Result<Line<O::Stream>> {
        let pod = opened.pod;
        let mut session = Session::new(opened.stream, format!("pod {pod}"));
        let login = tokio::time::timeout(LOGIN_LIMIT, session.log_in(&self.login)).await;
        match login {
            Ok(Ok(())) => Ok(Line { pod, session }),
            Ok(Err(error @ Error::Unreachable { .. })) => match opened.why.await {
                Some(why) => Err(anyhow!("pod {pod}: {}", why.trim())),
                None => Err(error.into()),
            },
            Ok(Err(error)) => {
                let name = self.login.username();
                Err(error).with_context(|| format!("user {name} is not let in by pod {pod}"))
            }
            Err(_) => Err(anyhow!("the server of pod {pod} says nothing")),
        }
    }

    async fn ask(
        &mut self,
        line: &mut Line<O::Stream>,
        words: &[Vec<u8>],
    ) -> anyhow::Result<Verdict> {
        let answer = self.answer(line, words).await?;
        let style = match is_text(words) && !is_error(&answer) {
            true => Style::Raw,
            false => self.style,
        };
        self.show(&answer, style)?;
        // From now on the server speaks by itself.
        while goes_on(words) && !is_error(&answer) {
            let news = line.session.next().await?;
            self.show(&news, self.style)?;
        }
        Ok(Verdict::from(!is_error(&answer)))
    }

    /// The answer of the server to which others lead; from then on the conversation is with that one.
    async fn answer(
        &mut self,
        line: &mut Line<O::Stream>,
        words: &[Vec<u8>],
    ) -> anyhow::Result<Value> {
        let mut answer = line.session.ask(words).await?;
        let Some(shards) = self.shards else {
            return Ok(answer);
        };
        for _ in 0..REDIRECTS {
            let Some(Redirect { slot, at, is_ask }) = Redirect::of(&answer) else {
                break;
            };
            let opened = self.opens.open_at(&at).await?;
            *line = self.log_in(opened).await?;
            if shards.tells {
                let pod = &line.pod;
                writeln!(self.out, "-> Redirected to slot [{slot}] located at {pod}")?;
            }
            if is_ask {
                line.session.ask(&["ASKING"]).await?;
            }
            answer = line.session.ask(words).await?;
        }
        Ok(answer)
    }

    fn show(&mut self, answer: &Value, style: Style) -> io::Result<()> {
        print(self.out, answer, style)?;
        self.out.flush()
    }
}

fn is_word(word: Option<&Vec<u8>>, known: &[&str]) -> bool {
    word.is_some_and(|word| {
        known
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
    })
}

fn is_end(words: &[Vec<u8>]) -> bool {
    words.len() == 1 && is_word(words.first(), &["quit", "exit"])
}

fn goes_on(words: &[Vec<u8>]) -> bool {
    is_word(
        words.first(),
        &["subscribe", "psubscribe", "ssubscribe", "monitor"],
    )
}

/// Answers that are a text with lines, shown as it is.
fn is_text(words: &[Vec<u8>]) -> bool {
    let pair = |first: &str, second: &[&str]| {
        is_word(words.first(), &[first]) && is_word(words.get(1), second)
    };
    is_word(words.first(), &["info", "lolwut"])
        || pair("client", &["list", "info"])
        || pair("cluster", &["info", "nodes"])
        || pair("memory", &["doctor", "malloc-stats"])
        || pair("latency", &["doctor", "graph"])
}

#[cfg(test)]
mod redirects;
#[cfg(test)]
mod tests;
