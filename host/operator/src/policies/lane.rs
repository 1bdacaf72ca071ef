//! One decision: from a question to an answer that may be used, or to the reason why there is
//! none.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hera_api::conditions::policy_healthy as reason;
use hera_api::{PolicyOrigin, PolicySource, PolicyStatus, ShadowSource, ShadowVerdict};
use hera_core::digest;
use hera_policy::{Call, Context, Decision, Outcome, Record};

use super::again::due;
use super::kept::name_of;
use super::memory::{Again, Asked, Conduct, Last, Memory};
use super::{Choice, Common, Compared, Made, Problem, problem_of};
use crate::object::ObjectKey;

/// What may pass by itself is looked at again after this.
pub(super) const RETRY_MS: u64 = 5_000;

/// Everything about one decision.
pub struct Lane<D: Decision> {
    common: Arc<Common>,
    pub(super) builtin: Choice<D>,
    objects: Mutex<HashMap<ObjectKey, Memory<D>>>,
}

/// What is asked, and for whom.
pub struct Question<'a, D: Decision> {
    /// The object.
    pub instance: &'a ObjectKey,
    /// The policy that its spec asks for.
    pub source: Option<&'a PolicySource>,
    /// What its status says about this decision: what was in use before a restart.
    pub status: Option<&'a PolicyStatus>,
    /// The circumstances; the settings are filled in.
    pub context: Context,
    /// What is asked.
    pub input: &'a D::Input,
    /// A person's request to ask, whatever is known: another one than before counts.
    pub request: Option<&'a str>,
}

/// Who would be asked, and who would be compared.
pub struct Prepared<D> {
    chosen: Chosen<D>,
    shadow: Option<Result<Choice<D>, Compared>>,
}

impl<D: Decision> Prepared<D> {
    /// The module that is asked for is not there yet, and may be in a moment.
    pub fn is_loading(&self) -> bool {
        let problem = self.chosen.problem.as_ref();
        problem.is_some_and(|problem| problem.reason == reason::LOADING)
    }

    /// Stands for them: another once a module, its settings or what is wrong with them is.
    pub fn standing(&self) -> String {
        let Chosen {
            choice, problem, ..
        } = &self.chosen;
        let (digest, settings) = match choice {
            Some(choice) => (choice.policy.digest(), choice.settings.as_str()),
            None => ("", ""),
        };
        let problem = problem.as_ref().map_or("", |problem| problem.reason);
        let shadow = shadow_key(self.shadow.as_ref());
        key(&[digest, settings, problem, &shadow])
    }
}

/// Who is to be asked.
struct Chosen<D> {
    choice: Option<Choice<D>>,
    /// It is not the policy that is asked for, nor a version of it.
    stands_in: bool,
    problem: Option<Problem>,
}

/// True if a policy comes from where the spec asks for it.
fn is_asked_for<D: Decision>(question: &Question<'_, D>, source: &PolicyOrigin) -> bool {
    source.is_of(question.source.and_then(|s| s.config_map_ref.as_ref()))
}

impl<D: Decision> Lane<D> {
    /// A lane with its built-in.
    ///
    /// # Errors
    /// When the built-in does not load.
    pub async fn new(common: Arc<Common>, builtin: &'static [u8]) -> anyhow::Result<Self> {
        let policy = common.registry.load(builtin, &common.namespace).await?;
        Ok(Self {
            common,
            builtin: Choice {
                policy,
                settings: String::new(),
                source: PolicyOrigin::BUILT_IN,
            },
            objects: Mutex::default(),
        })
    }

    /// Drops what is remembered of an instance that is gone.
    pub fn forget(&self, instance: &ObjectKey) {
        self.lock().remove(instance);
    }

    /// Asks the policy of an object, unless the same was asked before, and the one in its shadow.
    ///
    /// # Errors
    /// Only when the API server does not answer; everything about policies is in [`Made`].
    pub async fn decide(&self, question: &Question<'_, D>) -> kube::Result<Made<D::Answer>> {
        let prepared = self.prepare(question).await?;
        Ok(self.decide_by(question, prepared).await)
    }

    /// Finds out who would be asked.
    ///
    /// # Errors
    /// Only when the API server does not answer.
    pub async fn prepare(&self, question: &Question<'_, D>) -> kube::Result<Prepared<D>> {
        Ok(Prepared {
            chosen: self.choose(question).await?,
            shadow: self.shadow(question).await?,
        })
    }

    /// How it stands with who would be asked, though nobody is: what is wrong with the policy, or came of its last
    /// answer. None where this process has not asked yet and the status says how it was.
    ///
    /// # Errors
    /// Only when the API server does not answer.
    pub async fn standing(
        &self,
        question: &Question<'_, D>,
    ) -> kube::Result<Option<Made<D::Answer>>> {
        let Prepared { chosen, shadow } = self.prepare(question).await?;
        let Chosen {
            choice,
            stands_in,
            problem,
        } = chosen;
        let request = question.request.unwrap_or_default();
        let policy_key = choice
            .as_ref()
            .map(|choice| key(&[choice.policy.digest(), &choice.settings, request]));
        let (conduct, compared) = self.with(question.instance, |memory| {
            (memory.conduct.clone(), memory.last_shadow())
        });
        let has_asked = !conduct.policy_key.is_empty();
        let source = choice.as_ref().map(|choice| &choice.source);
        let is_told = question.status.is_some_and(|told| match &told.error {
            Some(error) => is_of_an_answer(error),
            None => told.source.as_ref() == source,
        });
        if problem.is_none() && !has_asked && is_told {
            return Ok(None);
        }
        let fault = choice
            .as_ref()
            .filter(|_| policy_key.as_ref() == Some(&conduct.policy_key))
            .and_then(|choice| conduct.explain(choice.policy.digest(), D::BUILT_IN_STEPS_IN));
        let active = match (&choice, &fault) {
            (Some(choice), None) => Some(choice.active()),
            _ => D::BUILT_IN_STEPS_IN.then(|| self.builtin.active()),
        };
        Ok(Some(Made {
            answer: None,
            stands_in,
            active,
            problem: problem.or(fault),
            shadow: match shadow {
                Some(Ok(_)) => compared,
                Some(Err(wrong)) => Some(wrong),
                None => None,
            },
            again_unix_ms: None,
            holds_until_unix_ms: None,
        }))
    }

    /// Asks those, unless the same was asked before.
    pub async fn decide_by(
        &self,
        question: &Question<'_, D>,
        prepared: Prepared<D>,
    ) -> Made<D::Answer> {
        let Prepared { chosen, shadow } = prepared;
        let Chosen {
            choice,
            stands_in,
            problem,
        } = chosen;
        let passes = problem.as_ref().is_some_and(|problem| problem.passes);
        let Some(choice) = choice else {
            let made = Made {
                answer: None,
                stands_in: false,
                active: None,
                problem,
                shadow: shadow.and_then(Result::err),
                again_unix_ms: passes
                    .then(|| question.context.now_unix_ms.saturating_add(RETRY_MS)),
                holds_until_unix_ms: None,
            };
            return self.or_built_in(question, made).await;
        };
        let now_unix_ms = question.context.now_unix_ms;
        let context = Context {
            settings: choice.settings.clone(),
            ..question.context.clone()
        };
        // Whom a person asks gets another chance, however it fared.
        let request = question.request.unwrap_or_default();
        let policy_key = key(&[choice.policy.digest(), &choice.settings, request]);
        let asked_key = asked_key::<D>(&policy_key, &context, question.input, shadow.as_ref());
        let mut conduct = self.conduct(question.instance, &policy_key);
        let known = self.known(question.instance, &asked_key, now_unix_ms);
        let (answer, shadow, holds_until_unix_ms) = match known {
            Some(asked) => {
                let answer = asked.call.outcome.good().cloned();
                (answer, asked.shadow, asked.due_unix_ms)
            }
            None if !conduct.record.may_ask(now_unix_ms) => {
                (None, shadow.and_then(Result::err), None)
            }
            None => {
                let input = question.input;
                let asked = self
                    .ask(question.instance, &choice, shadow.clone(), &context, input)
                    .await;
                conduct.note(&asked.call, now_unix_ms);
                let answer = asked.call.outcome.good().cloned();
                let (compared, due) = (asked.shadow.clone(), asked.due_unix_ms);
                let again = asked.due_unix_ms.map(|due_unix_ms| Again {
                    due_unix_ms,
                    policy_key,
                    choice: choice.clone(),
                    shadow,
                    context,
                    input: input.clone(),
                });
                let last = Last {
                    key: asked_key,
                    asked,
                    again: again.map(Arc::new),
                };
                self.note(question.instance, &conduct, last);
                (answer, compared, due)
            }
        };
        if answer.is_some() {
            self.proved(question.instance, &choice).await;
        }
        let problem = problem.or(conduct
            .explain(choice.policy.digest(), D::BUILT_IN_STEPS_IN)
            .filter(|_| answer.is_none()));
        let again_unix_ms = match (&answer, &problem) {
            (None, _) => Some(conduct.record.not_before_unix_ms),
            (Some(_), Some(problem)) if problem.passes => {
                Some(now_unix_ms.saturating_add(RETRY_MS))
            }
            (Some(_), _) => None,
        };
        let made = Made {
            // What is in force: of a policy that gives no answer, nothing is.
            active: self.with(question.instance, |memory| {
                memory.last_good.as_ref().map(Choice::active)
            }),
            again_unix_ms,
            holds_until_unix_ms,
            problem,
            stands_in: stands_in && answer.is_some(),
            answer,
            shadow,
        };
        match choice.source == PolicyOrigin::BUILT_IN {
            true => made,
            false => self.or_built_in(question, made).await,
        }
    }

    /// A policy gave a good answer: it is the one to fall back to, also after a restart.
    async fn proved(&self, instance: &ObjectKey, choice: &Choice<D>) {
        let digest = choice.policy.digest();
        let known = self.with(instance, |memory| {
            let last = memory.last_good.replace(choice.clone());
            last.is_some_and(|last| last.policy.digest() == digest)
        });
        if !known && choice.source != PolicyOrigin::BUILT_IN {
            self.common.keep(&choice.policy).await;
        }
    }

    /// Names under which the modules that decide somewhere are kept.
    pub fn used(&self) -> BTreeSet<String> {
        let objects = self.lock();
        let good = objects
            .values()
            .filter_map(|memory| memory.last_good.as_ref());
        good.map(|choice| name_of(D::NAME, choice.policy.digest()))
            .collect()
    }

    async fn choose(&self, question: &Question<'_, D>) -> kube::Result<Chosen<D>> {
        let fine = |choice| Chosen {
            choice: Some(choice),
            stands_in: false,
            problem: None,
        };
        let problem = match self
            .common
            .find::<D>(question.instance, question.source)
            .await?
        {
            None => return Ok(fine(self.builtin.clone())),
            Some(Ok(choice)) => return Ok(fine(choice)),
            Some(Err(problem)) => problem,
        };
        if problem.reason == reason::DEFAULT_AMBIGUOUS {
            return Ok(Chosen {
                choice: Some(self.builtin.clone()),
                stands_in: true,
                problem: Some(problem),
            });
        }
        let remembered = self.with(question.instance, |memory| memory.last_good.clone());
        let choice = match remembered {
            Some(choice) => Some(choice),
            None => self.restore(question).await?,
        };
        // The version before of the very policy that is asked for stays in force, and decides.
        Ok(Chosen {
            stands_in: choice
                .as_ref()
                .is_some_and(|choice| !is_asked_for(question, &choice.source)),
            choice,
            problem: Some(problem),
        })
    }

    /// What decided before this process started, as the status tells.
    async fn restore(&self, question: &Question<'_, D>) -> kube::Result<Option<Choice<D>>> {
        let Some((source, digest)) = question
            .status
            .and_then(|status| Some((status.source.as_ref()?, status.digest.as_deref()?)))
        else {
            return Ok(None);
        };
        if *source == PolicyOrigin::BUILT_IN || digest == self.builtin.policy.digest() {
            return Ok(Some(self.builtin.clone()));
        }
        // Settings belong to the policy beside which they stand.
        if !is_asked_for(question, source) {
            return Ok(None);
        }
        let settings = question.source.map(|asked| asked.settings.json());
        let Ok(settings) = settings.transpose() else {
            return Ok(None);
        };
        let settings = settings.unwrap_or_default().to_owned();
        let found = self
            .common
            .restore::<D>(question.instance, digest, settings, source.clone())
            .await?;
        if let Ok(choice) = &found {
            let good = Some(choice.clone());
            self.with(question.instance, |memory| memory.last_good = good);
        }
        Ok(found.ok())
    }

    /// The policy in the shadow, or why there is none that could be asked.
    async fn shadow(
        &self,
        question: &Question<'_, D>,
    ) -> kube::Result<Option<Result<Choice<D>, Compared>>> {
        let Some(shadow) = question.source.and_then(|source| source.shadow.as_ref()) else {
            return Ok(None);
        };
        let ShadowSource {
            config_map_ref,
            settings,
        } = shadow;
        let found = self
            .common
            .in_config_map::<D>(question.instance, config_map_ref, settings)
            .await?;
        Ok(Some(found.map_err(|problem| Compared {
            source: PolicyOrigin::config_map(config_map_ref),
            digest: None,
            verdict: ShadowVerdict::NotLoaded,
            message: Some(format!("{}: {}", problem.reason, problem.message)),
        })))
    }

    pub(super) async fn ask(
        &self,
        instance: &ObjectKey,
        choice: &Choice<D>,
        shadow: Option<Result<Choice<D>, Compared>>,
        context: &Context,
        input: &D::Input,
    ) -> Asked<D::Answer> {
        let call = choice
            .policy
            .ask(&choice.source.to_string(), context, input)
            .await;
        self.common.metrics.decided(D::NAME, &call);
        let (compared, shadow, shadow_settings) = match shadow {
            Some(Ok(shadow)) => {
                let context = Context {
                    settings: shadow.settings.clone(),
                    ..context.clone()
                };
                let other = shadow
                    .policy
                    .ask(&shadow.source.to_string(), &context, input)
                    .await;
                let before = self.with(instance, |memory| memory.last_shadow());
                let compared = compare::<D>(&call, &other, &shadow.source, before);
                (Some(compared), Some(other), shadow.settings)
            }
            Some(Err(compared)) => (Some(compared), None, String::new()),
            None => (None, None, String::new()),
        };
        if let Some(compared) = &compared {
            self.common.metrics.compared(D::NAME, compared.verdict);
        }
        let record = Record {
            decision: D::NAME.to_owned(),
            context: context.clone(),
            input: input.clone(),
            call,
            shadow,
            shadow_settings,
        };
        self.common.journal.add(&record);
        let calls = std::iter::once(&record.call).chain(&record.shadow);
        let wanted = calls.filter_map(|call| call.outcome.again_at_unix_ms());
        let due_unix_ms = due(context.now_unix_ms, wanted);
        let lasts = record.shadow.is_none_or(|call| call.outcome.lasts());
        Asked {
            call: record.call,
            shadow: compared,
            lasts,
            due_unix_ms,
        }
    }

    fn conduct(&self, instance: &ObjectKey, policy_key: &str) -> Conduct {
        self.with(instance, |memory| {
            memory.begin_anew(policy_key);
            memory.conduct.clone()
        })
    }

    /// An answer that can be used again. One that cannot is asked for anew, after a while.
    fn known(
        &self,
        instance: &ObjectKey,
        asked_key: &str,
        now_unix_ms: u64,
    ) -> Option<Asked<D::Answer>> {
        self.with(instance, |memory| {
            let last = memory.last.as_ref().filter(|last| last.key == asked_key)?;
            let asked = &last.asked;
            let holds = asked.due_unix_ms.is_none_or(|due| now_unix_ms < due);
            let good = holds && asked.lasts && asked.call.outcome.good().is_some();
            good.then(|| asked.clone())
        })
    }

    fn note(&self, instance: &ObjectKey, conduct: &Conduct, last: Last<D>) {
        let again = last.again.is_some();
        self.with(instance, |memory| {
            memory.conduct = conduct.clone();
            memory.last = Some(last);
        });
        if again {
            self.common.due.notify_one();
        }
    }

    pub(super) fn with<T>(
        &self,
        instance: &ObjectKey,
        look: impl FnOnce(&mut Memory<D>) -> T,
    ) -> T {
        look(
            self.lock()
                .entry(instance.clone())
                .or_insert_with(|| Memory {
                    last_good: None,
                    last: None,
                    instead: None,
                    conduct: Conduct::default(),
                }),
        )
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Memory<D>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True of an error in a status that only an answer shows, and no look at who would answer.
fn is_of_an_answer(error: &str) -> bool {
    let reasons = [
        reason::TRAP,
        reason::OUT_OF_FUEL,
        reason::OUT_OF_MEMORY,
        reason::TIMEOUT,
        reason::POLICY_ERROR,
        reason::INVALID_OUTPUT,
        reason::GUARD_REFUSED,
        reason::SET_ASIDE,
    ];
    let told = error.split_once(": ").map(|(reason, _)| reason);
    told.is_some_and(|told| reasons.contains(&told))
}

/// Differences that are told; there are more in the decision log.
const TOLD: usize = 5;

fn compare<D: Decision>(
    call: &Call<D::Answer>,
    other: &Call<D::Answer>,
    source: &PolicyOrigin,
    before: Option<Compared>,
) -> Compared {
    let (verdict, message) = match &other.outcome {
        Outcome::Ok { .. } if call.agrees(other) => (ShadowVerdict::Same, None),
        Outcome::Ok { answer, .. } => {
            let lines = call.outcome.good().map(|one| D::diff(one, answer));
            let told = lines.map(|lines| lines.iter().take(TOLD).cloned().collect::<Vec<_>>());
            (ShadowVerdict::Differs, told.map(|lines| lines.join("; ")))
        }
        Outcome::GuardRefused { .. } | Outcome::Fault { .. } => (
            ShadowVerdict::Faulty,
            problem_of(other).map(|problem| format!("{}: {}", problem.reason, problem.message)),
        ),
    };
    let compared = Compared {
        source: source.clone(),
        digest: Some(other.digest.clone()),
        verdict,
        message,
    };
    match before {
        // The words of a fault are the policy's: those of its first time stay.
        Some(before)
            if verdict == ShadowVerdict::Faulty
                && before.verdict == verdict
                && before.digest == compared.digest =>
        {
            before
        }
        _ => compared,
    }
}

fn key(parts: &[&str]) -> String {
    let mut text = String::new();
    for part in parts {
        text.push_str(&part.len().to_string());
        text.push(':');
        text.push_str(part);
    }
    digest::of(text.as_bytes())
}

fn shadow_key<D: Decision>(shadow: Option<&Result<Choice<D>, Compared>>) -> String {
    match shadow {
        Some(Ok(choice)) => key(&[choice.policy.digest(), &choice.settings]),
        Some(Err(compared)) => compared.message.clone().unwrap_or_default(),
        None => String::new(),
    }
}

/// Stands for everything that an answer may depend on, but the time: until when an answer holds, it
/// says itself.
pub(super) fn asked_key<D: Decision>(
    policy_key: &str,
    context: &Context,
    input: &D::Input,
    shadow: Option<&Result<Choice<D>, Compared>>,
) -> String {
    let context = Context {
        now_unix_ms: 0,
        ..context.clone()
    };
    let shadow = shadow_key(shadow);
    let json = serde_json::to_string(&(context, input)).unwrap_or_default();
    key(&[policy_key, &json, &shadow])
}
