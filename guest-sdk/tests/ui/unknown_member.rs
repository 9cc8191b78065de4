#![allow(unused)]

use pawl_sdk::{Context, Failure, step};

#[step(nmae = "count")]
fn count(_: &mut Context, input: Vec<String>) -> Result<usize, Failure> {
    Ok(input.len())
}

fn main() {}
