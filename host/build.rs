//! Embedded migrations are part of the build: a changed file must rebuild the crate.
fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
