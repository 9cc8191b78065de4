//! What the compiler says of a step that is none: at the author's line, with what to do.
//! `TRYBUILD=overwrite cargo nextest run -p pawl-sdk --test ui` writes the messages anew, after a new
//! compiler for example.

#[test]
fn wrong_steps_are_told_at_the_authors_line() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
