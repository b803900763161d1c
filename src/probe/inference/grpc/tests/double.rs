//! A model server that speaks the protocol, or just not, as a test wants it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use futures_util::{StreamExt as _, stream};
use prost::Message;
use prost::bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Barrier, Notify};
use tokio::task::AbortHandle;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::super::channel::Opaque;
use super::super::messages::{InferTensor, InferTensorContents, ModelInferRequest, ModelInferResponse};

/// What becomes of a call.
#[derive(Clone)]
pub(super) enum Act {
    Say(Bytes),
    Refuse(Status),
    Hang,
    /// Waits until as many calls are under way as the barrier wants.
    Together(Arc<Barrier>, Bytes),
    /// Bytes of a body, then the connection is reset.
    Tear(Bytes),
    /// Bytes of a body, and no more for ever.
    Stall(Bytes),
    /// A whole body without a status behind it, as a proxy cuts it off.
    Plain(u16, Bytes),
}

impl Act {
    pub(super) fn say(message: &impl Message) -> Self {
        Act::Say(message.encode_to_vec().into())
    }
}

/// The output `p` as a typed list.
pub(super) fn typed(shape: &[i64], data: &[f32]) -> ModelInferResponse {
    let contents = InferTensorContents { fp32_contents: data.to_vec(), ..InferTensorContents::default() };
    ModelInferResponse { outputs: vec![tensor(shape, Some(contents))], raw_output_contents: Vec::new() }
}

/// The output `p` as raw bytes.
pub(super) fn raw(shape: &[i64], data: &[f32]) -> ModelInferResponse {
    let bytes: Vec<u8> = data.iter().flat_map(|number| number.to_le_bytes()).collect();
    ModelInferResponse { outputs: vec![tensor(shape, None)], raw_output_contents: vec![bytes.into()] }
}

fn tensor(shape: &[i64], contents: Option<InferTensorContents>) -> InferTensor {
    InferTensor { name: "p".into(), datatype: "FP32".into(), shape: shape.to_vec(), contents }
}

/// A message as a body has it: not compressed, its length, itself.
pub(super) fn framed(length: u32, message: &[u8]) -> Bytes {
    [&[0][..], &length.to_be_bytes()[..], message].concat().into()
}

#[derive(Default)]
struct Seen {
    calls: Mutex<Vec<(String, MetadataMap)>>,
    asked: Mutex<Vec<ModelInferRequest>>,
    called: Notify,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

/// It ends when this is dropped.
pub(super) struct Double {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: AbortHandle,
}

impl Double {
    /// Answers every method with what `acts` has for it; the others are not implemented.
    pub(super) async fn acting<const N: usize>(acts: [(&'static str, Act); N]) -> Self {
        let acts: HashMap<&str, Act> = acts.into_iter().collect();
        Self::speaking(move |method, _| acts.get(method).cloned()).await
    }

    pub(super) async fn answering(answer: ModelInferResponse) -> Self {
        Self::acting([("ModelInfer", Act::say(&answer))]).await
    }

    /// `speak` is told the method and which call of the model this is, counted from 1.
    pub(super) async fn speaking(speak: impl Fn(&str, usize) -> Option<Act> + Send + Sync + 'static) -> Self {
        Self::serve(Server::builder(), speak).await
    }

    pub(super) async fn with_tls(certificate: &str, key: &str, answer: ModelInferResponse) -> Self {
        let identity = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        let act = Act::say(&answer);
        let speak = move |method: &str, _| (method == "ModelInfer").then(|| act.clone());
        Self::serve(Server::builder().tls_config(identity).unwrap(), speak).await
    }

    async fn serve(mut server: Server, speak: impl Fn(&str, usize) -> Option<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let service = Speaker { speak: Arc::new(speak), seen: seen.clone() };
        let serving = server.add_service(service).serve_with_incoming(TcpIncoming::from(listener));
        let task = tokio::spawn(async move { serving.await.unwrap() }).abort_handle();
        Double { address, seen, task }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Two numbers in, two out.
    pub(super) fn config(&self) -> Value {
        json!({
            "url": format!("grpc://{}", self.address), "protocol": "grpc", "model": "ocr", "datatypes": {"x": "FP32"},
            "input": {"x": [[0.5, 1]]}, "expect": {"p": [[0.25, 0.75]]},
        })
    }

    pub(super) fn methods(&self) -> Vec<String> {
        self.seen.calls.lock().unwrap().iter().map(|(method, _)| method.clone()).collect()
    }

    /// The value of a header in the first call.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let calls = self.seen.calls.lock().unwrap();
        calls[0].1.get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    pub(super) fn asked(&self) -> Vec<ModelInferRequest> {
        self.seen.asked.lock().unwrap().clone()
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.seen.most.load(Ordering::SeqCst)
    }

    pub(super) async fn until_called(&self) {
        self.seen.called.notified().await;
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Speak = dyn Fn(&str, usize) -> Option<Act> + Send + Sync;

#[derive(Clone)]
struct Speaker {
    speak: Arc<Speak>,
    seen: Arc<Seen>,
}

impl NamedService for Speaker {
    const NAME: &'static str = "inference.GRPCInferenceService";
}

impl Service<http::Request<Body>> for Speaker {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let metadata = MetadataMap::from_headers(request.headers().clone());
        let number = {
            let mut calls = self.seen.calls.lock().unwrap();
            calls.push((method.clone(), metadata));
            calls.iter().filter(|(called, _)| *called == method).count()
        };
        self.seen.called.notify_one();
        let act = (self.speak)(&method, number);
        let seen = self.seen.clone();
        Box::pin(async move { Ok(respond(act, &method, seen, request).await) })
    }
}

async fn respond(
    act: Option<Act>,
    method: &str,
    seen: Arc<Seen>,
    request: http::Request<Body>,
) -> http::Response<Body> {
    let bare = |status: u16, body: axum::body::Body| {
        let response = http::Response::builder().status(status).header("content-type", "application/grpc");
        response.body(Body::new(body)).unwrap()
    };
    match act {
        Some(Act::Tear(bytes)) => {
            let pieces = [Ok(bytes), Err(io::Error::other("torn"))];
            bare(200, axum::body::Body::from_stream(stream::iter(pieces)))
        }
        Some(Act::Stall(bytes)) => {
            let pieces = stream::iter([Ok::<_, io::Error>(bytes)]).chain(stream::pending());
            bare(200, axum::body::Body::from_stream(pieces))
        }
        Some(Act::Plain(status, bytes)) => bare(status, bytes.into()),
        act => {
            let judged = Answerer { act, infers: method == "ModelInfer", seen };
            tonic::server::Grpc::new(Opaque).unary(judged, request).await
        }
    }
}

struct Answerer {
    act: Option<Act>,
    infers: bool,
    seen: Arc<Seen>,
}

impl Service<Request<Bytes>> for Answerer {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        if self.infers {
            let message = ModelInferRequest::decode(request.into_inner()).unwrap();
            self.seen.asked.lock().unwrap().push(message);
        }
        let (act, seen) = (self.act.clone(), self.seen.clone());
        Box::pin(async move {
            let under_way = seen.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most.fetch_max(under_way, Ordering::SeqCst);
            let answer = answer(act).await;
            seen.under_way.fetch_sub(1, Ordering::SeqCst);
            answer.map(Response::new)
        })
    }
}

async fn answer(act: Option<Act>) -> Result<Bytes, Status> {
    match act {
        Some(Act::Say(message)) => Ok(message),
        Some(Act::Refuse(status)) => Err(status),
        Some(Act::Together(barrier, message)) => {
            barrier.wait().await;
            Ok(message)
        }
        Some(Act::Hang) => pending().await,
        Some(Act::Tear(_) | Act::Stall(_) | Act::Plain(..)) | None => Err(Status::unimplemented("")),
    }
}
