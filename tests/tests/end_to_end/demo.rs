//! The demo itself: what a newcomer sees first must not be what breaks first.

use std::process::Command;

use anyhow::Result;
use pawl_tests::binary;

#[test]
fn the_demo_shows_what_it_promises() -> Result<()> {
    let output = Command::new(binary::programs()?.join("demo")).output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    for part in ["kill -9", "from row", "verified   nothing before a checkpoint was done again"] {
        assert!(told.contains(part), "{part:?} is missing: {told}");
    }
    Ok(())
}
