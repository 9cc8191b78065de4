#![allow(unused)]

use pawl_sdk::{Context, Failure, step};

#[step]
fn count(input: Vec<String>) -> Result<usize, Failure> {
    Ok(input.len())
}

fn main() {}
