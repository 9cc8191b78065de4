#![allow(unused)]

use pawl_sdk::{Context, Failure, step};

struct Output {
    count: usize,
}

#[step]
fn count(_: &mut Context, input: Vec<String>) -> Result<Output, Failure> {
    Ok(Output { count: input.len() })
}

fn main() {}
