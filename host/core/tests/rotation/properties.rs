//! Whatever happens: nobody is shut out, and every rotation ends.

use hera_core::rotation::Phase;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::world::{OVERLAP_MS, World};

#[derive(Clone, Debug)]
enum Event {
    /// A pass that ends after so many writes.
    Pass {
        writes: usize,
        app_first: bool,
    },
    Push,
    Away(usize, bool),
    Time(u64),
    Ask(u8),
}

fn event() -> impl Strategy<Value = Event> {
    let pass = (0..=3_usize, any::<bool>());
    prop_oneof![
        6 => pass.prop_map(|(writes, app_first)| Event::Pass { writes, app_first }),
        4 => Just(Event::Push),
        1 => (0..3_usize, any::<bool>()).prop_map(|(pod, away)| Event::Away(pod, away)),
        2 => (0..=OVERLAP_MS).prop_map(Event::Time),
        1 => any::<u8>().prop_map(Event::Ask),
    ]
}

fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Pass { writes, app_first } => world.pass(*writes, *app_first),
        Event::Push => world.push(),
        Event::Away(pod, away) => world.servers[*pod].away = *away,
        Event::Time(millis) => world.now_ms += millis,
        Event::Ask(token) => world.request = Some(token.to_string()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_password_that_an_application_may_have_is_let_in_everywhere(
        events in vec(event(), 1..120),
        rotate_after_ms in proptest::option::of(1_000..20_000_u64),
    ) {
        let mut world = World::new();
        world.rotate_after_ms = rotate_after_ms;
        for (at, event) in events.iter().enumerate() {
            happen(&mut world, event);
            for password in world.in_use() {
                prop_assert!(
                    world.all_accept(password),
                    "{password} after {:?}: {world:?}",
                    &events[..=at]
                );
            }
        }
    }

    #[test]
    fn a_rotation_ends_once_all_pods_are_there(events in vec(event(), 1..60)) {
        let mut world = World::new();
        world.request = Some("first".to_owned());
        for event in &events {
            happen(&mut world, event);
        }
        for server in &mut world.servers {
            server.away = false;
        }
        world.push();
        // The one that is under way, and one that was asked for meanwhile.
        for _ in 0..12 {
            world.pass(3, false);
            world.push();
            world.now_ms += OVERLAP_MS;
        }
        prop_assert_eq!(world.phase(), Phase::Settled);
        prop_assert_ne!(world.shown.as_str(), "first");
        let one = world.set.users[0].password_sha256.len();
        prop_assert!(one == 1 && world.all_accept(&world.shown), "{world:?}");
        prop_assert!(!world.decide().moved);
    }
}
