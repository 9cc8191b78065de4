//! Python: componentize-py starts the interpreter with the author's module while it builds, so what stands at
//! a module's top level is executed then, and nothing can be imported later.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::script::Script;
use super::strangers;

pub(super) const COMPILER: &str = "componentize-py";

/// A virtual environment of the author's, and the one that `make test-languages` sets up.
const PLACES: [&str; 2] = [".venv/bin", ".pawl/python/bin"];

pub(crate) const HOW_TO_GET: &str = "python3 -m venv .venv && .venv/bin/pip install componentize-py";

/// The SDK's only module.
const SDK: &str = include_str!("../../carried/pawl.py");

pub(super) fn command(script: &Script, work: &Path, out: &Path) -> anyhow::Result<Command> {
    let compiler = script.find(COMPILER, &PLACES, HOW_TO_GET)?;
    let sources = script.stage(work, &["py"], &[("pawl.py", SDK), ("pawl_entry.py", &entry(script))])?;
    let mut command = strangers::command(&compiler);
    command.current_dir(work);
    // Packages that are installed beside the compiler can be imported.
    if let Some(environment) = environment(&compiler) {
        command.env("VIRTUAL_ENV", environment);
    }
    command.args(["--quiet", "--wit-path", "wit", "--world", "step", "componentize", "pawl_entry"]);
    command.arg("--python-path").arg(sources).arg("--output").arg(out);
    Ok(command)
}

/// The module that the component is made of.
fn entry(script: &Script) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let (name, version, description) = (text(&script.name), text(&script.version), text(&script.description));
    format!(
        "import pawl\n\npawl._describe(name={name}, version={version}, description={description})\n\n\
         import step\n\nif pawl._step is None:\n    raise SystemExit(\"step.py has no function with @pawl.step\")\n\
         WitWorld = pawl.WitWorld\n"
    )
}

/// `.venv` of `.venv/bin/componentize-py`.
fn environment(compiler: &Path) -> Option<PathBuf> {
    let environment = compiler.parent()?.parent()?;
    environment.join("pyvenv.cfg").exists().then(|| environment.to_owned())
}
