#![allow(unused)]

use pawl_sdk::{Context, Failure, step};

#[step]
fn count(_: &mut Context, input: Vec<String>) {
    drop(input);
}

fn main() {}
