//! JavaScript: ComponentizeJS loads the author's modules into the engine while it builds. It finds modules by
//! their paths only, so the sources are put into one folder with the SDK, where `pawl` is `pawl.js`. Packages
//! of npm must be bundled first: `main` of package.json names the bundle.

use std::path::Path;
use std::process::Command;

use super::script::Script;
use super::strangers;

pub(super) const COMPILER: &str = "componentize-js";

/// The author's, and the one that `make test-languages` sets up.
const PLACES: [&str; 2] = ["node_modules/.bin", ".pawl/js/node_modules/.bin"];

const HOW_TO_GET: &str = "npm install --save-dev @bytecodealliance/componentize-js";

/// The SDK's only module.
const SDK: &str = include_str!("../../carried/pawl.js");

pub(super) fn command(script: &Script, work: &Path, out: &Path) -> anyhow::Result<Command> {
    let compiler = script.find(COMPILER, &PLACES, HOW_TO_GET)?;
    let sources = script.stage(work, &["js", "mjs"], &[("pawl.js", SDK), ("pawl-entry.js", &entry(script))])?;
    let mut command = strangers::command(compiler);
    command.current_dir(sources).args(["pawl-entry.js", "--wit", "../wit", "--world-name", "step", "--out"]).arg(out);
    Ok(command)
}

/// The module that the component is made of.
fn entry(script: &Script) -> String {
    let project = serde_json::json!({
        "name": script.name, "version": script.version, "description": script.description,
    });
    let main = serde_json::Value::from(format!("./{}", script.main.trim_start_matches("./")));
    format!(
        "import step from {main};\nimport {{ component }} from \"pawl\";\n\n\
         const made = component(step, {project});\nexport const describe = made.describe;\nexport const run = made.run;\n"
    )
}
