use serde_json::json;

use super::*;

#[test]
fn words_are_those_of_a_list_or_of_a_text_at_a_path_or_under_a_name_with_dots() {
    let claims = json!({
        "roles": ["a", 1, "b"],
        "scope": "read  write",
        "realm": {"access": {"roles": ["c"]}, "x": "d"},
        "https://example.org/roles": ["e"],
        "number": 7,
    });
    let claims = claims.as_object().unwrap();
    for (path, found) in [
        ("roles", &["a", "b"][..]),
        ("scope", &["read", "write"]),
        ("realm.access.roles", &["c"]),
        ("realm.x", &["d"]),
        ("https://example.org/roles", &["e"]),
        ("number", &[]),
        ("realm", &[]),
        ("realm.none.roles", &[]),
        ("none", &[]),
    ] {
        assert_eq!(words(claims, path), found, "{path}");
    }
}

#[test]
fn a_providers_token_is_told_from_others() {
    for (text, is_meant) in [
        ("eyJhbGciOiJFUzI1NiJ9.e30.c2ln", true),
        ("eyJ.x", false),
        ("pawl_0123.4.5", false),
        ("s3cret", false),
        ("", false),
    ] {
        assert_eq!(Oidc::is_meant(text), is_meant, "{text}");
    }
}

#[test]
fn keys_come_over_https_or_from_this_machine() {
    for (url, safe) in [
        ("https://id.example.org/keys", true),
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:8080", true),
        ("http://localhost/x", true),
        ("http://id.example.org", false),
        ("http://localhost.evil.example", false),
        ("ftp://127.0.0.1", false),
        ("id.example.org", false),
    ] {
        assert_eq!(is_safe(url), safe, "{url}");
    }
}
