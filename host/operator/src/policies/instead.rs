//! The built-in in place of a policy that gives no answer, for decisions that cannot wait for a better one.

use hera_policy::{Context, Decision};

use super::lane::asked_key;
use super::{Lane, Made, Question};

impl<D: Decision> Lane<D> {
    /// What was made, or, if that is no answer and the decision is of those, what the built-in answers with its
    /// defaults. What is wrong with the policy, and when to ask it again, stays.
    pub(super) async fn or_built_in(
        &self,
        question: &Question<'_, D>,
        made: Made<D::Answer>,
    ) -> Made<D::Answer> {
        if made.answer.is_some() || !D::BUILT_IN_STEPS_IN {
            return made;
        }
        let answer = Box::pin(self.built_in(question)).await;
        Made {
            stands_in: answer.is_some(),
            active: answer.as_ref().map(|_| self.builtin.active()),
            answer,
            ..made
        }
    }

    /// The built-in's answer, which is asked once for a question.
    async fn built_in(&self, question: &Question<'_, D>) -> Option<D::Answer> {
        let context = Context {
            settings: String::new(),
            ..question.context.clone()
        };
        let digest = self.builtin.policy.digest();
        let key = asked_key::<D>(digest, &context, question.input, None);
        let known = self.with(question.instance, |memory| {
            let known = memory.instead.as_ref().filter(|(known, _)| *known == key);
            known.map(|(_, answer)| answer.clone())
        });
        if known.is_some() {
            return known;
        }
        let asked = self
            .ask(
                question.instance,
                &self.builtin,
                None,
                &context,
                question.input,
            )
            .await;
        let answer = asked.call.outcome.good()?.clone();
        let kept = (key, answer.clone());
        self.with(question.instance, |memory| memory.instead = Some(kept));
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use hera_api::conditions::policy_healthy;
    use hera_api::{PolicyOrigin, PolicySource};
    use hera_core::rebalance::RebalanceAnswer;
    use hera_policy::{Rebalance, builtin};
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::super::fixture::{Asked, instance, is_loading, module, policies};
    use super::*;

    async fn ask(lane: &Lane<Rebalance>, object: usize, map: &str) -> Made<RebalanceAnswer> {
        let source: PolicySource =
            serde_json::from_value(json!({"configMapRef": {"name": map}})).unwrap();
        let instance = instance(object);
        let question = Question {
            instance: &instance,
            source: Some(&source),
            status: None,
            context: Context::example(),
            input: &Rebalance::example_of(4),
            request: None,
        };
        let mut made = lane.decide(&question).await.unwrap();
        while made.problem.as_ref().is_some_and(is_loading) {
            made = lane.decide(&question).await.unwrap();
        }
        made
    }

    #[tokio::test]
    async fn where_a_policy_gives_no_plan_that_may_be_used_the_built_in_decides() {
        let greedy = module("hera-policy-hostile", "examples/rebalance_greedy.wasm");
        let maps = HashMap::from([
            ("greedy".to_owned(), greedy),
            ("broken".to_owned(), b"no module".to_vec()),
        ]);
        let maps = Arc::new(Mutex::new(maps));
        let common = policies(maps, mpsc::unbounded_channel().0).await.common;
        let lane: Lane<Rebalance> = Lane::new(common, builtin::REBALANCE_EVEN).await.unwrap();
        let input = Rebalance::example_of(4);
        let built_in = lane
            .builtin
            .policy
            .decide(&Context::example(), &input)
            .await;
        let wanted = built_in.unwrap().answer;
        assert!(!wanted.moves.is_empty());

        for (object, map, reason) in [
            (1, "greedy", policy_healthy::GUARD_REFUSED),
            (2, "broken", policy_healthy::LOAD_FAILED),
            (3, "nowhere", policy_healthy::CONFIG_MAP_MISSING),
        ] {
            let made = ask(&lane, object, map).await;
            assert_eq!(made.answer.as_ref(), Some(&wanted), "{map}");
            assert!(made.stands_in, "{map}");
            let problem = made.problem.unwrap();
            assert_eq!(problem.reason, reason, "{map}: {}", problem.message);
            let active = made.active.unwrap();
            assert_eq!(active.source, PolicyOrigin::BUILT_IN, "{map}");
        }
    }

    /// Never fail open: the built-in gives no rights in place of a policy.
    #[tokio::test]
    async fn for_rights_nobody_steps_in() {
        let panics = module("hera-policy-hostile", "examples/panic.wasm");
        let maps = HashMap::from([("panic".to_owned(), panics)]);
        let maps = Arc::new(Mutex::new(maps));
        let lane = policies(maps, mpsc::unbounded_channel().0).await.acl;
        let asked = Asked {
            source: json!({"configMapRef": {"name": "panic"}}),
            now_unix_ms: 0,
            request: None,
        };
        let made = asked.loaded(&lane, 1).await;
        assert_eq!(made.answer, None);
        assert!(!made.stands_in);
    }
}
