//! What a component asks for by name, read from its bytes: no compiler and no validator looks at it, so that whoever serves
//! others may ask.

use wasmparser::{Encoding, Parser, Payload};

/// Names that are told; a step has a dozen.
const TOLD: usize = 200;

/// The interfaces that a component imports, in its order: those of `pawl:step`, and of WASI. Of what is no component, none.
#[must_use]
pub fn imports(component: &[u8]) -> Vec<String> {
    let (mut names, mut depth) = (Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            Ok(Payload::Version { encoding: Encoding::Module, .. }) if depth == 0 => break,
            Ok(Payload::Version { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            // Those of components inside are met inside.
            Ok(Payload::ComponentImportSection(section)) if depth == 1 => {
                let interfaces = section.into_iter().map_while(Result::ok).map(|import| import.name.name);
                // Plain names are the types that the world's own functions use.
                names.extend(interfaces.filter(|name| name.contains(':')).take(TOLD - names.len()).map(str::to_owned));
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_imports_nothing() {
        assert!(imports(b"hello").is_empty() && imports(b"").is_empty());
        assert!(imports(b"\0asm\x01\0\0\0").is_empty(), "a module");
        assert!(imports(b"\0asm\x0d\0\x01\0").is_empty(), "an empty component");
        // import "a:b/c" (instance (type 0)), and one with a plain name.
        let section = b"\x0a\x13\x02\0\x05a:b/c\x05\0\0\x05plain\x05\0";
        assert_eq!(imports(&[b"\0asm\x0d\0\x01\0", &section[..]].concat()), ["a:b/c"]);
    }
}
