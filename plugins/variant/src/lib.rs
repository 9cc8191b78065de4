//! Says which variant of itself it is. A test makes variants by changing the bytes of [`NAME`] in the component:
//! each has a digest of its own and says so.

use pawl_sdk::{Context, Failure, step};

/// Long enough that it stays one piece in the component.
static NAME: [u8; 32] = *b"variant-00000000-of-this-plugin!";

/// Its name, whatever the input.
#[step]
fn variant(_: &mut Context, _: serde_json::Value) -> Result<String, Failure> {
    // The compiler must not know what it says.
    let name = std::hint::black_box(&NAME);
    Ok(String::from_utf8_lossy(name).into_owned())
}
