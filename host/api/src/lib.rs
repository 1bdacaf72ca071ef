//! The custom resources of the operator: types, defaults and validation.
