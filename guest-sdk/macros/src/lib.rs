//! The attribute `#[step]` of `pawl-sdk`, which documents it. It leaves the function as it is and adds the
//! component's two exports beside it. Whatever is wrong with the function is told at the author's own line.

mod attribute;

use attribute::Attribute;
use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprLit, FnArg, Item, ItemFn, Lit, Meta, ReturnType, Signature, Type};

/// Makes a function the step of this component; see `pawl_sdk::step`.
#[proc_macro_attribute]
pub fn step(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let item = Tokens::from(item);
    let expanded = syn::parse(attribute).and_then(|attribute| expand(&attribute, item.clone()));
    // The item is kept beside the error, or else every use of it would be an error too.
    expanded.unwrap_or_else(|error| [error.into_compile_error(), item].into_iter().collect()).into()
}

fn expand(attribute: &Attribute, item: Tokens) -> syn::Result<Tokens> {
    let function = match syn::parse2(item)? {
        Item::Fn(function) => function,
        other => return Err(Error::new(other.span(), "#[step] goes on a function")),
    };
    let types = check(&function.sig)?;
    let exports = exports(attribute, &function, &types);
    Ok(quote! {
        #function
        #exports
    })
}

/// The types that the compiler is to check where the author wrote them.
struct Types<'a> {
    input: &'a Type,
    result: &'a Type,
}

/// Refuses what can't be a step.
fn check(signature: &Signature) -> syn::Result<Types<'_>> {
    if let Some(token) = &signature.asyncness {
        return Err(Error::new(token.span(), "a step is not async: calls to the host wait by themselves"));
    }
    if let Some(token) = &signature.unsafety {
        return Err(Error::new(token.span(), "a step is called by Pawl, so it can't be unsafe"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(signature.generics.span(), "a step is called by Pawl, so it can't be generic"));
    }
    let arguments: Vec<&FnArg> = signature.inputs.iter().collect();
    let [context, FnArg::Typed(input)] = arguments[..] else {
        let span =
            if signature.inputs.is_empty() { signature.paren_token.span.join() } else { signature.inputs.span() };
        return Err(Error::new(span, "a step takes two arguments: `ctx: &mut Context, input: Input`"));
    };
    match context {
        FnArg::Typed(context) if matches!(&*context.ty, Type::Reference(it) if it.mutability.is_some()) => {}
        other => return Err(Error::new(other.span(), "a step's first argument is `ctx: &mut Context`")),
    }
    match &signature.output {
        ReturnType::Type(_, result) => Ok(Types { input: &input.ty, result }),
        ReturnType::Default => {
            Err(Error::new(signature.span(), "a step returns `Result<Output, Failure>`; the output may be `()`"))
        }
    }
}

fn exports(attribute: &Attribute, function: &ItemFn, types: &Types<'_>) -> Tokens {
    let Types { input, result } = types;
    let step = &function.sig.ident;
    let name = attribute.name.as_ref().map_or_else(|| quote!(env!("CARGO_PKG_NAME")), ToTokens::to_token_stream);
    let version =
        attribute.version.as_ref().map_or_else(|| quote!(env!("CARGO_PKG_VERSION")), ToTokens::to_token_stream);
    let description =
        attribute.description.as_ref().map_or_else(|| doc_comment(function), |description| description.value());
    let needs = &attribute.needs;
    let config = attribute.config.as_ref().map_or_else(
        || quote!(::core::option::Option::None),
        |config| quote_spanned! { config.span() => ::pawl_sdk::__private::described::<#config>() },
    );
    // The compiler tells what is wrong with a type where the author wrote it.
    let read = quote_spanned! { input.span() => ::pawl_sdk::__private::input::<#input> };
    let write = quote_spanned! { result.span() => ::pawl_sdk::__private::output::<#result> };
    // A second step beside this one clashes with this name, which says why; the message stands at the step.
    let only = quote_spanned! { step.span() =>
        #[doc(hidden)]
        #[allow(dead_code, non_camel_case_types)]
        struct a_crate_has_only_one_step;
    };
    quote! {
        #only

        const _: () = {
            struct __PawlStep;

            impl ::pawl_sdk::raw::Guest for __PawlStep {
                #[allow(clippy::needless_borrow)]
                fn describe() -> ::pawl_sdk::__private::Manifest {
                    #[allow(unused_imports)]
                    use ::pawl_sdk::__private::{Anything as _, Described as _, Undescribed as _};
                    let input = (&&::pawl_sdk::__private::Type::<#input>::new()).schema();
                    let output = (&&::pawl_sdk::__private::Type::<
                        ::pawl_sdk::__private::Returned<#result>
                    >::new()).schema();
                    ::pawl_sdk::__private::manifest(
                        #name,
                        #version,
                        #description,
                        &[#(#needs),*],
                        ::pawl_sdk::__private::of_input(input, #config),
                        ::pawl_sdk::__private::of_output(output),
                    )
                }

                fn run(
                    input: ::std::string::String,
                ) -> ::core::result::Result<::std::string::String, ::pawl_sdk::__private::Failure> {
                    let __pawl_input = #read(&input)?;
                    let returned = #step(&mut ::pawl_sdk::__private::context(), __pawl_input);
                    #write(returned)
                }
            }

            // Keeps a native build, which exports nothing, from calling the step dead code.
            const _: fn() -> ::pawl_sdk::__private::Manifest = <__PawlStep as ::pawl_sdk::raw::Guest>::describe;
            const _: fn(
                ::std::string::String,
            ) -> ::core::result::Result<::std::string::String, ::pawl_sdk::__private::Failure> =
                <__PawlStep as ::pawl_sdk::raw::Guest>::run;

            #[cfg(target_arch = "wasm32")]
            ::pawl_sdk::raw::export_step!(
                __PawlStep with_types_in ::pawl_sdk::raw
            );
        };
    }
}

/// The first paragraph of the function's doc comment, on one line.
fn doc_comment(function: &ItemFn) -> String {
    let lines = function.attrs.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.skip_while(String::is_empty).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expansion_of(attribute: Tokens, item: Tokens) -> Result<String, String> {
        let attribute = syn::parse2(attribute).map_err(|error| error.to_string())?;
        expand(&attribute, item).map(|tokens| tokens.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_step_exports_itself_beside_the_function() {
        let expansion = expansion_of(
            quote!(name = "add", needs = ["http"]),
            quote! {
                /// Adds
                /// numbers.
                ///
                /// Slowly.
                fn add(ctx: &mut Context, input: Vec<u8>) -> Result<u8, Failure> { Ok(0) }
            },
        )
        .unwrap();
        assert!(expansion.contains("fn add (ctx : & mut Context"), "{expansion}");
        assert!(
            expansion.contains(r#"manifest ("add" , env ! ("CARGO_PKG_VERSION") , "Adds numbers." , & ["http"] ,"#),
            "{expansion}"
        );
    }

    #[test]
    fn what_can_not_be_a_step_is_refused_with_the_fix() {
        let refused = |item| expansion_of(Tokens::new(), item).unwrap_err();
        assert_eq!(
            refused(quote!(
                struct Step;
            )),
            "#[step] goes on a function"
        );
        assert!(
            refused(quote!(
                async fn f(ctx: &mut Context, i: u8) -> R {}
            ))
            .contains("not async")
        );
        assert!(
            refused(quote!(
                fn f<T>(ctx: &mut Context, i: T) -> R {}
            ))
            .contains("generic")
        );
        assert!(
            refused(quote!(
                fn f() -> R {}
            ))
            .contains("two arguments")
        );
        assert!(
            refused(quote!(
                fn f(ctx: &Context, i: u8) -> R {}
            ))
            .contains("first argument")
        );
        assert!(
            refused(quote!(
                fn f(ctx: &mut Context, i: u8) {}
            ))
            .contains("Result<Output, Failure>")
        );
    }

    #[test]
    fn unknown_and_doubled_members_of_the_attribute_are_refused() {
        let item = quote!(
            fn f(ctx: &mut Context, i: u8) -> R {}
        );
        let refused = |attribute| expansion_of(attribute, item.clone()).unwrap_err();
        assert!(refused(quote!(nmae = "x")).contains("name, version, description, needs and config"));
        assert!(refused(quote!(name = "x", name = "y")).contains("twice"));
        assert!(refused(quote!(name = "")).contains("empty"));
    }
}
