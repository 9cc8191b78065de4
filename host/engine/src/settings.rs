//! How wasmtime is set up: what makes a guest's execution the same on every machine, and where instances
//! live.
//!
//! Two wasmtime engines with the same semantics: one takes instances from a pool, which is what makes a
//! short step cheap; the other creates them on demand, for components that do not fit the pool's slots
//! and for the moment when the pool has none free.

use std::path::Path;

use pawl_base::owner_only::{self, Kept};
use pawl_domain::limits::Limits;
use wasmtime::error::Context as _;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures,
};

/// Wasm frames of one guest. Fixed, so that a recursion overflows at the same depth everywhere.
pub(super) const STACK_BYTES: usize = 512 << 10;

/// Elements of all tables of a guest; a large interpreter needs tens of thousands.
pub(super) const TABLE_ELEMENTS: usize = 1_000_000;

/// What one component may consist of. Each memory takes 4 GiB of addresses, whatever its size, and each instance some
/// memory of the host's that nobody counts; interpreters have dozens of instances and one or two memories.
pub(super) const INSTANCES: usize = 200;
pub(super) const TABLES: usize = 100;
pub(super) const MEMORIES: usize = 8;

/// Instances beyond one per slot: descriptions that are asked for while all slots are busy.
const SPARE_INSTANCES: u32 = 4;

/// Shapes that the pool takes. Components of the Rust SDK have one memory, three core instances and two
/// tables; interpreters have dozens and spend far more on their start than the pool could save.
const POOLED_INSTANCES: u32 = 8;
const POOLED_TABLES: u32 = 4;

/// Bytes of a slot's memory that are reset in place of being given back to the system. Where the system can
/// tell which pages were written (Linux 6.7), only those are counted and reset.
const KEEP_RESIDENT_BYTES: usize = 512 << 10;

/// The same where it can't: the lowest addresses are reset, written or not.
const KEEP_RESIDENT_UNSEEN_BYTES: usize = 64 << 10;

/// What of WebAssembly a component may use: what compilers of Rust, Python and JavaScript make, and other proposals that are
/// finished and add no surface. A proposal that a newer wasmtime switches on by itself is off until it stands here; one that is
/// taken away takes the components along that use it.
const FEATURES: WasmFeatures = WasmFeatures::COMPONENT_MODEL
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY);

/// What both engines share. Compiled components go to `cache_dir`, which is kept near `cache_dir_bytes`; `images` are as in
/// [`Config`](crate::Config).
///
/// # Errors
/// If the folder for compiled components can't be used, or others may write to it: what lies there is executed as it is.
pub(super) fn common(cache_dir: Option<&Path>, cache_dir_bytes: u64, images: bool) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    // The same bits on every machine: https://docs.wasmtime.dev/examples-deterministic-wasm-execution.html
    config
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        .shared_memory(false)
        .memory_init_cow(images)
        .max_wasm_stack(STACK_BYTES)
        .epoch_interruption(true)
        // Host calls are plain functions on the guest's thread.
        .concurrency_support(false);
    if let Some(dir) = cache_dir {
        let unusable = || format!("{}, where compiled components are kept (cache_dir), can't be used", dir.display());
        owner_only::folder(dir, Kept::WithOthers).with_context(unusable)?;
        let mut cache = CacheConfig::new();
        cache
            .with_directory(dir.canonicalize().with_context(unusable)?)
            .with_files_total_size_soft_limit(cache_dir_bytes);
        config.cache(Some(Cache::new(cache).with_context(unusable)?));
    }
    Ok(config)
}

/// The engine that takes instances from a pool with room for `slots` guests.
pub(super) fn pooling(common: &Config, slots: u32, limits: &Limits) -> Config {
    let instances = slots.saturating_add(SPARE_INSTANCES);
    let sees_pages = PoolingAllocationConfig::is_pagemap_scan_available();
    let keep_resident = if sees_pages { KEEP_RESIDENT_BYTES } else { KEEP_RESIDENT_UNSEEN_BYTES };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .max_core_instances_per_component(POOLED_INSTANCES)
        .total_core_instances(instances.saturating_mul(POOLED_INSTANCES))
        .max_memories_per_component(1)
        .total_memories(instances)
        .max_memory_size(limits.memory_bytes)
        .max_tables_per_component(POOLED_TABLES)
        .total_tables(instances.saturating_mul(POOLED_TABLES))
        // As many as anywhere: what a guest is answered to `table.grow` must not depend on where it lives.
        .table_elements(TABLE_ELEMENTS)
        // Guests run on the stacks of their threads.
        .total_stacks(0)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(keep_resident)
        .table_keep_resident(keep_resident);
    let mut config = common.clone();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The engine that creates every instance anew.
pub(super) fn on_demand(common: &Config) -> Config {
    let mut config = common.clone();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_not_listed_of_webassembly_is_refused() {
        let engine = wasmtime::Engine::new(&on_demand(&common(None, 0, true).unwrap())).unwrap();
        let module = |section: &[u8]| [&b"\0asm\x01\0\0\0"[..], section].concat();
        // Sections by their numbers, with their sizes, of one entry each:
        // https://webassembly.github.io/spec/core/binary/modules.html.
        for (what, section) in [
            ("a memory of 64 bits", &[5, 3, 1, 4, 1][..]),
            ("a shared memory", &[5, 4, 1, 3, 1, 1]),
            ("a memory with pages of a byte", &[5, 4, 1, 8, 1, 0]),
            ("a structure", &[1, 5, 1, 0x5f, 1, 0x7f, 0]),
            ("a tag of exceptions", &[1, 4, 1, 0x60, 0, 0, 13, 3, 1, 0, 0]),
            ("an external reference that is not null", &[1, 6, 1, 0x60, 1, 0x64, 0x6f, 0]),
        ] {
            assert!(wasmtime::Module::new(&engine, module(section)).is_err(), "{what}");
        }
        wasmtime::Module::new(&engine, module(&[5, 3, 1, 0, 1])).unwrap();
    }

    #[test]
    fn compiled_components_lie_in_a_folder_to_which_nobody_else_writes() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("own");
        common(Some(&own), 1 << 20, true).unwrap();
        assert_eq!(own.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let everybodys = root.path().join("everybodys");
        std::fs::create_dir(&everybodys).unwrap();
        std::fs::set_permissions(&everybodys, std::fs::Permissions::from_mode(0o777)).unwrap();
        let why = format!("{:?}", common(Some(&everybodys), 1 << 20, true).unwrap_err());
        assert!(why.contains("(cache_dir), can't be used") && why.contains("chmod go-w"), "{why}");
    }
}
