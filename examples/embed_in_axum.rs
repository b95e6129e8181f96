//! A small HTTP service that embeds an engine: `cargo run --features examples-http --example embed_in_axum -- ADDRESS`
//! from the repository root. Without an address it starts on a free port, asks itself, and checks the answer.

use std::future::IntoFuture;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use sawmill::{Engine, Error, Model, Request};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = Model::load("models/xgboost/breast_cancer/model.json")?;
    let engine = Arc::new(Engine::builder().build()?);
    engine.load("cancer", model.clone())?;
    let metrics = |State(engine): State<Arc<Engine>>| async move { engine.metrics().snapshot().prometheus() };
    let app = Router::new().route("/predict/{model}", post(predict)).route("/metrics", get(metrics)).with_state(engine);

    let address = std::env::args().nth(1);
    let listener = tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let bound = listener.local_addr()?;
    let service = axum::serve(listener, app).into_future();
    if address.is_some() {
        return Ok(service.await?);
    }
    tokio::spawn(service);
    let row = [0.5f32; 30];
    let answer = tokio::task::spawn_blocking(move || ask(bound, &serde_json::to_string(&row)?)).await??;
    let values: Vec<f64> = serde_json::from_str(answer.rsplit("\r\n\r\n").next().unwrap_or_default())?;
    assert_eq!(values, model.predict(&row)?.to_f64());
    Ok(())
}

/// Rows one after another, `null` for a missing value. The engine's ticket is a future.
async fn predict(
    State(engine): State<Arc<Engine>>,
    Path(model): Path<String>,
    Json(rows): Json<Vec<Option<f32>>>,
) -> Result<Json<Vec<f64>>, (StatusCode, String)> {
    let refuse = |error: Error| match error {
        error if error.is_overloaded() => (StatusCode::TOO_MANY_REQUESTS, error.to_string()),
        error => (StatusCode::BAD_REQUEST, error.to_string()),
    };
    let rows: Vec<f32> = rows.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect();
    let ticket = engine.submit(Request::new(&model, &rows)).map_err(refuse)?;
    Ok(Json(ticket.await.map_err(refuse)?.values.to_f64()))
}

fn ask(at: SocketAddr, body: &str) -> std::io::Result<String> {
    let head =
        "POST /predict/cancer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close";
    let (mut stream, mut answer) = (TcpStream::connect(at)?, String::new());
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
