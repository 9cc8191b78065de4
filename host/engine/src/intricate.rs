//! Components whose shape alone would hold up the compiler, or leave it with more memory than a component is worth. The
//! API asks before it compiles one; a worker compiles only what was asked about.
//!
//! Two shapes are known. Where a function has many variables and much code, the compiler looks at most of them at most
//! places: its time grows with the product. And each function costs memory of its own, however little it does.

use wasmparser::{Parser, Payload};

/// Variables of a function times bytes of its code: seconds of compiling. The interpreter of JavaScript has a hundredth of it
/// in its largest function, and a fifth of it in all of them.
const VARIABLES_TIMES_BYTES: u64 = 1 << 30;

/// The same of all functions together.
const ALL_VARIABLES_TIMES_BYTES: u64 = 4 * VARIABLES_TIMES_BYTES;

/// Functions of a component, those of all its modules. That interpreter has a third of it.
const FUNCTIONS: u64 = 60_000;

/// A shape that is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooIntricate {
    /// One function would take the compiler minutes.
    #[error(
        "function {function} of the component has {variables} variables in {code_bytes} bytes of code, which would take too \
         long to compile: split it, or build it optimised"
    )]
    Function {
        /// Its place among those that the component defines.
        function: u64,
        /// Locals, without parameters.
        variables: u64,
        /// Of its body.
        code_bytes: u64,
    },
    /// All of them together would.
    #[error(
        "the functions of the component have too many variables for their size, which would take too long to compile: build it optimised"
    )]
    Together,
    /// There are too many.
    #[error(
        "the component has more than {FUNCTIONS} functions, which would take too much memory to compile: build it optimised"
    )]
    Functions,
}

/// Looks at a component's shape. What is not valid has none: the compiler says what is wrong with it.
///
/// # Errors
/// [`TooIntricate`].
pub(super) fn check(component: &[u8]) -> Result<(), TooIntricate> {
    let (mut functions, mut all) = (0, 0_u64);
    for payload in Parser::new(0).parse_all(component) {
        let Ok(payload) = payload else { return Ok(()) };
        let Payload::CodeSectionEntry(body) = payload else { continue };
        functions += 1;
        let Ok(locals) = body.get_locals_reader() else { return Ok(()) };
        let variables: u64 = locals.into_iter().map_while(Result::ok).map(|(count, _)| u64::from(count)).sum();
        let code_bytes = body.range().len() as u64;
        let product = variables.saturating_mul(code_bytes);
        if product > VARIABLES_TIMES_BYTES {
            return Err(TooIntricate::Function { function: functions - 1, variables, code_bytes });
        }
        all = all.saturating_add(product);
        if all > ALL_VARIABLES_TIMES_BYTES {
            return Err(TooIntricate::Together);
        }
        if functions > FUNCTIONS {
            return Err(TooIntricate::Functions);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number as the format has it: <https://webassembly.github.io/spec/core/binary/values.html#integers>.
    fn number(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            bytes.push(if value == 0 { low } else { low | 0x80 });
            if value == 0 {
                return bytes;
            }
        }
    }

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id][..], &number(content.len()), content].concat()
    }

    /// A component of one module with so many functions, each with so many variables and so much code.
    fn component(functions: usize, variables: usize, code_bytes: usize) -> Vec<u8> {
        let locals = if variables == 0 { vec![0] } else { [&[1][..], &number(variables), &[0x7f]].concat() };
        let body = [&locals[..], &vec![0x01; code_bytes], &[0x0b]].concat();
        let code: Vec<u8> = [&number(body.len())[..], &body].concat().repeat(functions);
        let module = [
            &b"\0asm\x01\0\0\0"[..],
            &section(1, &[1, 0x60, 0, 0]),
            &section(3, &[&number(functions)[..], &vec![0; functions]].concat()),
            &section(10, &[&number(functions)[..], &code].concat()),
        ]
        .concat();
        [&b"\0asm\x0d\0\x01\0"[..], &section(1, &module)].concat()
    }

    #[test]
    fn one_function_with_many_variables_and_much_code_is_refused() {
        let refused = check(&component(1, 40_000, 230 << 10)).expect_err("it would take 40 s");
        assert!(matches!(refused, TooIntricate::Function { function: 0, variables: 40_000, .. }), "{refused}");
        assert_eq!(check(&component(1, 40_000, 1_000)), Ok(()));
        assert_eq!(check(&component(1, 1_000, 230 << 10)), Ok(()));
        assert_eq!(check(&component(10, 2_000, 400 << 10)), Err(TooIntricate::Together));
    }

    #[test]
    fn too_many_functions_are_refused_however_small() {
        assert_eq!(check(&component(100_000, 0, 1)), Err(TooIntricate::Functions));
        assert_eq!(check(&component(10_000, 0, 1)), Ok(()));
    }

    #[test]
    fn what_is_not_valid_is_left_to_the_compiler() {
        assert_eq!(check(b"\0asm\x0d\0\x01\0\xff\xff"), Ok(()));
    }
}
