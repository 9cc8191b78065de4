#![allow(unused)]

use pawl_sdk::{Context, Failure, step};

#[step]
struct Count;

fn main() {}
