#![allow(unused)]

use pawl_sdk::{Context, Failure, step};

#[step]
fn count(_: &mut Context, input: Vec<String>) -> Result<usize, Failure> {
    Ok(input.len())
}

#[step]
fn first(_: &mut Context, input: Vec<String>) -> Result<Option<String>, Failure> {
    Ok(input.into_iter().next())
}

fn main() {}
