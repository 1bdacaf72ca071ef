//! What becomes of bytes that are no policy, and of many that ask for the same one.

use std::sync::Arc;

use crate::support::{corpus, shapes};
use hera_policy::{Acl, Limits, LoadError, Part, Registry, builtin};

fn registry() -> Registry {
    Registry::new(Limits::default(), None).unwrap()
}

async fn reason(bytes: Result<Vec<u8>, String>) -> &'static str {
    registry()
        .load::<Acl>(bytes.unwrap(), "tests")
        .await
        .unwrap_err()
        .reason()
}

#[tokio::test]
async fn garbage_is_malformed() {
    assert_eq!(reason(Ok(corpus::garbage())).await, "Malformed");
    assert_eq!(reason(Ok(vec![])).await, "Malformed");
}

#[tokio::test]
async fn a_truncated_module_is_malformed() {
    assert_eq!(reason(Ok(corpus::truncated())).await, "Malformed");
}

#[tokio::test]
async fn every_cut_of_a_module_is_an_error_and_never_a_crash() {
    let registry = registry();
    let whole = builtin::ACL_PRESETS;
    for end in (0..whole.len()).step_by(whole.len() / 40) {
        assert!(
            registry.load::<Acl>(&whole[..end], "tests").await.is_err(),
            "the first {end} bytes"
        );
    }
}

#[tokio::test]
async fn a_damaged_byte_never_crashes_the_host() {
    let registry = registry();
    for at in (0..builtin::ACL_PRESETS.len()).step_by(builtin::ACL_PRESETS.len() / 25) {
        let mut bytes = builtin::ACL_PRESETS.to_vec();
        bytes[at] ^= 0x55;
        let _ = registry.load::<Acl>(bytes, "tests").await;
    }
}

#[tokio::test]
async fn a_core_module_without_a_world_says_how_to_build_one() {
    let error = registry()
        .load::<Acl>(corpus::no_world().unwrap(), "tests")
        .await
        .unwrap_err();
    assert_eq!(error, LoadError::NoWorld);
    assert!(error.to_string().contains("export_acl_policy!"));
}

#[tokio::test]
async fn another_world_is_wrong() {
    assert_eq!(reason(corpus::wrong_world()).await, "WrongWorld");
}

/// Found by the fuzzer: the encoder's library never ends on it, and takes the process along.
#[tokio::test]
async fn packages_that_depend_on_each_other_are_refused() {
    let module = corpus::circular().unwrap();
    let error = registry().load::<Acl>(module, "tests").await.unwrap_err();
    assert_eq!(error.reason(), "Malformed");
    assert!(
        error.to_string().contains("depend on each other"),
        "{error}"
    );
    assert!(error.to_string().contains("hera:policr@0.1.0"), "{error}");
}

#[tokio::test]
async fn wasi_is_refused_by_name() {
    assert_eq!(reason(corpus::wasi()).await, "WasiImports");
    assert_eq!(reason(corpus::wasi_core()).await, "WasiImports");
}

#[tokio::test]
async fn a_newer_contract_is_told_apart() {
    let error = registry()
        .load::<Acl>(corpus::newer_api().unwrap(), "tests")
        .await
        .unwrap_err();
    assert_eq!(
        error,
        LoadError::NewerApi {
            found: "0.2".to_owned(),
            newest: "0.1".to_owned()
        }
    );
}

#[tokio::test]
async fn sizes_are_bounded() {
    assert_eq!(reason(corpus::too_large()).await, "TooLarge");
    assert_eq!(
        reason(corpus::too_many_functions()).await,
        "TooManyFunctions"
    );
    assert_eq!(
        reason(corpus::function_too_large()).await,
        "FunctionTooLarge"
    );
}

#[tokio::test]
async fn what_a_module_is_put_together_from_is_bounded() {
    let limits = Limits::default();
    for (module, part, limit) in [
        (shapes::nested(980), Part::CoreModules, limits.core_modules),
        (shapes::components(17), Part::Components, limits.components),
        (shapes::modules(17), Part::CoreModules, limits.core_modules),
        (shapes::levels(5), Part::Levels, limits.levels),
        (shapes::doubling(10), Part::Instances, limits.instances),
        (
            shapes::crossing(257),
            Part::CrossingFunctions,
            limits.crossing_functions,
        ),
        (shapes::types(2_000), Part::Types, limits.types),
        (shapes::many_tables(17), Part::Tables, limits.tables),
        (shapes::tables(1, 10_001), Part::TableElements, 10_000),
    ] {
        let refused = registry().load::<Acl>(module.unwrap(), "tests").await;
        let error = refused.unwrap_err();
        assert_eq!(error, LoadError::TooManyParts { part, limit });
        assert!(error.to_string().contains(part.advice()), "{error}");
    }
}

#[tokio::test]
async fn components_that_are_handed_around_are_refused() {
    let module = shapes::doubling_by_hand(20);
    assert_eq!(reason(module).await, "ComponentsAsValues");
}

/// A world is described by a component of types.
#[tokio::test]
async fn a_description_without_measure_is_refused_before_it_is_read() {
    let module = shapes::described(2_001).unwrap();
    let error = registry().load::<Acl>(module, "tests").await.unwrap_err();
    assert!(error.to_string().contains("2000 types"), "{error}");
}

#[tokio::test]
async fn several_times_what_tools_make_still_loads() {
    for module in [
        shapes::nested(12),
        shapes::modules(12),
        shapes::levels(2),
        shapes::types(1_000),
        shapes::crossing(100),
    ] {
        let loaded = registry().load::<Acl>(module.unwrap(), "tests").await;
        assert!(loaded.is_ok(), "{:?}", loaded.map(drop));
    }
}

#[tokio::test]
async fn a_component_is_taken_as_it_is() {
    let component = wit_component::ComponentEncoder::default()
        .module(builtin::ACL_PRESETS)
        .and_then(|encoder| encoder.encode())
        .unwrap();
    assert!(registry().load::<Acl>(component, "tests").await.is_ok());
}

#[tokio::test]
async fn the_same_bytes_are_one_policy_however_many_ask() {
    let registry = registry();
    let ask = || registry.load::<Acl>(builtin::ACL_PRESETS, "tests");
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    assert!(Arc::ptr_eq(&a, &b) && Arc::ptr_eq(&b, &c));
    assert!(Arc::ptr_eq(
        &a,
        &registry
            .clone()
            .load::<Acl>(builtin::ACL_PRESETS, "tests")
            .await
            .unwrap()
    ));
}

#[tokio::test]
async fn a_failure_is_remembered_and_others_still_load() {
    let registry = registry();
    let first = registry
        .load::<Acl>(corpus::truncated(), "tests")
        .await
        .unwrap_err();
    assert_eq!(
        registry
            .load::<Acl>(corpus::truncated(), "tests")
            .await
            .unwrap_err(),
        first
    );
    assert!(
        registry
            .load::<Acl>(builtin::ACL_PRESETS, "tests")
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn what_tools_make_uses_a_quarter_of_each_bound() {
    let all = Limits::default();
    let quarter = Limits {
        core_modules: all.core_modules / 4,
        components: all.components / 4,
        levels: all.levels - 2,
        instances: all.instances / 4,
        crossing_functions: all.crossing_functions / 4,
        types: all.types / 4,
        tables: all.tables / 4,
        ..all
    };
    let registry = Registry::new(quarter, None).unwrap();
    let loaded = registry.load::<Acl>(builtin::ACL_PRESETS.to_vec(), "tests");
    assert!(loaded.await.is_ok());
}
