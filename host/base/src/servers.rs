//! URLs that name several servers, with commas between them: those of databases and of clusters may, and whoever reads
//! URLs knows of one.

/// Such a URL as one for each of its servers, in their order. The user and what follows the servers are everybody's.
#[must_use]
pub fn one_by_one(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, servers) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    servers.split(',').map(|server| format!("{scheme}://{user}{server}{path}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_several_servers() {
        for (url, each) in [
            ("redis://a/", &["redis://a/"][..]),
            ("redis://a:1,b:2", &["redis://a:1", "redis://b:2"]),
            (
                "rediss://me:p,w@[::1]:1,b/0?protocol=resp3",
                &["rediss://me:p,w@[::1]:1/0?protocol=resp3", "rediss://me:p,w@b/0?protocol=resp3"],
            ),
            (
                "postgres://ann:a%40b@one:1,two/db?options=a,b@c",
                &["postgres://ann:a%40b@one:1/db?options=a,b@c", "postgres://ann:a%40b@two/db?options=a,b@c"],
            ),
            (
                "postgres://one,two?sslmode=require",
                &["postgres://one?sslmode=require", "postgres://two?sslmode=require"],
            ),
            ("postgres://ann:a/b,c#d@one/db", &["postgres://ann:a/b,c#d@one/db"]),
            ("redis+unix:///run/a,b.sock", &["redis+unix:///run/a,b.sock"]),
            ("nonsense", &["nonsense"]),
        ] {
            assert_eq!(one_by_one(url), each);
        }
    }
}
