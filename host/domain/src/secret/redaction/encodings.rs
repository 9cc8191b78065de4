//! How values are encoded, as far as an encoding does not depend on what stands around them.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Digits that say enough to be looked for.
const LEAST: usize = 6;

/// The digits of Base64 that are the value's alone, in both alphabets, wherever in a group of three bytes it begins: in
/// `user:value` as well.
pub(super) fn base64(value: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for before in 0..3 {
        let bytes = [&[0; 2][..before], value].concat();
        // A digit is six bits. The first ones are of what stands before, too, and the last one of what follows.
        let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        for alphabet in [STANDARD, FOR_URLS] {
            let digit = |place: usize| {
                let bit = place * 6;
                let pair = [bytes[bit / 8], bytes.get(bit / 8 + 1).copied().unwrap_or_default()];
                alphabet[usize::from((u16::from_be_bytes(pair) >> (10 - bit % 8)) & 63)]
            };
            let digits: Vec<u8> = (first..end).map(digit).collect();
            if digits.len() >= LEAST {
                all.push(digits);
            }
        }
    }
    all
}

/// In both cases of letters.
pub(super) fn hexadecimal(value: &[u8]) -> [Vec<u8>; 2] {
    let lower: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    [lower.to_uppercase().into_bytes(), lower.into_bytes()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_its_standard_whatever_stands_before() {
        let digits: Vec<String> =
            base64(b"hunter2!").into_iter().map(|digits| String::from_utf8(digits).unwrap()).collect();
        // `hunter2!`, `xhunter2!` and `xxhunter2!` are aHVudGVyMiE=, eGh1bnRlcjIh and eHhodW50ZXIyIQ==.
        for (digits, whole) in digits.iter().step_by(2).zip(["aHVudGVyMiE=", "eGh1bnRlcjIh", "eHhodW50ZXIyIQ=="]) {
            assert!(whole.contains(digits) && digits.len() >= 10, "{digits} of {whole}");
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf, 0xfb, 0xff])[..2], [b"+/+/+/".to_vec(), b"-_-_-_".to_vec()]);
    }
}
