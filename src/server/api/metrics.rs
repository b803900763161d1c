//! `GET /metrics`: the figures of the server, for Prometheus. They name every playbook and channel, so a token that
//! is for some playbooks does not see them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::server::metrics::{self, Metrics};
use crate::server::reply;
use crate::server::route::Call;

pub async fn show(call: Call) -> Response {
    if !call.who.may_touch_all() {
        return reply::problem(StatusCode::FORBIDDEN, "this token is for some playbooks only", "");
    }
    let text = metrics::take(&call.shared).await;
    let kind = HeaderValue::from_static(Metrics::content_type());
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
