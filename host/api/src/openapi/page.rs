//! The tables of `docs/http.md` and `docs/access.md`. `PAWL_BLESS=1 cargo nextest run --workspace -E 'test(the_tables_of_the_page)'` writes them
//! anew.

use pawl_domain::access::Role;

use super::document;
use crate::problem::kind;
use crate::route::Route;
use crate::routes;

/// The routes: what each does, and what it answers.
#[must_use]
pub fn routes_table() -> String {
    let all = routes::all();
    let rows = all.iter().flat_map(|(_, routes)| routes).map(|route| {
        let query: Vec<String> = query(route).iter().map(|name| format!("{name}=")).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        format!("| `{} {}{query}` | {} | {} |\n", route.method, route.path, route.what, answers(route))
    });
    format!("| route | what it does | answers |\n|---|---|---|\n{}", rows.collect::<String>())
}

/// The roles, and what each may do beside what those before it may.
#[must_use]
pub fn roles_table() -> String {
    let rows = Role::ALL.iter().map(|role| format!("| `{role}` | {} |\n", role.what()));
    format!("| role | what it may do, beside what those before it may |\n|---|---|\n{}", rows.collect::<String>())
}

/// The routes, and which role each wants; those that want the least first.
#[must_use]
pub fn access_table() -> String {
    let all = routes::all();
    let mut routes: Vec<&Route> = all.iter().flat_map(|(_, routes)| routes).collect();
    routes.sort_by_key(|route| route.role());
    let rows = routes.iter().map(|route| {
        let role = route.role().map_or_else(|| "open".to_owned(), |role| format!("`{role}`"));
        format!("| `{} {}` | {role} | {} |\n", route.method, route.path, if route.is_recorded() { "yes" } else { "" })
    });
    format!("| who asks for | needs | recorded |\n|---|---|---|\n{}", rows.collect::<String>())
}

/// The kinds of problems.
#[must_use]
pub fn problems_table() -> String {
    let rows = kind::ALL.iter().map(|kind| format!("| `{}` | {} | {} |\n", kind.uri(), kind.status, kind.when));
    format!("| type | status | when |\n|---|---|---|\n{}", rows.collect::<String>())
}

fn query(route: &Route) -> Vec<&'static str> {
    let operation = &document()["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.filter(|it| it["in"] == "query").filter_map(|it| it["name"].as_str()).collect()
}

/// Its statuses, and the problems that have a condition of their own.
fn answers(route: &Route) -> String {
    let location = if route.has_location { ", `Location`" } else { "" };
    let all = route.statuses.iter().copied().chain(route.conditions());
    let told = all.map(|(status, condition)| match condition {
        "" => format!("{status}{location}"),
        condition => format!("{status} {condition}"),
    });
    told.collect::<Vec<_>>().join("; ")
}
