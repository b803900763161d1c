//! The table of routes, and the one way into all of them: who calls is known by the headers before a body is read,
//! and a body is read within limits before anything looks at it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, RawPathParams, Request};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::any;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::access::{self, Access, Who};
use super::browser::{self, Peer};
use super::sessions::Session;
use super::{Shared, api, nowhere, page, reply};
use crate::site::Role;
use crate::site::serve::MetricsFor;

/// A group of Alertmanager with a thousand alerts fits.
const LARGEST_BODY: usize = 1 << 20;

/// From a sender on the same continent a megabyte takes a second; slower ones hold a connection for nothing.
const BODY_TIME: Duration = Duration::from_secs(10);

pub(super) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A request by somebody who may make it.
#[derive(Clone)]
pub(super) struct Call {
    pub shared: Arc<Shared>,
    pub who: Who,
    /// Of the browser; only pages have one.
    pub session: Option<Session>,
    /// Where it comes from.
    pub address: IpAddr,
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
    GET "/metrics" Access::RoleOrLoopback(Role::Viewer) => api::metrics::show;
    POST "/hooks/{hook}" Access::Hook => api::hooks::take;
    GET "/api/v1/openapi.json" Access::Role(Role::Viewer) => api::document::show;
    GET "/api/v1/playbooks" Access::Role(Role::Viewer) => api::playbooks::list;
    GET "/api/v1/playbooks/{playbook}" Access::Role(Role::Viewer) => api::playbook::show;
    GET "/api/v1/tickets" Access::Role(Role::Viewer) => api::tickets::list;
    DELETE "/api/v1/tickets/{ticket}" Access::Role(Role::Operator) => api::tickets::withdraw;
    GET "/api/v1/runs" Access::Role(Role::Viewer) => api::runs::list;
    POST "/api/v1/runs" Access::Role(Role::Operator) => api::runs::start;
    GET "/api/v1/runs/{run}" Access::Role(Role::Viewer) => api::runs::show;
    GET "/api/v1/runs/{run}/report" Access::Role(Role::Viewer) => api::report::show;
    GET "/api/v1/runs/{run}/events" Access::Role(Role::Viewer) => api::events::stream;
    POST "/api/v1/runs/{run}/cancel" Access::Role(Role::Operator) => api::orders::cancel;
    POST "/api/v1/runs/{run}/resolve" Access::Role(Role::Operator) => api::orders::resolve;
    POST "/api/v1/runs/{run}/approve" Access::Role(Role::Approver) => api::answers::approve;
    POST "/api/v1/runs/{run}/reject" Access::Role(Role::Approver) => api::answers::reject;
    POST "/api/v1/runs/{run}/break-glass" Access::Role(Role::Admin) => api::answers::break_glass;
    GET "/api/v1/audit/checkpoint" Access::Role(Role::Viewer) => api::audit::checkpoint;
    GET "/api/v1/audit/proofs/inclusion" Access::Role(Role::Viewer) => api::audit::inclusion;
    GET "/api/v1/audit/proofs/consistency" Access::Role(Role::Viewer) => api::audit::consistency;
    GET "/api/v1/schedules" Access::Role(Role::Viewer) => api::schedules::list;
    GET "/api/v1/escalations" Access::Role(Role::Viewer) => api::escalations::list;
    POST "/api/v1/escalations/{run}/ack" Access::Role(Role::Operator) => api::escalations::acknowledge;
    POST "/api/v1/escalations/{run}/next" Access::Role(Role::Operator) => api::escalations::next;
    POST "/api/v1/escalations/{run}/close" Access::Role(Role::Operator) => api::escalations::close;
    GET "/ack/{run}" Access::Link => page::take_over::show;
    POST "/ack/{run}" Access::Link => page::take_over::acknowledge;
    GET "/api/v1/holds" Access::Role(Role::Viewer) => api::holds::show;
    GET "/api/v1/silences" Access::Role(Role::Viewer) => api::silences::list;
    POST "/api/v1/silences" Access::Role(Role::Operator) => api::silences::add;
    DELETE "/api/v1/silences/{silence}" Access::Role(Role::Operator) => api::silences::end;
    POST "/api/v1/freeze" Access::Role(Role::Admin) => api::holds::freeze;
    POST "/api/v1/unfreeze" Access::Role(Role::Admin) => api::holds::unfreeze;
    POST "/api/v1/reload" Access::Role(Role::Admin) => api::reload::reload;
    GET "/assets/{name}" Access::Anybody => page::assets::show;
    GET "/login" Access::Anybody => page::login::show;
    POST "/login" Access::Anybody => page::login::sign_in;
    POST "/logout" Access::Page(Role::Viewer) => page::login::sign_out;
    GET "/" Access::Page(Role::Viewer) => page::home;
    GET "/runs" Access::Page(Role::Viewer) => page::runs::show;
    GET "/runs/{run}" Access::Page(Role::Viewer) => page::run::show;
    GET "/runs/{run}/events" Access::Page(Role::Viewer) => api::events::stream;
    POST "/runs/{run}/cancel" Access::Page(Role::Operator) => page::orders::cancel;
    POST "/runs/{run}/resolve" Access::Page(Role::Operator) => page::orders::resolve;
    POST "/runs/{run}/approve" Access::Page(Role::Approver) => page::orders::approve;
    POST "/runs/{run}/reject" Access::Page(Role::Approver) => page::orders::reject;
    POST "/runs/{run}/break-glass" Access::Page(Role::Admin) => page::orders::break_glass;
    POST "/runs/{run}/acknowledge" Access::Page(Role::Operator) => page::escalation::acknowledge;
    POST "/runs/{run}/next-level" Access::Page(Role::Operator) => page::escalation::next_level;
    POST "/runs/{run}/close" Access::Page(Role::Operator) => page::escalation::close;
    GET "/tickets" Access::Page(Role::Viewer) => page::tickets::show;
    POST "/tickets/{ticket}/withdraw" Access::Page(Role::Operator) => page::tickets::withdraw;
    GET "/playbooks" Access::Page(Role::Viewer) => page::playbooks::show;
    GET "/freeze" Access::Page(Role::Viewer) => page::freeze::show;
    POST "/freeze" Access::Page(Role::Admin) => page::freeze::freeze;
    POST "/unfreeze" Access::Page(Role::Admin) => page::freeze::unfreeze;
    GET "/audit" Access::Page(Role::Viewer) => page::audit::show;
    POST "/audit/verify" Access::Page(Role::Viewer) => page::verification::verify;
}

type Handler = std::pin::Pin<Box<dyn Future<Output = Response> + Send>>;

/// The routes, ready to be served. What is no route asks for a token first, so that it tells strangers nothing. `any` and
/// not one handler for each method: axum would name the methods of a route in its answer to a stranger.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let paths: BTreeSet<&'static str> = ROUTES.iter().map(|route| route.path).collect();
    let elsewhere = shared.clone();
    let empty = Router::new().fallback(move |request: Request| {
        std::future::ready(guarded(nowhere::answer(&elsewhere, None, request.headers())))
    });
    paths.into_iter().fold(empty, |router, path| router.route(path, any(handler(shared.clone(), path))))
}

fn handler(shared: Arc<Shared>, path: &'static str) -> impl Fn(RawPathParams, Request) -> Handler + Clone {
    move |parts, request| {
        let shared = shared.clone();
        Box::pin(async move {
            guarded(match route_of(path, request.method()) {
                Some(route) => serve(shared, route, parts, request).await,
                None => nowhere::answer(&shared, Some(path), request.headers()),
            })
        })
    }
}

fn route_of(path: &str, method: &Method) -> Option<&'static Route> {
    // What HEAD asks for is what GET would answer, without its body (RFC 9110, 9.3.2).
    let method = if method == Method::HEAD { &Method::GET } else { method };
    ROUTES.iter().find(|route| route.path == path && route.method == *method)
}

fn guarded(mut response: Response) -> Response {
    reply::guard(response.headers_mut());
    response
}

async fn serve(shared: Arc<Shared>, route: &Route, path: RawPathParams, request: Request) -> Response {
    let path: BTreeMap<String, String> = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let hook = (route.access == Access::Hook).then(|| path.get("hook").cloned().unwrap_or_default());
    let response = respond(shared.clone(), route, path, request).await;
    if let Some(hook) = hook {
        // Strangers may ask for any name, and a figure of its own for each would fill the memory.
        let known = shared.door().hook(&hook).is_some();
        shared.metrics.hook_answered(if known { &hook } else { "unknown" }, response.status().as_u16());
    }
    response
}

async fn respond(shared: Arc<Shared>, route: &Route, path: BTreeMap<String, String>, request: Request) -> Response {
    let (who, session) = match admit(&shared, route, &path, &request) {
        Ok(known) => known,
        Err(refused) => return refused,
    };
    if route.takes_forms() && !browser::is_from_here(request.headers()) {
        return page::problem::elsewhere();
    }
    let Ok(Query(query)) = Query::<HashMap<String, String>>::try_from_uri(request.uri()) else {
        return reply::problem(StatusCode::BAD_REQUEST, "the query cannot be read", "");
    };
    let (parts, body) = request.into_parts();
    let address = browser::address(&shared.host.services().site.serve, parts.extensions.get::<Peer>(), &parts.headers);
    let body = match body_of(&parts.headers, body, route.is_sent_as_form()).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let call = Call { shared, who, session, address, path, query, headers: parts.headers, body };
    // While the body came, the site file may have been read again.
    if call.who.withdrawn.is_cancelled() {
        return reply::unknown();
    }
    if route.takes_forms() && !call.is_of_its_session() {
        return page::problem::stale(&call);
    }
    (route.answer)(call).await
}

fn admit(
    shared: &Shared,
    route: &Route,
    path: &BTreeMap<String, String>,
    request: &Request,
) -> Result<(Who, Option<Session>), Response> {
    let headers = request.headers();
    match route.access {
        Access::Anybody => Ok((Who::nobody("anybody"), None)),
        Access::Link => Ok((page::take_over::admit(shared, path, request.uri())?, None)),
        Access::Hook => Ok((api::hooks::admit(shared, path.get("hook").map_or("", String::as_str), headers)?, None)),
        Access::Role(needed) => Ok((bearer(shared, needed, headers)?, None)),
        Access::RoleOrLoopback(_) if is_open_to(shared, request) => Ok((Who::of_this_machine(), None)),
        Access::RoleOrLoopback(needed) => Ok((bearer(shared, needed, headers)?, None)),
        Access::Page(needed) => visitor(shared, route, needed, request),
    }
}

/// Whether the site file lets whoever calls in without a token.
fn is_open_to(shared: &Shared, request: &Request) -> bool {
    let open = shared.host.services().site.serve.metrics == MetricsFor::Loopback;
    open && request.extensions().get::<Peer>().is_some_and(|Peer(address)| address.is_loopback())
}

fn bearer(shared: &Shared, needed: Role, headers: &HeaderMap) -> Result<Who, Response> {
    let who = shared.door().tokens.who(headers).ok_or_else(reply::unknown)?;
    match who.may(needed) {
        true => Ok(who),
        false => {
            let help = "its role in `serve.tokens` of the site file is below what this route asks for";
            Err(reply::problem(StatusCode::FORBIDDEN, "this token may not do that", help))
        }
    }
}

fn visitor(
    shared: &Shared,
    route: &Route,
    needed: Role,
    request: &Request,
) -> Result<(Who, Option<Session>), Response> {
    let known = shared.session_of(request.headers());
    let (session, who) = known.ok_or_else(|| page::login::wanted(&route.method, request.uri()))?;
    match who.may(needed) {
        true => Ok((who, Some(session))),
        false => Err(page::problem::forbidden(&who)),
    }
}

/// The body, if it is of a form, a size and a speed that can be taken.
async fn body_of(headers: &HeaderMap, body: Body, forms: bool) -> Result<Bytes, Response> {
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
    let kind = kind.split(';').next().unwrap_or("").trim();
    // A page of a stranger can make a browser send forms, and JSON only where the server agrees to it (CORS).
    let (fits, form) = match forms {
        true => (kind == "application/x-www-form-urlencoded", "forms are"),
        false => (kind == "application/json" || kind.ends_with("+json"), "application/json is"),
    };
    if !body.is_empty() && !fits {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("only {form} taken"));
    }
    Ok(body)
}

impl Route {
    /// Whether it is what a form of a page is sent to.
    fn takes_forms(&self) -> bool {
        self.method == Method::POST && matches!(self.access, Access::Page(_) | Access::Anybody)
    }

    /// Whether programs are meant to call it; the others are pages for people and what belongs to them.
    pub fn is_for_programs(&self) -> bool {
        let of_pages = self.path == "/login" || self.path.starts_with("/assets/");
        !of_pages && !matches!(self.access, Access::Page(_) | Access::Link)
    }

    /// A signed link is its own proof, whatever page its form stood on.
    fn is_sent_as_form(&self) -> bool {
        self.takes_forms() || (self.method == Method::POST && self.access == Access::Link)
    }
}

impl Call {
    /// Whether a form carries the token of the session that it is sent in; without a session there is nothing to abuse.
    fn is_of_its_session(&self) -> bool {
        let carries = |session: &Session| browser::is_of_session(self.form().get("csrf"), &session.csrf);
        self.session.as_ref().is_none_or(carries)
    }

    /// The same call with this body, for the function of the API that does what a form asks for.
    pub(super) fn saying(&self, body: &serde_json::Value) -> Call {
        Call { body: Bytes::from(body.to_string()), ..self.clone() }
    }

    /// The fields of a form. Of several with one name the last one counts.
    pub(super) fn form(&self) -> BTreeMap<String, String> {
        form_urlencoded::parse(&self.body).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    /// The body as the form that a route wants.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Response> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        serde_json::from_slice(body).map_err(|error| {
            reply::problem(StatusCode::BAD_REQUEST, format!("the body is not as it should be: {error}"), "")
        })
    }

    /// A value of the query, if it is given; `wanted` says what it should be.
    pub(super) fn parameter<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Response> {
        let Some(text) = self.query.get(name) else { return Ok(None) };
        let problem = || reply::problem(StatusCode::BAD_REQUEST, format!("`{name}` should be {wanted}"), "");
        read(text).map(Some).ok_or_else(problem)
    }

    pub(super) fn headers(&self) -> BTreeMap<String, String> {
        access::plain(&self.headers)
    }
}
