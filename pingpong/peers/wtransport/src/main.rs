//! A peer for interop tests and benchmarks: ping-pong over `wtransport`, its messages by `bincode`.
//!
//! ```text
//! peer server <cert.pem> <key.pem>                  prints "listening <port>"
//! peer client <url> <sha256-hex> <mode> <pings> <streams: one|each>
//! peer crowd <url> <sha256-hex> <clients> <interval-ms> <seconds>
//! ```
//! Modes: bidi, uni, datagram. Client and crowd print one line of JSON with what they saw. The crowd's
//! clients name themselves as ours do, each with a stream and a ping every so often; it prints
//! "connected" when all are there, and counts from the next line on its standard input.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wtransport::tls::Sha256Digest;
use wtransport::endpoint::ConnectOptions;
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
        ["crowd", url, hash, clients, interval_ms, seconds] => {
            crowd(url, hash, clients.parse()?, interval_ms.parse()?, seconds.parse()?).await
        }
        _ => Err("peer server <cert> <key> | peer client <url> <hash> <mode> <pings> <one|each> | peer crowd <url> <hash> <clients> <ms> <s>".into()),
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
    let connection = Endpoint::client(client_config(hash)?)?.connect(url).await?;
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
    tell(times, &format!("\"ends\":{ends}"));
    connection.close(0u32.into(), b"done");
    Ok(())
}

fn client_config(hash: &str) -> Result<ClientConfig> {
    let bytes: Vec<u8> = (0..hash.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hash[at..at + 2], 16))
        .collect::<std::result::Result<_, _>>()?;
    let digest = Sha256Digest::new(bytes.try_into().map_err(|_| "a hash has 32 bytes")?);
    Ok(ClientConfig::builder()
        .with_bind_address("127.0.0.1:0".parse()?)
        .with_server_certificate_hashes([digest])
        .max_idle_timeout(Some(Duration::from_secs(10)))?
        .build())
}

/// Prints the count and the percentiles, and what else there is to tell.
fn tell(mut times: Vec<Duration>, more: &str) {
    times.sort();
    let at = |part: f64| times.get(((times.len() as f64 * part) as usize).min(times.len().max(1) - 1));
    println!(
        "{{\"received\":{},{more},\"p50Us\":{:.1},\"p99Us\":{:.1}}}",
        times.len(),
        at(0.5).map_or(0.0, |time| time.as_secs_f64() * 1e6),
        at(0.99).map_or(0.0, |time| time.as_secs_f64() * 1e6),
    );
}

/// Many clients on one socket, each with its own connection, pinging at even times.
async fn crowd(url: &str, hash: &str, clients: u32, interval_ms: u64, seconds: u64) -> Result<()> {
    let endpoint = Arc::new(Endpoint::client(client_config(hash)?)?);
    let (counting, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let interval = Duration::from_millis(interval_ms);
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..clients {
        let options = ConnectOptions::builder(url)
            .add_header("pingpong-client", format!("crowd-{number:08}"))
            .add_header("pingpong-run", format!("run-{number:08}"))
            .build();
        let connection = endpoint.connect(options).await?;
        let (counting, over) = (counting.clone(), over.clone());
        // Spread over the interval: people do not ping in step.
        let phase = interval.mul_f64(f64::from(number) / f64::from(clients));
        running.spawn(async move {
            let mut times = Vec::new();
            let pinging = async {
                let (mut send, mut recv) = connection.open_bi().await?.await?;
                let mut ticks = tokio::time::interval_at((began + phase).into(), interval);
                // The first ticks are past: they are made up for at once otherwise.
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
                for number in 0.. {
                    ticks.tick().await;
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let counts = counting.load(Ordering::Relaxed);
                    let sent = Instant::now();
                    write_extended(&mut send, number).await?;
                    expect(&mut recv, number).await?;
                    if counts {
                        times.push(sent.elapsed());
                    }
                }
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            };
            let broken = pinging.await.is_err();
            connection.close(0u32.into(), b"done");
            (times, broken)
        });
    }
    println!("connected");
    let mut line = String::new();
    tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut line)).await??;
    counting.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    counting.store(false, Ordering::Relaxed);
    over.store(true, Ordering::Relaxed);
    let (mut all, mut broken) = (Vec::new(), 0);
    while let Some(ended) = running.join_next().await {
        let (times, is_broken) = ended?;
        all.extend(times);
        broken += u32::from(is_broken);
    }
    tell(all, &format!("\"broken\":{broken}"));
    Ok(())
}

/// A ping with its number and acknowledgement behind it, as our clients send it to our servers.
async fn write_extended(stream: &mut SendStream, number: u64) -> Result<()> {
    let mut body = bincode::serialize(&ping(number))?;
    body.extend(b"PPX1\x04");
    body.extend(number.to_le_bytes());
    body.extend(number.to_le_bytes());
    let mut frame = (body.len() as u64).to_be_bytes().to_vec();
    frame.extend(body);
    Ok(stream.write_all(&frame).await?)
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
