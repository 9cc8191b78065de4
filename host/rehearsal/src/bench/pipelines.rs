//! The plugins and pipelines of the benches, put in place before each.

use anyhow::Context as _;
use pawl_domain::id::Digest;
use pawl_domain::pipeline_file::Format;
use serde_json::{Value, json};

use super::Bench;

impl Bench {
    /// Pushes `COMPONENT.wasm` as `bench-COMPONENT`; returns that name. The version is the component's
    /// digest, so that it can be pushed again and again.
    pub(super) async fn plugin(&self, component: &str) -> anyhow::Result<String> {
        let file = self.plugins_dir.join(format!("{component}.wasm"));
        let bytes = std::fs::read(&file).with_context(|| {
            format!("can't read {}; build it with `make guests`, or say where it is with --plugins-dir", file.display())
        })?;
        let name = format!("bench-{component}");
        let version = Digest::of(&bytes).short();
        self.client.push(bytes, Some(&name), Some(&version), true).await?;
        Ok(name)
    }

    /// Applies a pipeline.
    pub(super) async fn pipeline(&self, name: &str, steps: &[Value]) -> anyhow::Result<()> {
        let text = json!({ "name": name, "step": steps }).to_string();
        self.client.apply(&text, Format::Json).await?;
        Ok(())
    }
}

/// A step of a bench.
pub(super) fn step(name: &str, plugin: &str, needs: &[&str]) -> Value {
    json!({ "name": name, "plugin": plugin, "needs": needs })
}
