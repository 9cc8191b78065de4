//! Headers and trailers.

use std::sync::Arc;

use reqwest::header::{HeaderName, HeaderValue};
use wasmtime::component::Resource;

use super::types::{HeaderError, HostFields};
use crate::guest::{Guest, Halt};
use crate::limiter::Charged;

/// What all names and values of one set may take.
const SECTION_BYTES: usize = 64 << 10;

/// Headers of the connection, which is the host's.
const FORBIDDEN: [&str; 8] =
    ["connection", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// Names, in lower case, and values in their order.
#[derive(Debug, Default, Clone)]
pub struct Fields {
    /// Copies share them until one is changed.
    entries: Arc<Vec<(String, Vec<u8>)>>,
    is_immutable: bool,
    /// What they count as of the guest's memory.
    charged: Option<Arc<Charged>>,
}

impl Fields {
    pub(super) fn received(headers: &[(String, String)]) -> Self {
        let entry = |(name, value): &(String, String)| (name.to_ascii_lowercase(), value.clone().into_bytes());
        Self { entries: Arc::new(headers.iter().map(entry).collect()), is_immutable: true, charged: None }
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
        Arc::make_mut(&mut self.entries).extend(checked);
        Ok(())
    }

    fn append(&mut self, name: &str, value: Vec<u8>) -> Result<(), HeaderError> {
        self.check_mutable()?;
        let entry = entry(name, value)?;
        Arc::make_mut(&mut self.entries).push(entry);
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<(), HeaderError> {
        self.check_mutable()?;
        Arc::make_mut(&mut self.entries).retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        Ok(())
    }

    fn check_mutable(&self) -> Result<(), HeaderError> {
        if self.is_immutable { Err(HeaderError::Immutable) } else { Ok(()) }
    }

    /// Makes the guest pay for what it holds.
    pub(super) fn charged_to(&mut self, guest: &Guest) -> Result<(), Halt> {
        self.charged = Some(Arc::new(guest.charge(self.size())?));
        Ok(())
    }

    fn size(&self) -> usize {
        self.entries.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    fn check_size(&self) -> Result<(), Halt> {
        let size = self.size();
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

impl Guest {
    /// Changes fields, which are then charged anew.
    fn change(
        &mut self,
        fields: &Resource<Fields>,
        change: impl FnOnce(&mut Fields) -> Result<(), HeaderError>,
    ) -> Answer<()> {
        let held = self.held(fields)?;
        if let Err(error) = change(held) {
            return Ok(Err(error));
        }
        held.check_size()?;
        let size = held.size();
        let charged = self.charge(size)?;
        self.held(fields)?.charged = Some(Arc::new(charged));
        Ok(Ok(()))
    }
}

impl HostFields for Guest {
    fn new(&mut self) -> wasmtime::Result<Resource<Fields>> {
        self.push(Fields::default())
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> Answer<Resource<Fields>> {
        let entries: Result<_, _> = entries.into_iter().map(|(name, value)| entry(&name, value)).collect();
        let mut fields = match entries {
            Ok(entries) => Fields { entries: Arc::new(entries), is_immutable: false, charged: None },
            Err(error) => return Ok(Err(error)),
        };
        fields.check_size()?;
        fields.charged_to(self)?;
        Ok(Ok(self.push(fields)?))
    }

    fn get(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(self.held(&fields)?.get(&name))
    }

    fn has(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<bool> {
        Ok(!self.held(&fields)?.get(&name).is_empty())
    }

    fn set(&mut self, fields: Resource<Fields>, name: String, values: Vec<Vec<u8>>) -> Answer<()> {
        self.change(&fields, |fields| fields.set(&name, values))
    }

    fn delete(&mut self, fields: Resource<Fields>, name: String) -> Answer<()> {
        self.change(&fields, |fields| fields.delete(&name))
    }

    fn append(&mut self, fields: Resource<Fields>, name: String, value: Vec<u8>) -> Answer<()> {
        self.change(&fields, |fields| fields.append(&name, value))
    }

    fn entries(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        Ok(self.held(&fields)?.entries.to_vec())
    }

    fn clone(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Resource<Fields>> {
        let copy = Fields { is_immutable: false, ..self.held(&fields)?.clone() };
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
