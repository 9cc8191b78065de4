//! The files of the repository, as somebody who has just cloned it sees them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is made by builds and tools, or is none of ours.
const SKIPPED: [&str; 5] = ["target", ".git", ".pawl", "node_modules", "__pycache__"];

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate has a parent").to_path_buf()
}

/// Every file that is text, by its path from the root, with `/` between names.
pub(crate) fn texts() -> BTreeMap<String, String> {
    let (root, mut texts) = (root(), BTreeMap::new());
    read_folder(&root, &root, &mut texts);
    texts
}

fn read_folder(root: &Path, folder: &Path, texts: &mut BTreeMap<String, String>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry").path();
        // A link is another name of what stands elsewhere.
        if path.is_symlink() || SKIPPED.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        if path.is_dir() {
            read_folder(root, &path, texts);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let path = path.strip_prefix(root).expect("it is below the root");
            texts.insert(path.to_str().expect("our names are UTF-8").to_owned(), text);
        }
    }
}
