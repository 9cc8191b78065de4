//! From bytes to something that can be instantiated at once: checks and compilation. Called on threads that
//! may block, never on the path of a step whose component is in the cache.

use std::sync::OnceLock;

use pawl_domain::id::Digest;
use pawl_domain::reach::Asked;
use pawl_domain::schema::Schemas;
use wasmtime::component::{Component, InstancePre, Linker};
use wit_component::DecodedWasm;

use super::Engine;
use super::guest::Guest;
use super::host::{StepPre, linker};
use super::intricate::TooIntricate;
use super::seen::seen;
use super::wasi;

/// Why a component can't be executed. Each says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A module as compilers write it, without the component around it.
    #[error("this is a core WebAssembly module, not a component: build it with `pawl plugin build`")]
    CoreModule,
    /// No WebAssembly at all, but this.
    #[error("this is {0}, not a WebAssembly component: build one with `pawl plugin build`")]
    NotWasm(&'static str),
    /// Its shape would take the compiler more time or memory than a component may.
    #[error(transparent)]
    TooIntricate(#[from] TooIntricate),
    /// Larger than a component may be.
    #[error(
        "the component has {size_bytes} bytes, the limit is {limit_bytes}: leave debug information out \
             (`strip = true` in the build profile) or raise `limit_component`"
    )]
    TooLarge {
        /// Of the pushed bytes.
        size_bytes: usize,
        /// What the limits allow.
        limit_bytes: usize,
    },
    /// The bytes are not those of the digest.
    #[error("the component is damaged: its digest is {found}, not {expected}; push it again")]
    Damaged {
        /// The digest under which it is known.
        expected: Digest,
        /// That of the bytes.
        found: Digest,
    },
    /// A component of another world.
    #[error(
        "the component does not export `{0}`, so it is no step: build it against the world `pawl:step/step` \
             (with the SDK, or wit/step.wit)"
    )]
    MissingExport(String),
    /// It wants something of the host that there is not.
    #[error(
        "the component imports `{0}`, which Pawl does not offer to steps: they have `pawl:step` and WASI 0.2 with \
             clocks, random and outgoing HTTP"
    )]
    UnknownImport(String),
    /// It was compiled for a WASI that is not offered yet.
    #[error(
        "the component imports `{0}`, but Pawl offers WASI 0.2: compile it for WASI 0.2, in Rust with the target \
             `wasm32-wasip2`"
    )]
    LaterWasi(String),
    /// The names are right, the types are not.
    #[error("the component was built against another version of the world `pawl:step/step` ({0}): build it again")]
    OtherWorld(String),
    /// Not valid, or something that this build of wasmtime does not support.
    #[error("the component can't be compiled ({0}): build it again with `pawl plugin build`")]
    NotValid(String),
    /// Its `describe` trapped, panicked or took too long.
    #[error("the component can't describe itself: {0}")]
    NotDescribed(String),
}

/// A larger component is an interpreter with its program. It does not fit a slot of the pool, and to find out
/// it would have to be compiled, which takes seconds.
const POOLED_BYTES: usize = 4 << 20;

/// A compiled component, ready to be instantiated for one attempt after the other.
pub struct Prepared {
    digest: Digest,
    /// None if it does not fit the pool.
    pub(super) pooled: Option<StepPre<Guest>>,
    on_demand: OnceLock<StepPre<Guest>>,
    bytes: Box<[u8]>,
    code_bytes: usize,
    schemas: OnceLock<Schemas>,
    asked: OnceLock<Asked>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("digest", &self.digest).field("pooled", &self.pooled.is_some()).finish()
    }
}

impl Prepared {
    /// Checks that it is a step of this world, and compiles it, which takes seconds where it is large.
    pub(super) fn load(engine: &Engine, digest: Digest, bytes: &[u8]) -> Result<Self, LoadError> {
        check_bytes(digest, bytes, engine.limits.component_bytes)?;
        let pooling = engine.pooling.as_ref().filter(|_| bytes.len() <= POOLED_BYTES);
        let pooled = pooling.and_then(|target| target.compile(bytes).ok());
        let prepared = Self {
            digest,
            code_bytes: 0,
            pooled: None,
            on_demand: OnceLock::new(),
            bytes: bytes.into(),
            schemas: OnceLock::new(),
            asked: OnceLock::new(),
        };
        // What does not fit the pool and what is not valid look the same; on demand, all that is valid fits.
        let pooled = pooled
            .map(|component| engine.pooling.as_ref().unwrap_or(&engine.on_demand).link(&component))
            .transpose()?;
        let prepared = Self { pooled, ..prepared };
        let code_bytes = match &prepared.pooled {
            Some(pre) => code_bytes(pre.instance_pre()),
            None => code_bytes(prepared.on_demand(engine)?.instance_pre()),
        };
        Ok(Self { code_bytes, ..prepared })
    }

    /// What the component is known by: two with one digest are one.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// From now on, inputs and outputs must fit these schemas. The first ones stay: they are the component's
    /// own, so there are no others.
    pub fn enforce(&self, schemas: Schemas) {
        let _ = self.schemas.set(schemas);
    }

    /// From now on, it reaches no more than it asks for: the same, of what it may reach.
    pub fn confine(&self, asked: Asked) {
        let _ = self.asked.set(asked);
    }

    /// What it asks for; anything until somebody has looked.
    pub(super) fn asked(&self) -> Asked {
        self.asked.get().cloned().unwrap_or_default()
    }

    /// The schemas that are enforced; none until somebody has looked.
    #[must_use]
    pub fn schemas(&self) -> Option<&Schemas> {
        self.schemas.get()
    }

    /// For an instance outside the pool; compiled when first needed.
    pub(super) fn on_demand(&self, engine: &Engine) -> Result<&StepPre<Guest>, LoadError> {
        if let Some(ready) = self.on_demand.get() {
            return Ok(ready);
        }
        let target = &engine.on_demand;
        let not_valid = |error| refused_import_of(&self.bytes).unwrap_or_else(|| LoadError::NotValid(reason(&error)));
        let component = target.compile(&self.bytes).map_err(not_valid)?;
        let linked = target.link(&component)?;
        Ok(self.on_demand.get_or_init(|| linked))
    }

    /// What it takes in memory.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len() + self.code_bytes
    }
}

fn code_bytes(pre: &InstancePre<Guest>) -> usize {
    let range = pre.component().image_range();
    (range.end as usize).saturating_sub(range.start as usize)
}

fn check_bytes(digest: Digest, bytes: &[u8], limit_bytes: usize) -> Result<(), LoadError> {
    if bytes.len() > limit_bytes {
        return Err(LoadError::TooLarge { size_bytes: bytes.len(), limit_bytes });
    }
    // https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md: after the magic, 16 bits
    // of version and 16 of layer, which is 0 for a module and 1 for a component.
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => return Err(LoadError::CoreModule),
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => {}
        _ => return Err(LoadError::NotWasm(seen(bytes))),
    }
    let found = Digest::of(bytes);
    if found != digest {
        return Err(LoadError::Damaged { expected: digest, found });
    }
    Ok(())
}

/// A wasmtime engine and what it offers to components.
pub(super) struct Target {
    pub(super) engine: wasmtime::Engine,
    linker: Linker<Guest>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

impl Target {
    pub(super) fn new(config: &wasmtime::Config) -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(config)?;
        let linker = linker(&engine)?;
        Ok(Self { engine, linker })
    }

    fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        Component::from_binary(&self.engine, bytes)
    }

    /// Resolves imports and exports once, so that an attempt only has to instantiate.
    fn link(&self, component: &Component) -> Result<StepPre<Guest>, LoadError> {
        let ty = component.component_type();
        for export in ["run", "describe"] {
            if ty.get_export(&self.engine, export).is_none() {
                return Err(LoadError::MissingExport(export.into()));
            }
        }
        if let Some(refused) = ty.imports(&self.engine).find_map(|(name, _)| refused_import(name)) {
            return Err(refused);
        }
        let other_world = |error: wasmtime::Error| LoadError::OtherWorld(reason(&error));
        let linked = if ty.imports(&self.engine).any(|(name, _)| wasi::is_wasi(name)) {
            let mut linker = self.linker.clone();
            wasi::add_to_linker(&mut linker, &self.engine, &ty).map_err(other_world)?;
            linker.instantiate_pre(component)
        } else {
            self.linker.instantiate_pre(component)
        };
        StepPre::new(linked.map_err(other_world)?).map_err(other_world)
    }
}

/// Why a component can't import this; none for, say, `pawl:step/durable@0.1.0` or `wasi:io/poll@0.2.3`.
#[must_use]
pub fn refused_import(import: &str) -> Option<LoadError> {
    if import.starts_with("pawl:step/") || wasi::is_offered(import) {
        None
    } else if wasi::is_later(import) {
        Some(LoadError::LaterWasi(import.into()))
    } else {
        Some(LoadError::UnknownImport(import.into()))
    }
}

/// The same for a component that can't be compiled: what a later WASI is made of can't.
fn refused_import_of(bytes: &[u8]) -> Option<LoadError> {
    imports_of(&wit_component::decode(bytes).ok()?).iter().find_map(|name| refused_import(name))
}

/// The interfaces that a component imports, by name.
#[must_use]
pub fn imports_of(component: &DecodedWasm) -> Vec<String> {
    let DecodedWasm::Component(resolve, world) = component else { return Vec::new() };
    let names = resolve.worlds[*world].imports.keys().map(|key| resolve.name_world_key(key));
    // Plain names are the types that the world's own functions use.
    names.filter(|name| name.contains(':')).collect()
}

/// An error with its causes on one line.
fn reason(error: &wasmtime::Error) -> String {
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    causes.join(": ").replace('\n', " ")
}
