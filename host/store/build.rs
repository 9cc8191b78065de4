//! Migrations are part of the build, and read where they are used: a changed one must rebuild the crate.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
