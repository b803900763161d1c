//! A route that is asked with a method it does not take: who is told so, and who learns nothing.

use std::collections::{BTreeMap, BTreeSet};

use runbook::server::{Access, ROUTES};

use super::visitor::Browser;
use super::{Answer, place, start, token};

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/// The methods of each path, as `Allow` should have them, and whether the path is of the API, a page, or a signed link.
fn paths() -> BTreeMap<&'static str, (Vec<&'static str>, &'static str)> {
    let mut paths: BTreeMap<_, (Vec<&str>, &str)> = BTreeMap::new();
    for route in ROUTES {
        let of = match (route.is_for_programs(), route.access) {
            (true, _) => "api",
            (false, Access::Link) => "link",
            (false, _) => "page",
        };
        let (methods, kind) = paths.entry(route.path).or_insert((Vec::new(), of));
        assert_eq!(*kind, of, "{} is two things", route.path);
        methods.extend(if route.method == "GET" { vec!["GET", "HEAD"] } else { vec![route.method.as_str()] });
    }
    paths
}

fn allowed(answer: &Answer) -> BTreeSet<&str> {
    answer.header("allow").into_iter().flat_map(|methods| methods.split(", ")).collect()
}

#[test]
fn t41_a_wrong_method_is_told_to_those_who_know_the_route_and_to_nobody_else() {
    let served = start(&place(""));
    let browser = Browser::sign_in(&served.client, &token("viewer"));
    let mut tried = 0;
    for (path, (methods, kind)) in paths() {
        let filled = path.replace(['{', '}'], "");
        for method in METHODS.into_iter().filter(|method| !methods.contains(method)) {
            let name = format!("{method} {path}");
            for stranger in [None, Some("nobody-has-this-token")] {
                let answer = served.client.call(method, &filled, stranger, None);
                let nowhere = served.client.call(method, "/api/v1/nowhere", stranger, None);
                assert_eq!((answer.status, allowed(&answer)), (401, BTreeSet::new()), "{name}: {}", answer.headers);
                assert_eq!(answer.body, nowhere.body, "{name}");
            }
            let expected = |known: bool| match known {
                true => (405, methods.iter().copied().collect()),
                false => (404, BTreeSet::new()),
            };
            let by_token = served.client.call(method, &filled, Some(&token("viewer")), None);
            assert_eq!((by_token.status, allowed(&by_token)), expected(kind == "api"), "{name} by a token");
            let by_session = browser.call(method, &filled, &[]);
            assert_eq!((by_session.status, allowed(&by_session)), expected(kind == "page"), "{name} by a session");
            tried += 1;
        }
    }
    assert!(tried > 6 * ROUTES.len() / 2, "{tried}");
    let head = served.client.call("HEAD", "/api/v1/runs", Some(&token("viewer")), None).is(200);
    assert_eq!(head.body, "", "HEAD is GET without the body");
}
