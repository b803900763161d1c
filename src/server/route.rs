//! The table of routes, and the one way into all of them: who calls is known by the headers before a body is read,
//! and a body is read within limits before anything looks at it.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, RawPathParams, Request};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::access::{self, Access, Who};
use super::{Shared, api, escalation_page as page, reply};
use crate::site::Role;

/// A group of Alertmanager with a thousand alerts fits.
const LARGEST_BODY: usize = 1 << 20;

/// From a sender on the same continent a megabyte takes a second; slower ones hold a connection for nothing.
const BODY_TIME: Duration = Duration::from_secs(10);

pub(super) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A request by somebody who may make it.
pub(super) struct Call {
    pub shared: Arc<Shared>,
    pub who: Who,
    pub path: BTreeMap<String, String>,
    pub query: HashMap<String, String>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// One route. There is no way to make one without saying who may call it.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    answer: fn(Call) -> Answer,
}

macro_rules! routes {
    ($($method:ident $path:literal $access:expr => $answer:path;)+) => {
        /// Every route of the server.
        pub static ROUTES: &[Route] = &[
            $(Route { method: Method::$method, path: $path, access: $access, answer: |call| Box::pin($answer(call)) }),+
        ];
    };
}

routes! {
    GET "/health" Access::Anybody => api::health::show;
    POST "/hooks/{hook}" Access::Hook => api::hooks::take;
    GET "/api/v1/playbooks" Access::Role(Role::Viewer) => api::playbooks::list;
    GET "/api/v1/tickets" Access::Role(Role::Viewer) => api::tickets::list;
    DELETE "/api/v1/tickets/{ticket}" Access::Role(Role::Operator) => api::tickets::withdraw;
    GET "/api/v1/runs" Access::Role(Role::Viewer) => api::runs::list;
    POST "/api/v1/runs" Access::Role(Role::Operator) => api::runs::start;
    GET "/api/v1/runs/{run}" Access::Role(Role::Viewer) => api::runs::show;
    GET "/api/v1/runs/{run}/events" Access::Role(Role::Viewer) => api::events::stream;
    POST "/api/v1/runs/{run}/cancel" Access::Role(Role::Operator) => api::orders::cancel;
    POST "/api/v1/runs/{run}/resolve" Access::Role(Role::Operator) => api::orders::resolve;
    POST "/api/v1/runs/{run}/approve" Access::Role(Role::Approver) => api::answers::approve;
    POST "/api/v1/runs/{run}/reject" Access::Role(Role::Approver) => api::answers::reject;
    GET "/api/v1/schedules" Access::Role(Role::Viewer) => api::schedules::list;
    GET "/api/v1/escalations" Access::Role(Role::Viewer) => api::escalations::list;
    POST "/api/v1/escalations/{run}/ack" Access::Role(Role::Operator) => api::escalations::acknowledge;
    POST "/api/v1/escalations/{run}/next" Access::Role(Role::Operator) => api::escalations::next;
    POST "/api/v1/escalations/{run}/close" Access::Role(Role::Operator) => api::escalations::close;
    GET "/ack/{run}" Access::Link => page::show;
    POST "/ack/{run}" Access::Link => page::acknowledge;
    GET "/api/v1/holds" Access::Role(Role::Viewer) => api::holds::show;
    POST "/api/v1/freeze" Access::Role(Role::Admin) => api::holds::freeze;
    POST "/api/v1/unfreeze" Access::Role(Role::Admin) => api::holds::unfreeze;
}

/// The routes, ready to be served. What is no route asks for a token first, so that it tells strangers nothing.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let mut paths: BTreeMap<&str, MethodRouter> = BTreeMap::new();
    for route in ROUTES {
        let methods =
            paths.remove(route.path).unwrap_or_else(|| MethodRouter::new().fallback(stranger(shared.clone())));
        paths.insert(route.path, methods.merge(on(filter(&route.method), handler(shared.clone(), route))));
    }
    let empty = Router::new().fallback(stranger(shared));
    paths.into_iter().fold(empty, |router, (path, methods)| router.route(path, methods))
}

fn filter(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).expect("the table has only methods of HTTP itself")
}

type Handler = std::pin::Pin<Box<dyn Future<Output = Response> + Send>>;

fn handler(shared: Arc<Shared>, route: &'static Route) -> impl Fn(RawPathParams, Request) -> Handler + Clone {
    move |path, request| Box::pin(answer(shared.clone(), route, path, request))
}

fn stranger(shared: Arc<Shared>) -> impl Fn(Request) -> Handler + Clone {
    move |request| {
        let known = shared.tokens.who(request.headers()).is_some();
        Box::pin(async move {
            match known {
                true => reply::problem(StatusCode::NOT_FOUND, "there is no such route", ""),
                false => reply::unknown(),
            }
        })
    }
}

async fn answer(shared: Arc<Shared>, route: &Route, path: RawPathParams, request: Request) -> Response {
    let path: BTreeMap<String, String> = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let query = Query::<HashMap<String, String>>::try_from_uri(request.uri()).map(|Query(query)| query);
    let who = match admit(&shared, route, &path, query.as_ref().ok(), request.headers()) {
        Ok(who) => who,
        Err(refused) => return refused,
    };
    let Ok(query) = query else {
        return reply::problem(StatusCode::BAD_REQUEST, "the query cannot be read", "");
    };
    let (parts, body) = request.into_parts();
    // Browsers send the one page that is answered without a token as a form.
    let form = if route.access == Access::Link { "application/x-www-form-urlencoded" } else { "application/json" };
    let body = match body_of(&parts.headers, body, form).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    (route.answer)(Call { shared, who, path, query, headers: parts.headers, body }).await
}

fn admit(
    shared: &Shared,
    route: &Route,
    path: &BTreeMap<String, String>,
    query: Option<&HashMap<String, String>>,
    headers: &HeaderMap,
) -> Result<Who, Response> {
    match route.access {
        Access::Anybody => Ok(Who::nobody("anybody")),
        Access::Link => page::admit(shared, path, query),
        Access::Hook => api::hooks::admit(shared, path.get("hook").map_or("", String::as_str), headers),
        Access::Role(needed) => {
            let who = shared.tokens.who(headers).ok_or_else(reply::unknown)?;
            match who.role.is_some_and(|role| role >= needed) {
                true => Ok(who),
                false => {
                    let help = "its role in `serve.tokens` of the site file is below what this route asks for";
                    Err(reply::problem(StatusCode::FORBIDDEN, "this token may not do that", help))
                }
            }
        }
    }
}

/// The body, if it is of a form, a size and a speed that can be taken.
async fn body_of(headers: &HeaderMap, body: Body, form: &str) -> Result<Bytes, Response> {
    let refuse = |status, why: &str| Err(reply::problem(status, why, ""));
    if headers.contains_key("content-encoding") {
        // A packed body could unpack to any size.
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "packed bodies are not taken");
    }
    let declared = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > LARGEST_BODY) {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 1 MiB");
    }
    let body = match tokio::time::timeout(BODY_TIME, Limited::new(body, LARGEST_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 1 MiB");
        }
        Ok(Err(_)) => return refuse(StatusCode::BAD_REQUEST, "the body breaks off"),
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body comes too slowly"),
    };
    let kind = headers.get("content-type").map_or("", |kind| kind.to_str().unwrap_or("?"));
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let fits = kind == form || (form == "application/json" && kind.ends_with("+json"));
    if !body.is_empty() && !fits {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("only {form} is taken"));
    }
    Ok(body)
}

impl Call {
    /// The body as the form that a route wants.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Response> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        serde_json::from_slice(body).map_err(|error| {
            reply::problem(StatusCode::BAD_REQUEST, format!("the body is not as it should be: {error}"), "")
        })
    }

    pub(super) fn headers(&self) -> BTreeMap<String, String> {
        access::plain(&self.headers)
    }
}
