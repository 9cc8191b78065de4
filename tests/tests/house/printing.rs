//! What people read goes through one file, which lets nothing pass that a terminal obeys: whoever prints otherwise has
//! forgotten it.

use crate::tree;

/// What prints, or takes hold of where it goes.
const PRINTS: [&str; 6] = ["println!", "print!", "eprintln!", "eprint!", "io::stdout()", "io::stderr()"];

/// Where that stands all the same, and why it may.
const ALLOWED: [(&str, &str); 3] = [
    ("host/base/src/terminal.rs", "it is that file"),
    ("host/src/busy.rs", "takes back its own line on a terminal; what it says, it makes harmless"),
    ("host/src/log.rs", "the log's colours; what events tell, it makes harmless"),
];

/// What only asks what is there.
const ASKS: [&str; 2] = ["is_terminal()", "let stdout = std::io::stdout();"];

#[test]
fn nothing_is_printed_past_the_one_place_that_makes_it_harmless() {
    let mut past = Vec::new();
    let mut used = Vec::new();
    for (path, text) in tree::texts() {
        // Build scripts speak to cargo.
        if !path.starts_with("host/") || !path.contains("src/") || !path.ends_with(".rs") {
            continue;
        }
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in (1..).zip(product.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            if !PRINTS.iter().any(|print| code.contains(print)) || ASKS.iter().any(|asks| code.contains(asks)) {
                continue;
            }
            match ALLOWED.iter().find(|(allowed, _)| *allowed == path) {
                Some((allowed, _)) => used.push(*allowed),
                None => past.push(format!("{path}:{number}: {}", line.trim())),
            }
        }
    }
    assert!(past.is_empty(), "use `tell!` or `print` of pawl_base::terminal:\n{}", past.join("\n"));
    for (allowed, reason) in ALLOWED {
        assert!(used.contains(&allowed), "{allowed} prints nothing any more, and need not be allowed to: {reason}");
    }
}
