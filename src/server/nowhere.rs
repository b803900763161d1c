//! What is no route, or none with this method. Strangers are not told which of the two: of the API learns who has a
//! token, which also opens the document that describes it, and of the pages who is signed in.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use super::access::Access;
use super::route::{ROUTES, Route};
use super::{Shared, page, reply};

/// Answers a request that no route takes; `path` is that of the route which takes other methods, if there is one.
pub(super) fn answer(shared: &Shared, path: Option<&str>, headers: &HeaderMap) -> Response {
    let allowed = |is_known: fn(&Route) -> bool| path.and_then(|path| methods(path, is_known));
    if shared.door().tokens.who(headers).is_some() {
        return match allowed(Route::is_for_programs) {
            Some(methods) => with(reply::problem(StatusCode::METHOD_NOT_ALLOWED, WRONG_METHOD, ""), &methods),
            None => reply::problem(StatusCode::NOT_FOUND, "there is no such route", ""),
        };
    }
    if shared.session_of(headers).is_some() {
        return match allowed(is_page) {
            Some(methods) => with(page::problem::wrong_method(), &methods),
            None => page::problem::nowhere(),
        };
    }
    reply::unknown()
}

const WRONG_METHOD: &str = "this route does not take that method; `Allow` has those it takes";

/// A link in a message is its own proof: a session tells nothing about it.
fn is_page(route: &Route) -> bool {
    !route.is_for_programs() && route.access != Access::Link
}

/// The methods of a path as `Allow` has them; none when nobody may know of the path.
fn methods(path: &str, is_known: fn(&Route) -> bool) -> Option<String> {
    let routes = ROUTES.iter().filter(|route| route.path == path && is_known(route));
    let names = routes.flat_map(|route| match route.method {
        Method::GET => vec!["GET", "HEAD"],
        ref method => vec![method.as_str()],
    });
    Some(names.collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
}

fn with(mut response: Response, methods: &str) -> Response {
    if let Ok(methods) = HeaderValue::from_str(methods) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}
