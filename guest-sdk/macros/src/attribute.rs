//! What stands in the parentheses of `#[step(...)]`.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Token, Type, bracketed};

/// All members are optional.
#[derive(Default)]
pub(crate) struct Attribute {
    /// In place of the crate's name.
    pub(crate) name: Option<LitStr>,
    /// In place of the crate's version.
    pub(crate) version: Option<LitStr>,
    /// In place of the doc comment.
    pub(crate) description: Option<LitStr>,
    /// What the step needs from the host.
    pub(crate) needs: Vec<LitStr>,
    /// What `Context::config` is asked for, to be described.
    pub(crate) config: Option<Type>,
}

impl Parse for Attribute {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut attribute = Self::default();
        let mut seen: Vec<Ident> = Vec::new();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            if seen.contains(&key) {
                return Err(Error::new(key.span(), format!("`{key}` is given twice")));
            }
            input.parse::<Token![=]>()?;
            match key.to_string().as_str() {
                "name" => attribute.name = Some(text(input)?),
                "version" => attribute.version = Some(text(input)?),
                "description" => attribute.description = Some(text(input)?),
                "needs" => attribute.needs = list(input)?,
                "config" => attribute.config = Some(input.parse()?),
                _ => {
                    let message =
                        format!("`{key}` is unknown here: #[step] knows name, version, description, needs and config");
                    return Err(Error::new(key.span(), message));
                }
            }
            seen.push(key);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(attribute)
    }
}

fn text(input: ParseStream<'_>) -> syn::Result<LitStr> {
    let text: LitStr = input.parse()?;
    if text.value().trim().is_empty() { Err(Error::new(text.span(), "this must not be empty")) } else { Ok(text) }
}

fn list(input: ParseStream<'_>) -> syn::Result<Vec<LitStr>> {
    let content;
    bracketed!(content in input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}
