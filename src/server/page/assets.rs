//! The three files that pages load: styles, one script, one icon. Their addresses carry a digest of their content, so
//! that browsers keep them for good and still have the new ones after an upgrade.

use std::sync::LazyLock;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::report::html;
use crate::server::reply;
use crate::server::route::Call;

struct Asset {
    name: &'static str,
    kind: &'static str,
    text: String,
    address: String,
}

impl Asset {
    fn new(name: &'static str, kind: &'static str, text: String) -> Self {
        let digest = hex::encode(Sha256::digest(&text));
        Asset { name, kind, text, address: format!("/assets/{name}?{}", &digest[..16]) }
    }
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    // Reports and pages look the same.
    let styles = format!("{}{}", html::STYLE, include_str!("page.css"));
    [
        Asset::new("page.css", "text/css; charset=utf-8", styles),
        Asset::new("page.js", "text/javascript; charset=utf-8", include_str!("page.js").to_owned()),
        Asset::new("icon.svg", "image/svg+xml", include_str!("icon.svg").to_owned()),
    ]
});

/// Where a page finds the styles, the script and the icon.
pub(super) fn addresses() -> [&'static str; 3] {
    [&ASSETS[0].address, &ASSETS[1].address, &ASSETS[2].address]
}

pub async fn show(call: Call) -> Response {
    let name = call.path.get("name").map_or("", String::as_str);
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        // Strangers are told nothing about what there is not.
        return reply::unknown();
    };
    let mut response = (StatusCode::OK, asset.text.as_str()).into_response();
    let kept = "public, max-age=31536000, immutable";
    for (name, value) in [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, kept)] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
