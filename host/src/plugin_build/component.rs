//! What becomes of a compiler's output: a component, checked to be a step.

use anyhow::{Context as _, bail};
use pawl_engine::{imports_of, refused_import};
use wit_component::{ComponentEncoder, DecodedWasm};

/// What the world `step` exports.
const EXPORTS: [&str; 2] = ["describe", "run"];

/// A step's component.
#[derive(Debug)]
pub(super) struct Component {
    /// As it is pushed.
    pub(super) bytes: Vec<u8>,
    /// What it asks of the host.
    pub(super) imports: Vec<String>,
}

/// Makes a component of a module; a compiler that made one already is only checked.
pub(super) fn from_module(module: &[u8]) -> anyhow::Result<Component> {
    let bytes = if is_component(module) {
        module.to_vec()
    } else {
        let mut encoder = ComponentEncoder::default().validate(true).module(module).context(NO_STEP)?;
        encoder.encode().context("the module can't be made a component")?
    };
    let imports = check(&bytes)?;
    Ok(Component { bytes, imports })
}

const NO_STEP: &str = "the module describes no component: is #[pawl_sdk::step] on a function of the crate?";

/// The layer field of the preamble tells them apart:
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>.
fn is_component(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm") && bytes.get(6..8) == Some(&[1, 0])
}

/// The imports of a component, if it is a step. The host checks the functions' types when it is pushed.
fn check(component: &[u8]) -> anyhow::Result<Vec<String>> {
    let decoded = wit_component::decode(component)?;
    let DecodedWasm::Component(resolve, world) = &decoded else {
        bail!("this is a WIT package, not a component");
    };
    let exports: Vec<String> = resolve.worlds[*world].exports.keys().map(|key| resolve.name_world_key(key)).collect();
    if let Some(missing) = EXPORTS.iter().find(|name| !exports.iter().any(|export| export == *name)) {
        bail!("it does not export `{missing}`: is #[pawl_sdk::step] on a function of the crate?");
    }
    let imports = imports_of(&decoded);
    if let Some(refused) = imports.iter().find_map(|name| refused_import(name)) {
        return Err(refused.into());
    }
    Ok(imports)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";
    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_module_without_a_step_is_refused_with_the_fix() {
        let error = format!("{:#}", from_module(EMPTY_MODULE).unwrap_err());
        assert!(error.contains("does not export `describe`: is #[pawl_sdk::step] on a function"), "{error}");
    }

    #[test]
    fn a_component_is_not_made_a_component_again() {
        assert!(is_component(EMPTY_COMPONENT) && !is_component(EMPTY_MODULE));
        let error = format!("{:#}", from_module(EMPTY_COMPONENT).unwrap_err());
        assert!(error.contains("does not export `describe`"), "{error}");
    }

    #[test]
    fn something_else_is_refused() {
        assert!(from_module(b"#!/bin/sh").is_err());
    }
}
