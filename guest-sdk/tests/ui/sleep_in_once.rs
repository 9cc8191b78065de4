#![allow(unused)]

use pawl_sdk::{Context, Failure, step};

#[step]
fn charge(ctx: &mut Context, amount: u64) -> Result<u64, Failure> {
    ctx.once("charge", || {
        ctx.sleep(std::time::Duration::from_secs(1));
        Ok::<_, Failure>(amount)
    })
}

fn main() {}
