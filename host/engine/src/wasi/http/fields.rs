//! Headers and trailers.

use reqwest::header::{HeaderName, HeaderValue};
use wasmtime::component::Resource;

use super::types::{HeaderError, HostFields};
use crate::guest::{Guest, Halt};

/// What all names and values of one set may take.
const SECTION_BYTES: usize = 64 << 10;

/// Headers of the connection, which is the host's.
const FORBIDDEN: [&str; 8] =
    ["connection", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// Names, in lower case, and values in their order.
#[derive(Debug, Default, Clone)]
pub struct Fields {
    entries: Vec<(String, Vec<u8>)>,
    is_immutable: bool,
}

impl Fields {
    pub(super) fn received(headers: &[(String, String)]) -> Self {
        let entry = |(name, value): &(String, String)| (name.to_ascii_lowercase(), value.clone().into_bytes());
        Self { entries: headers.iter().map(entry).collect(), is_immutable: true }
    }

    pub(super) fn immutable(self) -> Self {
        Self { is_immutable: true, ..self }
    }

    pub(super) fn entries(&self) -> &[(String, Vec<u8>)] {
        &self.entries
    }

    fn get(&self, name: &str) -> Vec<Vec<u8>> {
        let of_name = self.entries.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.clone()).collect()
    }

    fn set(&mut self, name: &str, values: Vec<Vec<u8>>) -> Result<(), HeaderError> {
        let checked: Vec<_> = values.into_iter().map(|value| entry(name, value)).collect::<Result<_, _>>()?;
        self.delete(name)?;
        self.entries.extend(checked);
        Ok(())
    }

    fn append(&mut self, name: &str, value: Vec<u8>) -> Result<(), HeaderError> {
        self.check_mutable()?;
        self.entries.push(entry(name, value)?);
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<(), HeaderError> {
        self.check_mutable()?;
        self.entries.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        Ok(())
    }

    fn check_mutable(&self) -> Result<(), HeaderError> {
        if self.is_immutable { Err(HeaderError::Immutable) } else { Ok(()) }
    }

    fn check_size(&self) -> Result<(), Halt> {
        let size: usize = self.entries.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > SECTION_BYTES {
            return Err(Halt::Limit(format!("the headers of a request may have {SECTION_BYTES} bytes, not {size}")));
        }
        Ok(())
    }
}

fn entry(name: &str, value: Vec<u8>) -> Result<(String, Vec<u8>), HeaderError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::InvalidSyntax)?;
    HeaderValue::from_bytes(&value).map_err(|_| HeaderError::InvalidSyntax)?;
    if FORBIDDEN.contains(&name.as_str()) {
        return Err(HeaderError::Forbidden);
    }
    Ok((name.as_str().to_owned(), value))
}

type Answer<T> = wasmtime::Result<Result<T, HeaderError>>;

impl HostFields for Guest {
    fn new(&mut self) -> wasmtime::Result<Resource<Fields>> {
        self.push(Fields::default())
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> Answer<Resource<Fields>> {
        let entries: Result<_, _> = entries.into_iter().map(|(name, value)| entry(&name, value)).collect();
        let fields = match entries {
            Ok(entries) => Fields { entries, is_immutable: false },
            Err(error) => return Ok(Err(error)),
        };
        fields.check_size()?;
        Ok(Ok(self.push(fields)?))
    }

    fn get(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(self.held(&fields)?.get(&name))
    }

    fn has(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<bool> {
        Ok(!self.held(&fields)?.get(&name).is_empty())
    }

    fn set(&mut self, fields: Resource<Fields>, name: String, values: Vec<Vec<u8>>) -> Answer<()> {
        let fields = self.held(&fields)?;
        let result = fields.set(&name, values);
        fields.check_size()?;
        Ok(result)
    }

    fn delete(&mut self, fields: Resource<Fields>, name: String) -> Answer<()> {
        Ok(self.held(&fields)?.delete(&name))
    }

    fn append(&mut self, fields: Resource<Fields>, name: String, value: Vec<u8>) -> Answer<()> {
        let fields = self.held(&fields)?;
        let result = fields.append(&name, value);
        fields.check_size()?;
        Ok(result)
    }

    fn entries(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        Ok(self.held(&fields)?.entries.clone())
    }

    fn clone(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Resource<Fields>> {
        let copy = Fields { entries: self.held(&fields)?.entries.clone(), is_immutable: false };
        self.push(copy)
    }

    fn drop(&mut self, fields: Resource<Fields>) -> wasmtime::Result<()> {
        self.take(fields).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equal_in_any_case_and_setting_replaces() {
        let mut fields = Fields::default();
        fields.append("Accept", b"a".to_vec()).unwrap();
        fields.append("accept", b"b".to_vec()).unwrap();
        assert_eq!(fields.get("ACCEPT"), [b"a".to_vec(), b"b".to_vec()]);
        fields.set("accept", vec![b"c".to_vec()]).unwrap();
        assert_eq!(fields.entries(), [("accept".to_owned(), b"c".to_vec())]);
    }

    #[test]
    fn what_is_not_valid_or_not_the_guests_is_refused() {
        let mut fields = Fields::default();
        assert!(matches!(fields.append("a b", Vec::new()), Err(HeaderError::InvalidSyntax)));
        assert!(matches!(fields.append("a", b"b\r\nc: d".to_vec()), Err(HeaderError::InvalidSyntax)));
        assert!(matches!(fields.append("Host", b"elsewhere".to_vec()), Err(HeaderError::Forbidden)));
        let mut received = Fields::received(&[("A".into(), "b".into())]);
        assert!(matches!(received.append("a", Vec::new()), Err(HeaderError::Immutable)));
        assert!(matches!(received.set("a", Vec::new()), Err(HeaderError::Immutable)));
    }
}
