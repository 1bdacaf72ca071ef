//! Components that are small as files and large once they are compiled. Most are sound, and harmless but for
//! what they cost.

use std::fmt::Write as _;

use hera_policy::Limits;

use super::corpus::with_section;

/// Ids of sections.
const CUSTOM: u8 = 0;
const COMPONENT: u8 = 4;
const INSTANCE: u8 = 5;

/// The built-in, with another component in it that is instantiated beside it.
fn component(content: &str) -> Result<Vec<u8>, String> {
    let nested = wat::parse_str(format!("(component {content})"));
    let nested = nested.map_err(|error| error.to_string())?;
    let builtin = hera_policy::to_component(hera_policy::builtin::ACL_PRESETS, &Limits::default())
        .map_err(|error| error.to_string())?;
    let both = with_section(&builtin, COMPONENT, &nested);
    // One, by instantiating the second component, with nothing.
    Ok(with_section(&both, INSTANCE, &[1, 0, 1, 0]))
}

fn repeated(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect()
}

/// A core module with this in it that nobody uses.
pub fn module(content: &str) -> Result<Vec<u8>, String> {
    component(&format!("(core module {content})"))
}

/// So many core modules with nothing in them.
pub fn modules(modules: usize) -> Result<Vec<u8>, String> {
    component(&"(core module)".repeat(modules))
}

/// So many components with nothing in them.
pub fn components(components: usize) -> Result<Vec<u8>, String> {
    component(&"(component)".repeat(components))
}

/// A core module with so many tables.
pub fn many_tables(tables: usize) -> Result<Vec<u8>, String> {
    module(&"(table 1 funcref)".repeat(tables))
}

/// The built-in as cargo makes it, with so many types in one more description of a world.
pub fn described(types: usize) -> Result<Vec<u8>, String> {
    let types = "(type (tuple u8 u8))".repeat(types);
    let world =
        wat::parse_str(format!("(component {types})")).map_err(|error| error.to_string())?;
    let name = "component-type:more";
    let mut content = vec![u8::try_from(name.len()).unwrap_or_default()];
    content.extend(name.bytes());
    content.extend(world);
    Ok(with_section(
        hera_policy::builtin::ACL_PRESETS,
        CUSTOM,
        &content,
    ))
}

/// So many functions that each do a little.
pub fn functions(functions: usize) -> Result<Vec<u8>, String> {
    const FUNCTION: &str = "(func (param i32 i64) (result i64) local.get 1 local.get 0 i64.extend_i32_u \
        i64.add local.get 1 i64.xor local.get 1 i64.rotl)";
    module(&FUNCTION.repeat(functions))
}

/// A component with so many in it, each of them an instance of its own core module.
pub fn nested(components: usize) -> Result<Vec<u8>, String> {
    component(&repeated(components, |number| {
        format!(
            r#"(component $c{number}
                (core module $m (func (export "run") (param i32) (result i32) local.get 0))
                (core instance (instantiate $m)))
            (instance (instantiate $c{number}))"#
        )
    }))
}

/// Components in each other, like dolls.
pub fn levels(levels: usize) -> Result<Vec<u8>, String> {
    let (open, close) = ("(component ".repeat(levels), ")".repeat(levels));
    component(&format!("{open}{close}"))
}

/// Each component instantiates the one before it twice.
pub fn doubling(components: usize) -> Result<Vec<u8>, String> {
    let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for number in 1..components {
        let before = number - 1;
        let _ = write!(
            text,
            r"(component $c{number} (alias outer 1 {before} (component $before))
                (instance (instantiate $before)) (instance (instantiate $before)))"
        );
    }
    let last = components - 1;
    component(&format!("{text} (instance (instantiate $c{last}))"))
}

/// The same with two definitions: a component takes another, and exports one that instantiates it twice.
pub fn doubling_by_hand(times: usize) -> Result<Vec<u8>, String> {
    let mut text = r#"(component $first (core module $m) (core instance (instantiate $m)))
        (component $twice
            (import "it" (component $it))
            (component $both (alias outer 1 0 (component $it))
                (instance (instantiate $it)) (instance (instantiate $it)))
            (export "both" (component $both)))
        (instance $i0 (instantiate $twice (with "it" (component $first))))"#
        .to_owned();
    for number in 1..times {
        let before = number - 1;
        let _ = write!(
            text,
            r#"(alias export $i{before} "both" (component $b{before}))
            (instance $i{number} (instantiate $twice (with "it" (component $b{before}))))"#
        );
    }
    component(&text)
}

/// So many types of core functions, each another.
pub fn types(types: usize) -> Result<Vec<u8>, String> {
    let types = repeated(types, |number| {
        let params = repeated(16, |bit| {
            let is_set = number >> bit & 1 == 1;
            if is_set { "i32 " } else { "i64 " }.to_owned()
        });
        format!("(type (func (param {params})))")
    });
    module(&types)
}

/// Core modules with a table each that nobody uses.
pub fn tables(modules: usize, elements: usize) -> Result<Vec<u8>, String> {
    let last = elements - 1;
    let module =
        format!("(core module (table {elements} funcref) (func $f) (elem (i32.const {last}) $f))");
    component(&module.repeat(modules))
}

/// Core modules with a memory each that holds two bytes, far apart.
pub fn images(modules: usize) -> Result<Vec<u8>, String> {
    const MODULE: &str = r#"(core module (memory 256)
        (data (i32.const 0) "x") (data (i32.const 0xffff00) "x"))"#;
    component(&MODULE.repeat(modules))
}

/// Two memories in use, of which a policy has one.
pub fn two_memories() -> Result<Vec<u8>, String> {
    component(
        "(core module $m (memory 1)) (core instance (instantiate $m)) (core instance (instantiate $m))",
    )
}

/// So many functions of so many components that others call.
pub fn crossing(functions: usize) -> Result<Vec<u8>, String> {
    let lowered = "(core func (canon lower (func $f)))".repeat(functions);
    component(&format!(
        r#"(component $one
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f"))))
        (instance $one (instantiate $one))
        (alias export $one "f" (func $f))
        {lowered}"#
    ))
}
