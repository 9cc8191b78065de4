//! How wasmtime is set up: what makes a guest's execution the same on every machine, and where instances
//! live.
//!
//! Two wasmtime engines with the same semantics: one takes instances from a pool, which is what makes a
//! short step cheap; the other creates them on demand, for components that do not fit the pool's slots
//! and for the moment when the pool has none free.

use std::path::Path;

use pawl_domain::limits::Limits;
use wasmtime::error::Context as _;
use wasmtime::{Cache, CacheConfig, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

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

/// What both engines share. Compiled components go to `cache_dir`, which is kept near `cache_dir_bytes`.
///
/// # Errors
/// If the folder for compiled components can't be used.
pub(super) fn common(cache_dir: Option<&Path>, cache_dir_bytes: u64) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    // The same bits on every machine: https://docs.wasmtime.dev/examples-deterministic-wasm-execution.html
    config
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_shared_everything_threads(false)
        .shared_memory(false)
        .max_wasm_stack(STACK_BYTES)
        .epoch_interruption(true)
        // Host calls are plain functions on the guest's thread.
        .concurrency_support(false);
    if let Some(dir) = cache_dir {
        let unusable = || format!("{}, where compiled components are kept (cache_dir), can't be used", dir.display());
        std::fs::create_dir_all(dir).with_context(unusable)?;
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
