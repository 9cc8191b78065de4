//! Holds the generated file `src/raw.rs` against `wit/step.wit`. After a change of the WIT,
//! `PAWL_BLESS=1 cargo test -p pawl-sdk --test bindings` writes it anew.

use std::path::Path;

use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::Opts;

#[test]
fn the_generated_bindings_are_those_of_the_wit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("src/raw.rs");
    let generated = generate(&root.join("../wit"));
    if std::env::var_os("PAWL_BLESS").is_some() {
        std::fs::write(&file, &generated).unwrap();
    }
    let current = std::fs::read_to_string(&file).unwrap();
    assert!(current == generated, "src/raw.rs is out of date: PAWL_BLESS=1 cargo test -p pawl-sdk --test bindings");
}

fn generate(wit: &Path) -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).expect("the WIT is valid");
    let world = resolve.select_world(&[package], Some("step")).expect("there is a world `step`");
    let options = Opts {
        format: true,
        pub_export_macro: true,
        export_macro_name: Some("export_step".to_owned()),
        default_bindings_module: Some("pawl_sdk::raw".to_owned()),
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).expect("there are bindings for the world");
    let (_, source) = files.iter().next().expect("the generator wrote a file");
    String::from_utf8(source.to_vec()).expect("the generator writes UTF-8")
}
