//! Any stream, cut anywhere, in any parts.

use hera_core::backup::log::Cutter;
use proptest::prelude::*;

use crate::recover::numbers;
use crate::world::{World, length};

proptest! {
    #[test]
    fn any_cut_is_a_prefix_between_commands_and_outside_of_transactions(
        seed in any::<u64>(),
        until in 0_u64..6_000,
    ) {
        let mut world = World::new(seed);
        for _ in 0..60 {
            match world.dice.below(3) {
                0 => world.noise(),
                _ => world.write(),
            }
        }
        let stream = world.histories[0].stream.clone();
        let mut cutter = Cutter::new(0, until);
        let mut file = Vec::new();
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(1 + world.dice.below(rest.len().min(50)));
            cutter.take(part, &mut file).unwrap();
            rest = later;
        }
        prop_assert_eq!(cutter.is_over(), until <= length(&stream));
        file.truncate(usize::try_from(cutter.whole()).unwrap());
        prop_assert_eq!(numbers(&file), world.content(0, until));
        let commands = file.windows(2).filter(|bytes| bytes == b"\n*").count();
        let first = usize::from(!file.is_empty());
        prop_assert_eq!(cutter.commands(), u64::try_from(commands + first).unwrap());
    }
}
