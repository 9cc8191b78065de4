//! The pages of the guide for authors, whose examples are compiled and run as tests of this crate. The pages
//! are outside of the crate's folder, so this is there for `cargo test --doc` alone.

#[doc = include_str!("../../docs/guide/README.md")]
struct FirstStep;

#[doc = include_str!("../../docs/guide/checkpoints.md")]
struct Checkpoints;

#[doc = include_str!("../../docs/guide/effects.md")]
struct Effects;

#[doc = include_str!("../../docs/guide/waiting.md")]
struct Waiting;

#[doc = include_str!("../../docs/guide/failures.md")]
struct Failures;

#[doc = include_str!("../../docs/guide/surroundings.md")]
struct Surroundings;

#[doc = include_str!("../../docs/guide/testing.md")]
struct Testing;

#[doc = include_str!("../../docs/guide/versions.md")]
struct Versions;
