// A module that wears a compiler out. Shared by the tests of the trial and the scenarios.

/// The text of a component of a few kilobytes that takes a compiler longer than it may.
pub fn slow_to_compile() -> String {
    let export = "(instance $none) (export \"hera:policy/acl@0.1.0\" (instance $none))";
    format!("(component (core module {}) {export})", function(600, 3000))
}

/// The text of a function that costs a compiler the product of loops and variables: each of the nested loops
/// may start again with each variable changed.
pub fn function(loops: usize, variables: usize) -> String {
    let step = |at: usize| format!("(local.set {at} (i32.add (local.get {at}) (local.get 0)))");
    let again = |depth: usize| format!("(br_if {depth} (local.get 0)) ");
    let steps: String = (1..variables).map(step).collect();
    let agains: String = (0..loops).map(again).collect();
    format!(
        "(func (param i32) (local {}) {} {steps} {agains} {})",
        "i32 ".repeat(variables),
        "(loop ".repeat(loops),
        ")".repeat(loops)
    )
}
