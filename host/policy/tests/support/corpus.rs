use super::{build, shapes};

/// A module and the name of its file.
pub type Module = (&'static str, Vec<u8>);

/// Honest, and visibly not the built-in.
pub const NO_DELETE: &str = "acl-no-delete";

const GUESTS: &[&str] = &[
    "endless-loop",
    "panic",
    "memory-hog",
    "huge-output",
    "log-flood",
    "log-storm",
    "counter",
    "probe",
    "beyond-spec",
    "wider-keys",
    "system-user",
    "refuse",
    "recursion",
    "one-grow",
    "page-grower",
    "huge-list",
    "log-strings",
    "nan",
    "unknown-user",
    "nopass",
    "sleeper",
    "fickle",
    "adds-set",
];

/// Every module of the corpus.
pub fn all() -> Result<Vec<Module>, String> {
    let mut modules = vec![(NO_DELETE, no_delete()?)];
    for name in GUESTS {
        modules.push((name, guest(name)?));
    }
    modules.extend([
        ("garbage", garbage()),
        ("truncated", truncated()),
        ("wrong-world", wrong_world()?),
        ("no-world", no_world()?),
        ("circular", circular()?),
        ("wasi", wasi()?),
        ("wasi-core", wasi_core()?),
        ("newer-api", newer_api()?),
        ("too-large", too_large()?),
        ("too-many-functions", too_many_functions()?),
        ("function-too-large", function_too_large()?),
        ("nested", shapes::nested(980)?),
        ("doubling", shapes::doubling(20)?),
        ("doubling-by-hand", shapes::doubling_by_hand(20)?),
    ]);
    Ok(modules)
}

/// The example policy that most tests use.
pub fn no_delete() -> Result<Vec<u8>, String> {
    example(NO_DELETE)
}

/// A policy of the folder `policies/`.
pub fn example(name: &str) -> Result<Vec<u8>, String> {
    let package = format!("hera-policy-{name}");
    let folder = build(&["-p", &package, "--lib"])?;
    read(folder.join(format!("{}.wasm", package.replace('-', "_"))))
}

/// The same module with a byte in it that nobody looks at: another digest.
pub fn padded(module: &[u8], byte: u8) -> Vec<u8> {
    // A custom section called `p` with one byte.
    [module, &[0, 3, 1, b'p', byte]].concat()
}

/// A component with another core module in it that nobody uses.
pub fn with_module(component: &[u8], module: &[u8]) -> Vec<u8> {
    with_section(component, 1, module)
}

/// A component with one more section at its end.
pub fn with_section(component: &[u8], id: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    // A section: its id, its length in LEB128, its content.
    bytes.push(id);
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap_or_default());
    bytes.extend(content);
    bytes
}

/// One of the test guests, as a core module.
pub fn guest(name: &str) -> Result<Vec<u8>, String> {
    let folder = build(&["-p", "hera-policy-hostile", "--examples"])?;
    let file = format!("{}.wasm", name.replace('-', "_"));
    read(folder.join("examples").join(file))
}

fn read(path: std::path::PathBuf) -> Result<Vec<u8>, String> {
    std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn wat(text: &str) -> Result<Vec<u8>, String> {
    wat::parse_str(text).map_err(|error| error.to_string())
}

/// No WebAssembly at all.
pub fn garbage() -> Vec<u8> {
    b"#!/bin/sh\necho this is no module\n".repeat(40)
}

/// The built-in, cut in the middle.
pub fn truncated() -> Vec<u8> {
    let whole = hera_policy::builtin::ACL_PRESETS;
    whole.get(..whole.len() / 2).unwrap_or_default().to_vec()
}

/// A component that exports another interface.
pub fn wrong_world() -> Result<Vec<u8>, String> {
    wat(r#"(component
        (component $empty)
        (instance $i (instantiate $empty))
        (export "someone:else/thing@1.0.0" (instance $i)))"#)
}

/// A core module without any word on its world.
pub fn no_world() -> Result<Vec<u8>, String> {
    wat(r#"(module (func (export "decide") (result i32) i32.const 0))"#)
}

/// A core module whose world says that two packages depend on each other.
pub fn circular() -> Result<Vec<u8>, String> {
    let mut module = no_delete()?;
    let name = b"hera:policy/acl@0.1.0";
    let at = module.windows(name.len()).enumerate();
    let at: Vec<usize> = at
        .filter(|(_, bytes)| bytes == name)
        .map(|found| found.0)
        .collect();
    for at in at {
        let letter = module.get_mut(at + "hera:polic".len());
        *letter.ok_or("a name that ends early")? = b'r';
    }
    Ok(module)
}

/// A component that wants a clock.
pub fn wasi() -> Result<Vec<u8>, String> {
    wat(r#"(component
        (import "wasi:clocks/monotonic-clock@0.2.6" (instance
            (export "now" (func (result u64)))))
        (component $empty)
        (instance $i (instantiate $empty))
        (export "hera:policy/acl@0.1.0" (instance $i)))"#)
}

/// A core module as a build for wasm32-wasip1 makes it.
pub fn wasi_core() -> Result<Vec<u8>, String> {
    wat(r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#)
}

/// A component for a later operator.
pub fn newer_api() -> Result<Vec<u8>, String> {
    wat(r#"(component
        (component $empty)
        (instance $i (instantiate $empty))
        (export "hera:policy/acl@0.2.0" (instance $i)))"#)
}

/// Sound, and twice as large as a module may be.
pub fn too_large() -> Result<Vec<u8>, String> {
    wat(&format!(
        "(module (memory 17) (data (i32.const 0) \"{}\"))",
        "x".repeat(1 << 20)
    ))
}

/// Small, and slow to compile.
pub fn too_many_functions() -> Result<Vec<u8>, String> {
    wat(&format!("(module {})", "(func)".repeat(5000)))
}

/// One function that alone is slow to compile.
pub fn function_too_large() -> Result<Vec<u8>, String> {
    wat(&format!(
        "(module (func {}))",
        "i32.const 1 drop ".repeat(60_000)
    ))
}
