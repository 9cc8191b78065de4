#![allow(unused)]

use pawl_sdk::{Context, Failure, step};

#[step]
fn count(_: &mut Context, input: Vec<String>) -> usize {
    input.len()
}

fn main() {}
