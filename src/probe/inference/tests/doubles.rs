//! A model server as a test wants it.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::sync::{Barrier, Notify};

use super::super::{Output, Step};
use crate::http::test_server::TestServer;
use crate::kind::{Context, Kind as _, StepResult};

pub(super) async fn run(config: Value) -> StepResult<Output> {
    Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
}

/// The output `p` as the Open Inference Protocol has it.
pub(super) fn v2_answer(shape: Value, data: Value) -> Value {
    json!({"model_name": "ocr", "outputs": [{"name": "p", "datatype": "FP32", "shape": shape, "data": data}]})
}

#[derive(Clone)]
pub(super) struct Request {
    /// Counted from 1.
    pub number: usize,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(super) struct Double {
    server: TestServer,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    asked: Notify,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl Double {
    pub(super) async fn answering(answer: Value) -> Self {
        Self::speaking(move |_| (StatusCode::OK, answer.to_string())).await
    }

    pub(super) async fn speaking(speak: impl Fn(&Request) -> (StatusCode, String) + Send + Sync + 'static) -> Self {
        let speak = Arc::new(speak);
        Self::serve(move |request| {
            let speak = speak.clone();
            async move { speak(&request) }
        })
        .await
    }

    /// Other paths are not found.
    pub(super) async fn routes<const N: usize>(routes: [(&'static str, StatusCode, String); N]) -> Self {
        Self::speaking(move |request| {
            let route = routes.iter().find(|(path, ..)| *path == request.path);
            route.map_or((StatusCode::NOT_FOUND, String::new()), |(_, status, body)| (*status, body.clone()))
        })
        .await
    }

    pub(super) async fn hanging() -> Self {
        Self::serve(|_| pending()).await
    }

    /// Never answers the request of that number.
    pub(super) async fn hanging_on(number: usize, answer: String) -> Self {
        Self::serve(move |request| {
            let answer = answer.clone();
            async move {
                if request.number == number {
                    pending::<()>().await;
                }
                (StatusCode::OK, answer)
            }
        })
        .await
    }

    /// Answers when as many requests wait as the barrier wants.
    pub(super) async fn answering_together(barrier: Arc<Barrier>, answer: String) -> Self {
        Self::serve(move |_| {
            let (barrier, answer) = (barrier.clone(), answer.clone());
            async move {
                barrier.wait().await;
                (StatusCode::OK, answer)
            }
        })
        .await
    }

    async fn serve<F>(answer: impl Fn(Request) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = (StatusCode, String)> + Send,
    {
        let seen = Arc::new(Seen::default());
        let witness = seen.clone();
        let handler = move |uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let path = uri.path().to_owned();
            let request = witness.note(Request { number: 0, path, headers, body });
            let answered = answer(request).await;
            witness.under_way.fetch_sub(1, Ordering::SeqCst);
            answered
        };
        Double { server: TestServer::serve(Router::new().fallback(handler)).await, seen }
    }

    pub(super) fn url(&self, path: &str) -> String {
        self.server.url(path)
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub(super) fn start_over(&self) {
        self.seen.requests.lock().unwrap().clear();
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.seen.most.load(Ordering::SeqCst)
    }

    pub(super) async fn until_asked(&self) {
        self.seen.asked.notified().await;
    }
}

impl Seen {
    fn note(&self, request: Request) -> Request {
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(under_way, Ordering::SeqCst);
        let mut requests = self.requests.lock().unwrap();
        let request = Request { number: requests.len() + 1, ..request };
        requests.push(request.clone());
        self.asked.notify_one();
        request
    }
}
