//! A peer for interop tests and benchmarks: ping-pong over `wtransport`, its messages by `bincode`.
//!
//! ```text
//! peer server <cert.pem> <key.pem>                  prints "listening <port>"
//! peer client <url> <sha256-hex> <mode> <pings> <streams: one|each>
//! ```
//! Modes: bidi, uni, datagram. The client prints one line of JSON with what it saw.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wtransport::tls::Sha256Digest;
use wtransport::{ClientConfig, Connection, Endpoint, Identity, RecvStream, SendStream, ServerConfig};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The wire is bincode's default form of these; the order of the fields is the contract.
#[derive(Serialize, Deserialize)]
enum Message {
    Request { id: Vec<u8>, kind: Kind, data: String },
    Response { id: Vec<u8>, request_id: Vec<u8>, kind: Kind, data: String },
}

#[derive(Serialize, Deserialize)]
enum Kind {
    Request,
    Response,
}

const MAX_FRAME: u64 = 1 << 20;

fn ping(number: u64) -> Message {
    let mut id = Sha256::digest(b"Ping!").to_vec();
    id[..8].copy_from_slice(&number.to_be_bytes());
    Message::Request { id, kind: Kind::Request, data: "Ping!".into() }
}

/// The answer to a request; anything else has none.
fn pong(message: Message) -> Option<Message> {
    let Message::Request { id: request_id, .. } = message else { return None };
    let data = "Pong!".to_string();
    let id = Sha256::digest(data.as_bytes()).to_vec();
    Some(Message::Response { id, request_id, kind: Kind::Response, data })
}

fn number_of(message: &Message) -> Option<u64> {
    let Message::Response { request_id, .. } = message else { return None };
    Some(u64::from_be_bytes(request_id.get(..8)?.try_into().ok()?))
}

async fn write_frame(stream: &mut SendStream, message: &Message) -> Result<()> {
    let body = bincode::serialize(message)?;
    let mut frame = (body.len() as u64).to_be_bytes().to_vec();
    frame.extend(body);
    Ok(stream.write_all(&frame).await?)
}

/// The next message; `None` at the stream's clean end.
async fn read_frame(stream: &mut RecvStream) -> Result<Option<Message>> {
    let mut length = [0u8; 8];
    let mut got = 0;
    while got < length.len() {
        match stream.read(&mut length[got..]).await? {
            Some(bytes) => got += bytes,
            None if got == 0 => return Ok(None),
            None => return Err("the stream ends within a length".into()),
        }
    }
    let length = u64::from_be_bytes(length);
    if length == 0 || length > MAX_FRAME {
        return Err(format!("a frame of {length} bytes").into());
    }
    let mut body = vec![0u8; length as usize];
    stream.read_exact(&mut body).await?;
    Ok(Some(bincode::deserialize(&body)?))
}

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", cert, key] => serve(cert, key).await,
        ["client", url, hash, mode, pings, streams] => {
            client(url, hash, mode, pings.parse()?, streams == "each").await
        }
        _ => Err("peer server <cert> <key> | peer client <url> <hash> <mode> <pings> <one|each>".into()),
    }
}

async fn serve(cert: &str, key: &str) -> Result<()> {
    let config = ServerConfig::builder()
        .with_bind_address("127.0.0.1:0".parse()?)
        .with_identity(Identity::load_pemfiles(cert, key).await?)
        .max_idle_timeout(Some(Duration::from_secs(10)))?
        .build();
    let endpoint = Endpoint::server(config)?;
    println!("listening {}", endpoint.local_addr()?.port());
    loop {
        let incoming = endpoint.accept().await;
        tokio::spawn(async move {
            let session = async { Ok::<_, Box<dyn std::error::Error + Send + Sync>>(incoming.await?.accept().await?) };
            if let Ok(connection) = session.await {
                tokio::join!(answer_bidi(&connection), answer_uni(&connection), answer_datagrams(&connection));
            }
        });
    }
}

async fn answer_bidi(connection: &Connection) {
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        tokio::spawn(async move {
            while let Ok(Some(message)) = read_frame(&mut recv).await {
                let Some(answer) = pong(message) else { continue };
                if write_frame(&mut send, &answer).await.is_err() {
                    return;
                }
            }
            let _ = send.quic_stream_mut().finish();
        });
    }
}

async fn answer_uni(connection: &Connection) {
    let (sender, mut answers) = tokio::sync::mpsc::channel::<Message>(64);
    let mut send = None;
    let mut readers = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept_uni() => {
                let Ok(mut recv) = stream else { return };
                if send.is_none() {
                    let Ok(opening) = connection.open_uni().await else { return };
                    let Ok(stream) = opening.await else { return };
                    send = Some(stream);
                }
                let sender = sender.clone();
                readers.spawn(async move {
                    while let Ok(Some(message)) = read_frame(&mut recv).await {
                        if let Some(answer) = pong(message) {
                            let _ = sender.send(answer).await;
                        }
                    }
                });
            }
            Some(answer) = answers.recv() => {
                let Some(stream) = send.as_mut() else { return };
                if write_frame(stream, &answer).await.is_err() { return }
            }
        }
    }
}

async fn answer_datagrams(connection: &Connection) {
    while let Ok(datagram) = connection.receive_datagram().await {
        let Ok(message) = bincode::deserialize(&datagram) else { continue };
        let Some(answer) = pong(message) else { continue };
        let Ok(bytes) = bincode::serialize(&answer) else { continue };
        let _ = connection.send_datagram(bytes);
    }
}

async fn client(url: &str, hash: &str, mode: &str, pings: u64, each: bool) -> Result<()> {
    let bytes: Vec<u8> = (0..hash.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hash[at..at + 2], 16))
        .collect::<std::result::Result<_, _>>()?;
    let digest = Sha256Digest::new(bytes.try_into().map_err(|_| "a hash has 32 bytes")?);
    let config = ClientConfig::builder()
        .with_bind_address("127.0.0.1:0".parse()?)
        .with_server_certificate_hashes([digest])
        .max_idle_timeout(Some(Duration::from_secs(10)))?
        .build();
    let connection = Endpoint::client(config)?.connect(url).await?;
    let (mut times, mut ends) = (Vec::new(), 0u64);
    match (mode, each) {
        ("bidi", false) => {
            let (mut send, mut recv) = connection.open_bi().await?.await?;
            for number in 0..pings {
                times.push(exchange(&mut send, &mut recv, number).await?);
            }
            send.quic_stream_mut().finish()?;
            ends += u64::from(read_frame(&mut recv).await?.is_none());
        }
        ("bidi", true) => {
            for number in 0..pings {
                let (mut send, mut recv) = connection.open_bi().await?.await?;
                let began = Instant::now();
                write_frame(&mut send, &ping(number)).await?;
                send.quic_stream_mut().finish()?;
                expect(&mut recv, number).await?;
                times.push(began.elapsed());
                ends += u64::from(read_frame(&mut recv).await?.is_none());
            }
        }
        ("uni", each) => {
            let mut send = connection.open_uni().await?.await?;
            let mut recv = connection.accept_uni().await?;
            for number in 0..pings {
                if each && number > 0 {
                    send.quic_stream_mut().finish()?;
                    send = connection.open_uni().await?.await?;
                }
                times.push(exchange(&mut send, &mut recv, number).await?);
            }
        }
        ("datagram", _) => {
            for number in 0..pings {
                let began = Instant::now();
                connection.send_datagram(bincode::serialize(&ping(number))?)?;
                let answer = tokio::time::timeout(Duration::from_secs(1), connection.receive_datagram()).await;
                let Ok(Ok(datagram)) = answer else { continue };
                if number_of(&bincode::deserialize(&datagram)?) == Some(number) {
                    times.push(began.elapsed());
                }
            }
        }
        _ => return Err(format!("no mode {mode}").into()),
    }
    times.sort();
    let at = |part: f64| times.get(((times.len() as f64 * part) as usize).min(times.len().max(1) - 1));
    println!(
        "{{\"received\":{},\"ends\":{ends},\"p50Us\":{:.1},\"p99Us\":{:.1}}}",
        times.len(),
        at(0.5).map_or(0.0, |time| time.as_secs_f64() * 1e6),
        at(0.99).map_or(0.0, |time| time.as_secs_f64() * 1e6),
    );
    connection.close(0u32.into(), b"done");
    Ok(())
}

async fn exchange(send: &mut SendStream, recv: &mut RecvStream, number: u64) -> Result<Duration> {
    let began = Instant::now();
    write_frame(send, &ping(number)).await?;
    expect(recv, number).await?;
    Ok(began.elapsed())
}

async fn expect(recv: &mut RecvStream, number: u64) -> Result<()> {
    let answer = read_frame(recv).await?.ok_or("the stream ended before the pong")?;
    match number_of(&answer) {
        Some(got) if got == number => Ok(()),
        got => Err(format!("expected the pong to {number}, got {got:?}").into()),
    }
}
