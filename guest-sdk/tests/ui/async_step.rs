#![allow(unused)]

use pawl_sdk::{Context, Failure, step};

#[step]
async fn count(ctx: &mut Context, input: Vec<String>) -> Result<usize, Failure> {
    Ok(input.len())
}

fn main() {}
