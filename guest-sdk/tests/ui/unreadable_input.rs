#![allow(unused)]

use pawl_sdk::{Context, Failure, step};

struct Input {
    items: Vec<String>,
}

#[step]
fn count(_: &mut Context, input: Input) -> Result<usize, Failure> {
    Ok(input.items.len())
}

fn main() {}
