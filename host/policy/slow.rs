// A module that wears a compiler out. Shared by the tests of the trial and the scenarios.

/// The text of a component of a few kilobytes that cost a compiler the product of loops and variables:
/// each of the nested loops may start again with each variable changed.
pub fn slow_to_compile() -> String {
    const LOOPS: usize = 600;
    const VARIABLES: usize = 3000;
    let step = |at: usize| format!("(local.set {at} (i32.add (local.get {at}) (local.get 0)))");
    let again = |depth: usize| format!("(br_if {depth} (local.get 0)) ");
    let steps: String = (1..VARIABLES).map(step).collect();
    let agains: String = (0..LOOPS).map(again).collect();
    let function = format!(
        "(func (param i32) (local {}) {} {steps} {agains} {})",
        "i32 ".repeat(VARIABLES),
        "(loop ".repeat(LOOPS),
        ")".repeat(LOOPS)
    );
    let export = "(instance $none) (export \"hera:policy/acl@0.1.0\" (instance $none))";
    format!("(component (core module {function}) {export})")
}
