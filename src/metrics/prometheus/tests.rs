use super::{answer::read, *};
use crate::{
    metrics::{Sample, Unit, catalog},
    units::MilliValue,
};

fn source() -> PrometheusSource {
    let _ = rustls::crypto::ring::default_provider().install_default();
    PrometheusSource::new("http://user:secret@prom.example:9090/prefix/?x=1", Duration::from_secs(1))
        .expect("a source")
}

fn signal(name: &str) -> Signal {
    let signals = catalog::built_in(catalog::RATE_WINDOW);
    Signal::clone(signals.iter().find(|signal| signal.name == name).expect("in the catalog"))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("in range")
}

#[test]
fn the_name_shows_no_credentials() {
    let source = source();
    assert_eq!(source.name(), "prometheus at http://prom.example:9090/prefix");
    for bad in ["prometheus:9090", "/x", "ftp://x"] {
        assert!(PrometheusSource::new(bad, Duration::from_secs(1)).is_err(), "{bad}");
    }
}

fn element(pod: &str, part: &str, value: &str) -> String {
    format!(r#"{{"metric":{{"namespace":"ns","pod":"{pod}"{part}}},"value":[1800000000,"{value}"]}}"#)
}

fn vector(elements: &[String]) -> String {
    let result = elements.join(",");
    format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}},"warnings":["partial"]}}"#
    )
}

#[test]
fn values_get_the_time_of_their_scrape_and_what_is_no_number_is_missing() {
    let (value, time) = (r#","rbga_part":"value""#, r#","rbga_part":"time""#);
    let body = vector(&[
        element("fresh", value, "12.3456"),
        element("fresh", time, "1799999990.123"),
        element("nan", value, "NaN"),
        element("nan", time, "1799999990"),
        element("infinite", value, "+Inf"),
        element("infinite", time, "1799999990"),
        element("vanished", value, "7"),
        element("no-rate-yet", time, "1799999990"),
        element("", value, "1"),
    ]);
    let answer = read(&signal("queue_length"), at(0), body.as_bytes()).expect("readable");
    let expected = Sample {
        value: MilliValue::from_milli(12_345),
        time: Timestamp::from_millisecond(1_799_999_990_123).expect("in range"),
    };
    assert_eq!(answer.samples.iter().collect::<Vec<_>>(), [("ns", "fresh", expected)]);
    assert_eq!(answer.dropped, 3, "nan, infinite, vanished");
    assert_eq!(answer.warnings, ["partial"]);
}

#[test]
fn an_undefined_latency_is_idle() {
    let body = vector(&[
        element("p", r#","rbga_part":"value""#, "NaN"),
        element("p", r#","rbga_part":"time""#, "1800000000"),
        // VictoriaMetrics leaves NaN out.
        element("q", r#","rbga_part":"time""#, "1800000000"),
        element("infinite", r#","rbga_part":"value""#, "+Inf"),
        element("infinite", r#","rbga_part":"time""#, "1800000000"),
    ]);
    let latency = Signal { unit: Unit::Seconds, ..signal("queue_length") };
    let answer = read(&latency, at(0), body.as_bytes()).expect("readable");
    let idle = Some(Sample { value: MilliValue::ZERO, time: at(0) });
    assert_eq!((answer.samples.get("ns", "p"), answer.samples.get("ns", "q")), (idle, idle));
    assert_eq!((answer.samples.len(), answer.dropped), (2, 1), "infinite is no number");
}

#[test]
fn a_query_without_times_is_as_old_as_its_evaluation() {
    let body = vector(&[element("p", "", "1e3")]);
    let answer = read(&signal("qps"), at(7), body.as_bytes()).expect("readable");
    assert_eq!(
        answer.samples.get("ns", "p"),
        Some(Sample { value: MilliValue::from_whole(1000), time: at(7) })
    );
}

#[test]
fn failures_name_the_source_and_the_cause() {
    for (body, want) in [
        (
            r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
            "prometheus at http://prom.example:9090/prefix: bad_data: parse error",
        ),
        (
            r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
            "prometheus at http://prom.example:9090/prefix: unreadable answer: a matrix instead of a vector; the query must give one value per pod",
        ),
        (
            "<html>",
            "prometheus at http://prom.example:9090/prefix: unreadable answer: expected value at line 1 column 1",
        ),
    ] {
        let error = read(&signal("qps"), at(0), body.as_bytes()).expect_err(body);
        assert_eq!(error.of(&source().name()).to_string(), want);
    }
}

#[tokio::test]
async fn a_closed_port_is_connection_refused() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let _ = source();
    let source = PrometheusSource::new(&format!("http://{free}"), Duration::from_secs(5)).expect("a source");
    let error = source.collect(&signal("qps"), at(0)).await.expect_err("nobody listens");
    assert_eq!(error.class(), "unreachable");
    assert_eq!(error.to_string(), format!("prometheus at http://{free}: connection refused"));
}

/// Answers each request with an empty vector and hands its head and body on.
async fn server(status: &'static str) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    answering(status, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#).await
}

/// The same with another body.
async fn answering(
    status: &'static str,
    body: &'static str,
) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (requests, received) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 65_536];
            let mut length = 0;
            loop {
                length += stream.read(&mut request[length..]).await.expect("a request");
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                let expected = text.split_once("\r\n\r\n").map(|(head, body)| {
                    let wanted = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    (wanted.and_then(|wanted| wanted.parse().ok()).unwrap_or(0_usize), body.len())
                });
                if expected.is_some_and(|(wanted, got)| got >= wanted) {
                    let _ = requests.send(text);
                    break;
                }
            }
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    (address, received)
}

#[tokio::test]
async fn requests_carry_prefix_credentials_and_headers() {
    let _ = source();
    let (address, mut received) = server("200 OK").await;
    let file = std::env::temp_dir().join(format!("rbg-autoscaler-token-{}", std::process::id()));
    std::fs::write(&file, " s3cret\n").expect("written");
    let mut settings = Settings::new(&format!("http://{address}/prefix/?tenant=a"), Duration::from_secs(5));
    settings.headers = vec![("X-Scope-OrgID".to_owned(), "b".to_owned())];
    settings.token = Some(Token::File(file.clone()));
    let client = PrometheusClient::new(settings).expect("a client");
    client.query("up", at(0)).await.expect("an answer");
    let request = received.recv().await.expect("a request");
    assert!(
        request.starts_with(
            "GET /prefix/api/v1/query?tenant=a&query=up&time=1800000000.000&timeout=5s&nocache=1 HTTP/1.1"
        ),
        "{request}"
    );
    for header in ["authorization: Bearer s3cret\r\n", "x-scope-orgid: b\r\n"] {
        assert!(request.contains(header), "{header} is not in {request}");
    }
    client.query(&"x".repeat(3000), at(0)).await.expect("an answer");
    let request = received.recv().await.expect("a request");
    assert!(request.starts_with("POST /prefix/api/v1/query?tenant=a HTTP/1.1"), "{request}");
    assert!(request.contains("\r\n\r\nquery=xxx"), "{request}");
    client.series("{a=\"b\"}", at(0)).await.expect("an answer");
    let request = received.recv().await.expect("a request");
    assert!(
        request.starts_with(
            "GET /prefix/api/v1/series?tenant=a&match%5B%5D=%7Ba%3D%22b%22%7D&start=1800000000.000 "
        ),
        "{request}"
    );
    std::fs::remove_file(file).expect("removed");
}

#[tokio::test]
async fn user_and_password_of_the_url_are_used() {
    let _ = source();
    let (address, mut received) = server("200 OK").await;
    let client =
        PrometheusClient::new(Settings::new(&format!("http://me:pw@{address}"), Duration::from_secs(5)));
    client.expect("a client").query("up", at(0)).await.expect("an answer");
    let request = received.recv().await.expect("a request");
    assert!(request.contains("authorization: Basic bWU6cHc=\r\n"), "{request}");
}

#[tokio::test]
async fn a_proxy_s_refusal_is_told_by_its_status() {
    let _ = source();
    let (address, _received) = server("403 Forbidden").await;
    let source =
        PrometheusSource::new(&format!("http://{address}"), Duration::from_secs(5)).expect("a source");
    let error = source.collect(&signal("qps"), at(0)).await.expect_err("refused");
    let said = r#": {"status":"success","data":{"resultType":"vector","result":[]}}"#;
    assert_eq!(error.to_string(), format!("prometheus at http://{address}: HTTP status 403 Forbidden{said}"));
}

/// As Mimir and Thanos answer, by their documentation.
#[tokio::test]
async fn others_with_the_same_api_refuse_in_their_own_ways() {
    let _ = source();
    let json = r#"{"status":"error","errorType":"execution","error":"the query exceeded a limit"}"#;
    let told = "execution: the query exceeded a limit";
    for (status, body, want) in [
        ("401 Unauthorized", "no org id\n", "HTTP status 401 Unauthorized: no org id"),
        ("422 Unprocessable Entity", json, told),
        ("429 Too Many Requests", json, told),
        ("500 Internal Server Error", json, told),
        ("502 Bad Gateway", "<html><body>bad gateway", "HTTP status 502 Bad Gateway"),
        ("404 Not Found", "404 page not found", "HTTP status 404 Not Found: 404 page not found"),
    ] {
        let (address, _received) = answering(status, body).await;
        let url = format!("http://{address}/prometheus");
        let source = PrometheusSource::new(&url, Duration::from_secs(5)).expect("a source");
        let error = source.collect(&signal("qps"), at(0)).await.expect_err("refused");
        assert_eq!(error.to_string(), format!("prometheus at {url}: {want}"));
    }
}

#[test]
fn what_others_add_to_an_answer_does_no_harm() {
    let body = r#"{"status":"success","warnings":null,"infos":[],"isPartial":true,"stats":{"seriesFetched":"2"},
        "data":{"resultType":"vector","analysis":{},"result":[
            {"metric":{"namespace":"ns","pod":"h"},"histogram":[1800000000,{"count":"1","sum":"2"}]},
            {"metric":{"namespace":"ns","pod":"p"},"value":[1800000000,"1"]}]}}"#;
    let answer = read(&signal("qps"), at(0), body.as_bytes()).expect("readable");
    assert_eq!((answer.samples.len(), answer.dropped), (1, 1));
}

#[tokio::test]
async fn a_token_file_that_is_not_there_is_named() {
    let _ = source();
    let mut settings = Settings::new("http://127.0.0.1:1", Duration::from_secs(5));
    settings.token = Some(Token::File("/nowhere/token".into()));
    let error =
        PrometheusClient::new(settings).expect("a client").query("up", at(0)).await.expect_err("no token");
    assert!(error.to_string().contains("token file /nowhere/token"), "{error}");
}
